/** Draws what something costs n of a kind, on two logarithmic axes. */
import type { Row } from "./harness.js"

export interface Series {
  readonly name: string
  /** How many, and what it costs. */
  readonly points: ReadonlyArray<readonly [number, number]>
}

const width = 720
const height = 400
const margin = { left: 70, right: 190, top: 40, bottom: 50 }
const colours = ["#888888", "#0b6e4f", "#c1440e", "#7a3b9d", "#b8860b", "#2a6fbb"]

const ticks = (low: number, high: number): ReadonlyArray<number> => {
  const all: Array<number> = []
  for (let tick = 10 ** Math.floor(Math.log10(low)); tick <= 10 ** Math.ceil(Math.log10(high)); tick *= 10) {
    all.push(tick)
  }
  return all
}

export interface Axes {
  readonly x: string
  readonly y: string
}

export const chart = (title: string, axes: Axes, series: ReadonlyArray<Series>): string => {
  const all = series.flatMap((one) => one.points)
  const xs = ticks(Math.min(...all.map(([n]) => n)), Math.max(...all.map(([n]) => n)))
  const ys = ticks(Math.min(...all.map(([, cost]) => cost)), Math.max(...all.map(([, cost]) => cost)))
  const scale = (ticks: ReadonlyArray<number>, from: number, to: number) => (value: number) => {
    const [low, high] = [Math.log10(ticks[0]!), Math.log10(ticks.at(-1)!)]
    return from + (to - from) * (Math.log10(value) - low) / (high - low || 1)
  }
  const x = scale(xs, margin.left, width - margin.right)
  const y = scale(ys, height - margin.bottom, margin.top)
  const at = (value: number) => value.toFixed(1)
  const line = (x1: number, y1: number, x2: number, y2: number) =>
    `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="#dddddd"/>`
  const text = (left: number, top: number, words: string, anchor = "middle", fill = "#333333") =>
    `<text x="${at(left)}" y="${at(top)}" text-anchor="${anchor}" fill="${fill}">${words}</text>`
  const spread = labels(series.map((one) => y(one.points.at(-1)![1])))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(margin.left, 22, title, "start"),
    ...xs.map((n) =>
      line(x(n), margin.top, x(n), height - margin.bottom) + text(x(n), height - 30, n.toLocaleString("en"))
    ),
    ...ys.map((cost) =>
      line(margin.left, y(cost), width - margin.right, y(cost)) +
      text(margin.left - 8, y(cost) + 4, cost.toLocaleString("en"), "end")
    ),
    text((margin.left + width - margin.right) / 2, height - 10, axes.x),
    text(margin.left - 8, margin.top - 8, axes.y, "end"),
    ...series.flatMap(({ name, points }, i) => {
      const colour = colours[i % colours.length]!
      const [last] = points.at(-1)!
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${
          points.map(([n, cost]) => `${at(x(n))},${at(y(cost))}`).join(" ")
        }"/>`,
        ...points.map(([n, cost]) => `<circle cx="${at(x(n))}" cy="${at(y(cost))}" r="3" fill="${colour}"/>`),
        text(x(last) + 8, spread[i]! + 4, name, "start", colour)
      ]
    }),
    "</svg>",
    ""
  ].join("\n")
}

/** Moves labels apart that would cover each other. */
const labels = (wanted: ReadonlyArray<number>): ReadonlyArray<number> => {
  const placed = new Array<number>(wanted.length)
  let last = -Infinity
  for (const i of wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!)) {
    placed[i] = last = Math.max(wanted[i]!, last + 14)
  }
  return placed
}

export const seriesOf = (rows: ReadonlyArray<Row>, sections: ReadonlyMap<string, number>): ReadonlyArray<Series> => {
  const names = new Set(rows.filter((row) => sections.has(row.section)).map((row) => row.contestant))
  return Array.from(names, (name) => ({
    name,
    points: rows.flatMap((row) =>
      row.contestant === name && row.median !== undefined && sections.has(row.section)
        ? [[sections.get(row.section)!, row.median] as const]
        : []
    )
  }))
}

/**
 * Contestants take turns, in batches short enough that a slow moment of the
 * machine meets all of them; what is quoted is the median of their batches.
 */
import { performance } from "node:perf_hooks"

/** Does its work `n` times. */
export type Contestant = (n: number) => Promise<unknown>

export interface Row {
  readonly section: string
  readonly contestant: string
  /** Microseconds per operation, or whatever `unit` says. */
  readonly median: number | undefined
  readonly unit: string
  /** How many times the median of the section's reference this is. */
  readonly ratio: number | undefined
  readonly reference: string
  readonly note?: string
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.slice().sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

/** Microseconds for each of `rounds * n` operations. */
const batch = async (contestant: Contestant, n: number, rounds: number): Promise<number> => {
  // Nobody pays for what the one before has left behind.
  globalThis.gc!({ type: "minor" })
  const start = performance.now()
  for (let round = 0; round < rounds; round++) await contestant(n)
  return (performance.now() - start) * 1000 / (n * rounds)
}

/** Rounds that are measured even when one alone takes all the time there is. */
const fewest = 5

export interface Contest {
  readonly section: string
  readonly reference: string
  readonly contestants: Readonly<Record<string, Contestant>>
  /** How many operations a contestant makes at a time, and how many times that in one batch. */
  readonly size: number
  readonly rounds?: number
  /** Milliseconds of measuring that each contestant has; warming up takes a third on top. */
  readonly budget: number
  /** A contestant that needs longer than this for one batch (milliseconds) is not run again. */
  readonly cutOff?: number
  /** Contestants that are not run, and why. */
  readonly absent?: Readonly<Record<string, string>>
}

export const contest = async (
  { absent = {}, budget, contestants, cutOff = 30_000, reference, rounds = 1, section, size }: Contest
): Promise<ReadonlyArray<Row>> => {
  const names = Object.keys(contestants)
  const samples = new Map<string, Array<number>>(names.map((name) => [name, []]))
  const spent = new Map<string, number>(names.map((name) => [name, 0]))
  /** Everyone takes turns until each has had its `limit` and `fewest` samples. */
  const takeTurns = async (limit: number, fewest: number, keep: (name: string, cost: number) => void) => {
    const isDone = (name: string) => spent.get(name)! >= limit && samples.get(name)!.length >= fewest
    const isSlow = (name: string) => spent.get(name) === Infinity
    while (names.some((name) => !isDone(name) && !isSlow(name))) {
      for (const name of names) {
        if (isDone(name) || isSlow(name)) continue
        const cost = await batch(contestants[name]!, size, rounds)
        const elapsed = cost * size * rounds / 1000
        keep(name, cost)
        spent.set(name, spent.get(name)! + elapsed)
        if (elapsed <= cutOff) continue
        // Who takes so long is not asked again: what it showed once has to do.
        samples.set(name, [cost])
        spent.set(name, Infinity)
      }
    }
  }
  await takeTurns(budget / 3, 0, () => {})
  for (const name of names) if (spent.get(name) !== Infinity) spent.set(name, 0)
  await takeTurns(budget, fewest, (name, cost) => samples.get(name)!.push(cost))
  const base = median(samples.get(reference)!)
  return [
    ...names.map((contestant): Row => {
      const value = median(samples.get(contestant)!)
      return { section, contestant, median: value, unit: "us", ratio: value / base, reference }
    }),
    ...Object.entries(absent).map(([contestant, note]): Row => (
      { section, contestant, median: undefined, unit: "us", ratio: undefined, reference, note }
    ))
  ]
}

const number = (value: number) => value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

export const table = (rows: ReadonlyArray<Row>): string => {
  const lines = rows.map((row) => [
    row.section,
    row.contestant,
    row.median === undefined ? "-" : `${number(row.median)} ${row.unit}`,
    row.ratio === undefined ? row.note ?? "" : `${number(row.ratio)}x ${row.reference}`
  ])
  const header = ["work", "contestant", "median", "ratio"]
  const widths = header.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]!.length)))
  const format = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, i) => i === 2 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)).join(" | ")} |`
  return [format(header), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...lines.map(format)].join(
    "\n"
  )
}

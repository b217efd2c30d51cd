/** What the demo shows on the terminal. */
import { Effect } from "effect"

const width = 40

/** A bar that is redrawn in place on a terminal, and written at each quarter elsewhere. */
export const progress = (title: string, total: number) => {
  let drawn = -1
  return (done: number): Effect.Effect<void> =>
    Effect.sync(() => {
      const steps = process.stdout.isTTY ? 100 : 4
      const step = Math.floor(done * steps / total)
      if (step === drawn) return
      drawn = step
      const full = Math.floor(done * width / total)
      const bar = `${title.padEnd(16)} [${"#".repeat(full)}${" ".repeat(width - full)}] ${done}/${total}`
      process.stdout.write(process.stdout.isTTY ? `\r${bar}${done === total ? "\n" : ""}` : `${bar}\n`)
    })
}

export const table = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: ReadonlyArray<string>) =>
    cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("   ")
  return [line(header), ...rows.map(line)].join("\n")
}

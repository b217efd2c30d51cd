/** A status for people: a line for each holder, those who have the lock from another below it. */
import { harmless } from "./output.ts"
import type { Holder, LockFile, Status } from "./status.ts"

type Row = readonly [lock: string, mode: string, pid: string, started: string, command: string]

const header: Row = ["LOCK", "HELD", "PID", "STARTED", "COMMAND"]

const age = (from: string | null, to: string): string => {
  if (from === null) return "?"
  const seconds = Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000))
  const [minutes, hours, days] = [60, 3600, 86_400].map((length) => Math.floor(seconds / length))
  if (minutes === 0) return `${seconds}s ago`
  if (hours === 0) return `${minutes}m ago`
  return days === 0 ? `${hours}h ago` : `${days}d ago`
}

/** With how deep each is. */
const tree = (holders: ReadonlyArray<Holder>): ReadonlyArray<readonly [holder: Holder, depth: number]> => {
  const shown = new Set<number>()
  const below = (parent: number | null, depth: number): ReadonlyArray<readonly [Holder, number]> =>
    holders.filter((holder) => holder.parent === parent).flatMap((holder) => {
      const isKnown = shown.has(holder.pid)
      shown.add(holder.pid)
      return [[holder, depth] as const, ...(isKnown ? [] : below(holder.pid, depth + 1))]
    })
  return below(null, 0)
}

const rowsOf = ({ complete, file, holders }: LockFile, at: string): ReadonlyArray<Row> => {
  const rows = tree(holders).map(([{ command, mode, pid, started }, depth]): Row => [
    "",
    mode,
    String(pid),
    age(started, at),
    "  ".repeat(depth) + harmless(command)
  ])
  if (!complete) rows.push(["", "?", "?", "?", "(a process that cannot be seen from here)"])
  if (rows.length === 0) rows.push(["", "free", "", "", ""])
  const [[, ...first], ...others] = rows as [Row, ...Array<Row>]
  return [[harmless(file), ...first], ...others]
}

/** Its lines, none wider than `width`. */
export const lines = (
  { at, lockPath, locks }: Status,
  { color, width }: { readonly color: boolean; readonly width: number }
): ReadonlyArray<string> => {
  const style = (text: string, code: number) => color ? `\u001b[${code}m${text}\u001b[0m` : text
  const fit = (text: string) => text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text
  const title = style(fit(harmless(lockPath)), 1)
  if (locks.length === 0) return [title, "no lock files"]
  const rows = [header, ...locks.flatMap((lock) => rowsOf(lock, at))]
  const widths = header.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return [
    title,
    ...rows.map((row, i) => {
      const line = fit(row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd())
      return i === 0 ? style(line, 2) : row[1] === "free" ? style(line, 32) : line
    })
  ]
}

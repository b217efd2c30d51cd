/**
 * A counter in a file, and a journal of who counted what. Both are written inside the
 * lock, the counter whole: two who were inside at once have read the same
 * number, and the journal has it twice.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** Where the lock files are, and what they protect. */
export const places = (directory: string) => ({
  lockPath: path.join(directory, "locks"),
  counter: path.join(directory, "counter"),
  journal: path.join(directory, "journal")
})

export type Places = ReturnType<typeof places>

export const lockName = "counter"

export const prepare = (directory: string): Places => {
  const where = places(directory)
  fs.writeFileSync(where.counter, "0")
  fs.writeFileSync(where.journal, "")
  return where
}

/** The first half of counting; the second is done with what it gives. */
export const read = ({ counter }: Places): number => Number(fs.readFileSync(counter, "utf8"))

export const write = ({ counter, journal }: Places, value: number): void => {
  const temporary = `${counter}.${process.pid}`
  fs.writeFileSync(temporary, String(value))
  fs.renameSync(temporary, counter)
  fs.appendFileSync(journal, `${value} ${process.pid}\n`)
}

export interface Verdict {
  readonly counted: number
  /** Numbers that two have counted: each is an update that was lost. */
  readonly twice: number
  /** Numbers that are missing from the journal: their counter was killed between the two writes. */
  readonly missing: number
  /** How much each process counted. */
  readonly byProcess: ReadonlyMap<number, number>
}

export const judge = (where: Places): Verdict => {
  const lines = fs.readFileSync(where.journal, "utf8").split("\n").filter((line) => line !== "")
  const byProcess = new Map<number, number>()
  const seen = new Set<number>()
  let twice = 0
  for (const line of lines) {
    const [value, pid] = line.split(" ").map(Number) as [number, number]
    if (seen.has(value)) twice++
    seen.add(value)
    byProcess.set(pid, (byProcess.get(pid) ?? 0) + 1)
  }
  const counted = read(where)
  return { counted, twice, missing: Math.max(0, counted - seen.size), byProcess }
}

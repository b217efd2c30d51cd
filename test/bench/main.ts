import { Effect } from "effect"
import { lock } from "effect-locks"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import * as path from "node:path"
import { chart, seriesOf } from "./chart.js"
import * as Contestants from "./contestants.js"
import * as Database from "./database.js"
import * as External from "./external.js"
import { type Contest, contest, type Contestant, type Row, table } from "./harness.js"
import * as Interrupting from "./interrupting.js"
import * as Memory from "./memory.js"
import * as Permits from "./permits.js"
import * as Readers from "./readers.js"
import * as Several from "./several.js"

// `npm run bench -- readers` runs only the sections that have this in their name, and leaves the docs alone;
// with `--write` after it, it writes these sections anew, and no other.
const filter = process.argv[2] ?? ""
const isWritten = filter === "" || process.argv[3] === "--write"

const rows: Array<Row> = []
const report = async (section: string, measure: (section: string) => Promise<ReadonlyArray<Row>>) => {
  if (!section.includes(filter)) return
  const more = await measure(section)
  rows.push(...more)
  console.log(table(more), "\n")
}
const compare = (one: Contest) => report(one.section, () => contest(one))

const { alone, aloneAsync, asyncGuards, asyncLoops, fibers, guards, loops, mapValues, promises } = Contestants

await compare({
  section: "withLock, uncontended",
  reference: "Effect.Semaphore",
  contestants: {
    ...mapValues(guards, alone),
    "RcMap of Effect.Semaphore": Contestants.rcMap,
    ...mapValues(asyncGuards, aloneAsync)
  },
  size: 2000,
  budget: 3000
})

await compare({
  section: "scoped lock, uncontended",
  reference: "acquireRelease",
  contestants: {
    "Effect.scoped(lock)": (n) => Contestants.run(Contestants.repeat(n, () => Effect.scoped(lock("k")))),
    "acquireRelease": (n) =>
      Contestants.run(
        Contestants.repeat(n, () => Effect.scoped(Effect.acquireRelease(Effect.void, () => Effect.void)))
      )
  },
  size: 1000,
  budget: 3000
})

// Every waiter of Effect.Semaphore is woken by every release: what n fibers cost grows as n * n.
// TSemaphore likewise. Above these sizes one round takes minutes, or the heap runs out.
const mostFibers: Readonly<Record<string, number>> = { "Effect.Semaphore": 1000, "TSemaphore": 1000 }
const sizes = new Map<string, number>()
for (const n of [100, 1000, 10_000, 100_000]) {
  const section = `${n.toLocaleString("en")} fibers through one lock`
  sizes.set(section, n)
  const contestants: Record<string, Contestant> = { "no lock": fibers((body) => body) }
  const absent: Record<string, string> = {}
  for (const [name, guard] of Object.entries(guards)) {
    if (n <= (mostFibers[name] ?? Infinity)) contestants[name] = fibers(guard)
    else absent[name] = "cut off: does not finish in reasonable time"
  }
  await compare({
    section,
    reference: "no lock",
    contestants: { ...contestants, ...mapValues(asyncGuards, promises) },
    absent,
    size: n,
    rounds: Math.max(1, 2000 / n),
    budget: n < 100_000 ? 2000 : 6000,
    cutOff: 4000
  })
}

const sync = Effect.void
const async = Effect.promise(() => Promise.resolve())
await compare({
  section: "8 fibers in a loop, body empty",
  reference: "Effect.Semaphore",
  contestants: {
    ...mapValues(guards, (guard) => loops(8, guard, sync)),
    ...mapValues(asyncGuards, (guard) => asyncLoops(8, guard, async () => {}))
  },
  size: 8000,
  budget: 3000
})
await compare({
  section: "8 fibers in a loop, body awaits",
  reference: "Effect.Semaphore",
  contestants: {
    ...mapValues(guards, (guard) => loops(8, guard, async)),
    ...mapValues(asyncGuards, (guard) => asyncLoops(8, guard, Contestants.tick))
  },
  size: 8000,
  budget: 3000
})

await compare(Readers.uncontended)
await compare(Readers.writing(8, 200))
await compare(Readers.writing(1000, 3))

await compare(Permits.uncontended)
await compare(Permits.weighted(100))
await compare(Permits.weighted(1000))

for (const count of [2, 5]) {
  await compare(Several.uncontended(count))
  await compare(Several.scoped(count))
}
await compare(Several.philosophers(5, 200))
await compare(Several.philosophers(100, 10))
await compare(Several.overlapping(100))

for (const n of [1000, 10_000, 100_000]) {
  await report(`interrupting ${n.toLocaleString("en")} fibers`, (section) => Interrupting.rows(section, n))
}

await report("1,000,000 names, once each: heap after GC", (section) => Memory.names(section, 1_000_000))
await report("100,000 held at once: heap per lock", (section) => Memory.held(section, 100_000))

await report("external, uncontended", External.uncontended)
const processes = new Map<string, number>()
for (const n of [2, 4, 8]) {
  const section = `external, ${n} processes, 2 ms holds`
  processes.set(section, n)
  await report(section, (section) => External.contended(section, n, 6))
}
await report("external, SIGKILL of the holder: until a waiter holds", (section) => External.killed(section, 60))
await report("external, a process that waits", (section) => External.waiting(section, 4))

await report("PostgreSQL, uncontended", (section) => Database.uncontended(section, 1))
await report("PostgreSQL, 32 of 1,000 locks at once", (section) => Database.uncontended(section, 32))
await report("external, with a backend that does nothing", Database.wrapper)
await report("PostgreSQL, 4 processes, one lock", (section) => Database.hot(section, 4, 100))
await report("PostgreSQL, SIGKILL of the holder: until a waiter holds", (section) => Database.killed(section, 20))
await report("PostgreSQL, 100 locks held at once", (section) => Database.sessions(section, 100))

if (isWritten) {
  const docs = path.resolve("docs")
  const measured = new Set(rows.map(({ section }) => section))
  const before: { readonly rows: ReadonlyArray<Row> } = JSON.parse(
    readFileSync(path.join(docs, "benchmarks.json"), "utf8")
  )
  if (filter !== "") rows.unshift(...before.rows.filter(({ section }) => !measured.has(section)))
  const machine = `Node ${process.version}, ${cpus().length} cores, ${cpus()[0]?.model.trim() ?? "unknown processor"}`
  const page = path.join(docs, "benchmarks.md")
  const marked = /(<!-- table -->\n)[\s\S]*(<!-- \/table -->)/
  writeFileSync(path.join(docs, "benchmarks.json"), JSON.stringify({ machine, rows }, null, 2) + "\n")
  writeFileSync(
    path.join(docs, "benchmarks.svg"),
    chart(
      "n fibers, each once through one lock: microseconds per fiber",
      { x: "fibers", y: "us each" },
      seriesOf(rows, sizes)
    )
  )
  writeFileSync(
    path.join(docs, "benchmarks-processes.svg"),
    chart(
      "n processes, 2 ms holds: hand-off, 99 of 100 are faster (milliseconds)",
      { x: "processes", y: "ms" },
      seriesOf(rows.filter(({ contestant }) => contestant.endsWith("hand-off, p99")), processes)
    )
  )
  writeFileSync(page, readFileSync(page, "utf8").replace(marked, `$1\n${machine}\n\n${table(rows)}\n\n$2`))
  console.log(`${table(rows)}\n\n${machine}\nWritten: docs/benchmarks.md, .json and .svg`)
}

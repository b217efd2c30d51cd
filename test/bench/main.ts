import { Effect, Fiber } from "effect"
import type { LockRegistry } from "effect-locks"
import { lock, withLock } from "effect-locks"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import * as path from "node:path"
import { chart, seriesOf } from "./chart.js"
import * as Contestants from "./contestants.js"
import { contest, type Contestant, left, median, type Row, table } from "./harness.js"
import * as Memory from "./memory.js"

const rows: Array<Row> = []
const report = (more: ReadonlyArray<Row>) => {
  rows.push(...more)
  console.log(table(more), "\n")
}

report(
  await contest({
    section: "withLock, uncontended",
    reference: "Effect.Semaphore",
    contestants: Contestants.uncontended,
    size: 2000,
    budget: 3000
  })
)

report(
  await contest({
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
)

// Every waiter of Effect.Semaphore is woken by every release: what n fibers cost grows as n * n.
// TSemaphore likewise. Above these sizes one round takes minutes, or the heap runs out.
const mostFibers: Readonly<Record<string, number>> = { "Effect.Semaphore": 1000, "TSemaphore": 1000 }
const sizes = new Map<string, number>()
for (const n of [100, 1000, 10_000, 100_000]) {
  const section = `${n.toLocaleString("en")} fibers through one lock`
  sizes.set(section, n)
  const contestants: Record<string, Contestant> = { "no lock": Contestants.fibers((body) => body) }
  const absent: Array<Row> = []
  for (const [name, guard] of Object.entries(Contestants.guards)) {
    if (n <= (mostFibers[name] ?? Infinity)) contestants[name] = Contestants.fibers(guard)
    else absent.push(left(section, name, "no lock", "cut off: does not finish in reasonable time"))
  }
  for (const [name, guard] of Object.entries(Contestants.asyncGuards)) contestants[name] = Contestants.promises(guard)
  report([
    ...await contest({
      section,
      reference: "no lock",
      contestants,
      size: n,
      rounds: Math.max(1, 2000 / n),
      budget: n < 100_000 ? 2000 : 6000,
      cutOff: 4000
    }),
    ...absent
  ])
}

const sync = Effect.void
const async = Effect.promise(() => Promise.resolve())
report(
  await contest({
    section: "8 fibers in a loop, body empty",
    reference: "Effect.Semaphore",
    contestants: { ...Contestants.loops(sync), ...Contestants.asyncLoops(async () => {}) },
    size: 8000,
    budget: 3000
  })
)
report(
  await contest({
    section: "8 fibers in a loop, body awaits",
    reference: "Effect.Semaphore",
    contestants: {
      ...Contestants.loops(async),
      ...Contestants.asyncLoops(async () => {
        await Promise.resolve()
      })
    },
    size: 8000,
    budget: 3000
  })
)

const interrupting = (waiting: Effect.Effect<unknown, never, LockRegistry>): (n: number) => Promise<number> => (n) =>
  Contestants.run(Effect.gen(function*() {
    const fibers = yield* Effect.forEach(Array.from({ length: n }), () => Effect.fork(waiting))
    yield* Effect.repeatN(Effect.yieldNow(), 10)
    const start = performance.now()
    yield* Fiber.interruptAll(fibers)
    return (performance.now() - start) * 1000 / n
  }))

const waitForLock = (body: (waiting: Effect.Effect<void, never, LockRegistry>) => Promise<number>) =>
  Contestants.run(withLock(
    Effect.promise(() => body(withLock(Effect.void, "interrupting"))),
    "interrupting"
  ))

for (const n of [1000, 10_000, 100_000]) {
  const rounds = n < 100_000 ? 15 : 5
  const costs = { waiting: [] as Array<number>, sleeping: [] as Array<number> }
  for (let round = 0; round < rounds; round++) {
    costs.waiting.push(await waitForLock((waiting) => interrupting(waiting)(n)))
    costs.sleeping.push(await interrupting(Effect.sleep("1 hour"))(n))
  }
  // The first two rounds warm up.
  const [waiting, sleeping] = [median(costs.waiting.slice(2)), median(costs.sleeping.slice(2))]
  const section = `interrupting ${n.toLocaleString("en")} fibers`
  report([
    {
      section,
      contestant: "waiting for a lock",
      median: waiting,
      unit: "us",
      ratio: waiting / sleeping,
      reference: "sleeping"
    },
    { section, contestant: "sleeping", median: sleeping, unit: "us", ratio: 1, reference: "sleeping" }
  ])
}

report(await Memory.names(1_000_000))
report(await Memory.held(100_000))

const docs = path.resolve("docs")
const machine = `Node ${process.version}, ${cpus().length} cores, ${cpus()[0]?.model.trim() ?? "unknown processor"}`
const page = path.join(docs, "benchmarks.md")
const marked = /(<!-- table -->\n)[\s\S]*(<!-- \/table -->)/
writeFileSync(path.join(docs, "benchmarks.json"), JSON.stringify({ machine, rows }, null, 2) + "\n")
writeFileSync(
  path.join(docs, "benchmarks.svg"),
  chart("n fibers, each once through one lock: microseconds per fiber", seriesOf(rows, sizes))
)
writeFileSync(page, readFileSync(page, "utf8").replace(marked, `$1\n${machine}\n\n${table(rows)}\n\n$2`))
console.log(`${table(rows)}\n\n${machine}\nWritten: docs/benchmarks.md, .json and .svg`)

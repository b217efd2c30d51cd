/** What locks cost in memory. Needs `node --expose-gc`. */
import { Effect, Exit, Scope } from "effect"
import { lock, LockRegistry, withLock } from "effect-locks"
import { repeat, run } from "./contestants.js"
import type { Row } from "./harness.js"

const heapUsed = (): number => {
  for (let i = 0; i < 4; i++) globalThis.gc!()
  return process.memoryUsage().heapUsed
}

const mebibyte = 2 ** 20

/** Locks `count` names once each; megabytes that are left over. */
export const names = async (section: string, count: number): Promise<ReadonlyArray<Row>> => {
  const visit = (from: number, n: number) => {
    let i = from
    return run(repeat(n, () => withLock(Effect.void, `name-${i++}`)))
  }
  await visit(-10_000, 10_000)
  const before = heapUsed()
  await visit(0, count)
  const grown = (heapUsed() - before) / mebibyte
  const left = await run(Effect.map(LockRegistry.snapshot, (locks) => locks.length))
  return [{
    section,
    contestant: "withLock",
    median: grown,
    unit: "MiB more",
    ratio: undefined,
    reference: "",
    note: `${left} locks left`
  }]
}

/** Bytes that one more held lock takes, in one scope, beside a finalizer that does nothing. */
export const held = async (section: string, count: number): Promise<ReadonlyArray<Row>> => {
  const bytes = async (one: (i: number) => Effect.Effect<unknown, never, LockRegistry | Scope.Scope>) => {
    const scope = await Effect.runPromise(Scope.make())
    const before = heapUsed()
    let i = 0
    await run(Scope.extend(repeat(count, () => one(i++)), scope))
    const grown = heapUsed() - before
    await Effect.runPromise(Scope.close(scope, Exit.void))
    return grown / count
  }
  const names = Array.from({ length: count }, (_, i) => `name-${i}`)
  const finalizer = await bytes(() => Effect.addFinalizer(() => Effect.void))
  const row = (contestant: string, median: number): Row => ({
    section,
    contestant,
    median,
    unit: "bytes",
    ratio: median / finalizer,
    reference: "finalizer alone"
  })
  return [row("scoped lock", await bytes((i) => lock(names[i]!))), row("finalizer alone", finalizer)]
}

/** What it costs to interrupt fibers that wait for a lock, beside fibers that sleep. */
import { Effect, Fiber } from "effect"
import { type LockRegistry, withLock } from "effect-locks"
import { run } from "./contestants.js"
import { median, type Row } from "./harness.js"

const interrupting = (waiting: Effect.Effect<unknown, never, LockRegistry>): (n: number) => Promise<number> => (n) =>
  run(Effect.gen(function*() {
    const fibers = yield* Effect.forEach(Array.from({ length: n }), () => Effect.fork(waiting))
    yield* Effect.repeatN(Effect.yieldNow(), 10)
    const start = performance.now()
    yield* Fiber.interruptAll(fibers)
    return (performance.now() - start) * 1000 / n
  }))

const waitForLock = (body: (waiting: Effect.Effect<void, never, LockRegistry>) => Promise<number>) =>
  run(withLock(
    Effect.promise(() => body(withLock(Effect.void, "interrupting"))),
    "interrupting"
  ))

export const rows = async (section: string, n: number): Promise<ReadonlyArray<Row>> => {
  const rounds = n < 100_000 ? 15 : 5
  const costs = { waiting: [] as Array<number>, sleeping: [] as Array<number> }
  for (let round = 0; round < rounds; round++) {
    costs.waiting.push(await waitForLock((waiting) => interrupting(waiting)(n)))
    costs.sleeping.push(await interrupting(Effect.sleep("1 hour"))(n))
  }
  // The first two rounds warm up.
  const [waiting, sleeping] = [median(costs.waiting.slice(2)), median(costs.sleeping.slice(2))]
  const row = (contestant: string, median: number): Row => (
    { section, contestant, median, unit: "us", ratio: median / sleeping, reference: "sleeping" }
  )
  return [row("waiting for a lock", waiting), row("sleeping", sleeping)]
}

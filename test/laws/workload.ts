/**
 * A program of many fibers over few keys, drawn from a seed: every way to hold a
 * lock, with every option and outcome, interrupted at any moment, in two
 * registries. It dies when two bodies run under one key, when an error is not
 * one that the options allow, or when anything is left behind.
 */
import { Cause, Effect, Exit, Fiber, identity } from "effect"
import { AcquireLockFailed, type LockOptions, type LockRegistry } from "effect-locks"
import { random } from "../utils/chaos.js"
import { kinds } from "../utils/kinds.js"

const fibers = 7
const requests = 4
const names = ["a", "b", "c"]

const outcomes: ReadonlyArray<Effect.Effect<void, string>> = [
  Effect.void,
  Effect.void,
  Effect.fail("failure"),
  Effect.die("defect")
]

export const workload = (make: Effect.Effect<LockRegistry>) => (seed: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const next = random(seed ^ 0x5bd1e995)
    const below = (n: number) => Math.floor(next() * n)
    const pick = <A>(items: ReadonlyArray<A>): A => items[below(items.length)]!
    const registries = [yield* make, yield* make]
    const inside = new Map<string, number>()
    const wrong: Array<string> = []

    const step = (room: string, by: number) => Effect.sync(() => inside.set(room, (inside.get(room) ?? 0) + by))

    const body = (room: string) =>
      Effect.acquireUseRelease(
        Effect.zipRight(
          step(room, 1),
          Effect.sync(() => {
            if (inside.get(room)! > 1) wrong.push(`${inside.get(room)} holders of ${room}`)
          })
        ),
        () =>
          Effect.suspend(() =>
            Effect.zipRight(
              below(4) === 0 ? Effect.sleep(below(4)) : Effect.repeatN(Effect.yieldNow(), below(3)),
              pick(outcomes)
            )
          ),
        () => step(room, -1)
      )

    const request = Effect.suspend(() => {
      const place = below(registries.length)
      const name = pick(names)
      const options: LockOptions = pick<LockOptions>([
        {},
        { fair: true },
        { blocking: false },
        { timeout: below(6) },
        { prefix: "p" }
      ])
      const room = `${place}/${options.prefix ?? ""}/${name}`
      const expected = options.blocking === false ? "Busy" : options.timeout === undefined ? undefined : "Timeout"
      return body(room).pipe(
        pick(kinds).hold(registries[place]!, name, options),
        below(6) === 0 ? Effect.uninterruptible : identity,
        Effect.exit,
        Effect.tap((exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) return
            const failures = Array.from(Cause.failures(exit.cause))
            const unexpected = [
              ...failures.filter((error) => error !== "failure" && !(isLockError(error) && error.reason === expected)),
              ...Array.from(Cause.defects(exit.cause)).filter((defect) => defect !== "defect")
            ]
            if (unexpected.length > 0) wrong.push(`unexpected: ${Cause.pretty(exit.cause)}`)
          })
        )
      )
    })

    const worker = Effect.repeatN(
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(request)
        if (below(3) === 0) {
          yield* Effect.repeatN(Effect.yieldNow(), below(12))
          yield* Fiber.interrupt(fiber)
        }
        yield* Fiber.await(fiber)
      }),
      requests - 1
    )

    yield* Effect.forEach(Array.from({ length: fibers }), () => worker, { concurrency: "unbounded", discard: true })
    for (const registry of registries) {
      const left = yield* registry.snapshot
      if (left.length > 0) wrong.push(`${left.length} locks left behind`)
    }
    if (wrong.length > 0) return yield* Effect.dieMessage(wrong.join("; "))
  })

const isLockError = (error: unknown): error is AcquireLockFailed => error instanceof AcquireLockFailed

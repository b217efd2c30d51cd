/**
 * Every operation of every way to hold a lock, interrupted: nothing may be
 * lost, nothing invented, and whoever waits behind must be served.
 */
import { Deferred, Effect, Fiber, TestClock } from "effect"
import type { LocalLockOptions, LockRegistry } from "effect-locks"
import type { Kind } from "../utils/kinds.js"
import { settle, type Subject } from "../utils/sweep.js"

interface Situation {
  readonly name: string
  readonly subject: (make: Effect.Effect<LockRegistry>, kind: Kind) => Effect.Effect<Subject>
}

const bodies: Record<string, Effect.Effect<unknown, unknown>> = {
  success: Effect.yieldNow(),
  failure: Effect.zipRight(Effect.yieldNow(), Effect.fail("failure")),
  defect: Effect.zipRight(Effect.yieldNow(), Effect.die("defect"))
}

const empty = (registry: LockRegistry) => Effect.map(registry.snapshot, (locks) => locks.length === 0)

/** Nobody else wants the lock. */
const uncontended =
  (options: LocalLockOptions, body: Effect.Effect<unknown, unknown>): Situation["subject"] => (make, kind) =>
    Effect.map(make, (registry) => ({
      program: kind.hold(registry, "x", options)(body),
      check: empty(registry)
    }))

/** The program waits behind a holder, and another fiber waits behind the program. */
const queued = (
  options: LocalLockOptions,
  body: Effect.Effect<unknown, unknown>,
  beforeRelease: Effect.Effect<unknown> = Effect.void
): Situation["subject"] =>
(make, kind) =>
  Effect.gen(function*() {
    const registry = yield* make
    const gate = yield* Deferred.make<void>()
    const holder = yield* Effect.fork(Deferred.await(gate).pipe(kind.hold(registry, "x")))
    yield* settle
    let behind: Fiber.RuntimeFiber<unknown, unknown> | undefined
    return {
      program: kind.hold(registry, "x", options)(body),
      meanwhile: Effect.gen(function*() {
        behind = yield* Effect.fork(Effect.void.pipe(kind.hold(registry, "x")))
        yield* settle
        yield* beforeRelease
        yield* Deferred.succeed(gate, undefined)
        yield* settle
      }),
      check: Effect.gen(function*() {
        const served = holder.unsafePoll() !== null && behind !== undefined && behind.unsafePoll() !== null
        if (behind !== undefined) yield* Fiber.interruptFork(behind)
        return served && (yield* empty(registry))
      })
    }
  })

const withOptions: Record<string, LocalLockOptions> = {
  plain: {},
  timed: { timeout: "1 hour" },
  shared: { mode: "shared" }
}

export const situations: ReadonlyArray<Situation> = [
  ...Object.entries(withOptions).flatMap(([how, options]) =>
    // How a lock was waited for makes no difference to how it ends.
    Object.entries(bodies).filter(([outcome]) => how === "plain" || outcome === "success").flatMap((
      [outcome, body]
    ) => [
      { name: `uncontended, ${how}, ${outcome}`, subject: uncontended(options, body) },
      { name: `queued, ${how}, ${outcome}`, subject: queued(options, body) }
    ])
  ),
  { name: "uncontended, blocking: false", subject: uncontended({ blocking: false }, Effect.yieldNow()) },
  { name: "busy, blocking: false", subject: queued({ blocking: false }, Effect.yieldNow()) },
  {
    name: "queued, timed out",
    subject: queued({ timeout: "1 second" }, Effect.yieldNow(), TestClock.adjust("1 second"))
  }
]

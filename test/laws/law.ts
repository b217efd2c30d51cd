/**
 * How a law is written: it dies when it is broken, and never hangs. It lets
 * fibers run as far as they can and then looks, so a lock that loses a wake-up is
 * seen, not waited for.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import type { AcquireLockFailed, LocalLockOptions, LockRegistry, LockSnapshot } from "effect-locks"
import { type Kind, kinds } from "../utils/kinds.js"
import { settle } from "../utils/sweep.js"

export interface Law {
  readonly name: string
  readonly check: (make: Effect.Effect<LockRegistry>, kind: Kind) => Effect.Effect<void>
}

export const law = (
  name: string,
  body: (registry: LockRegistry, kind: Kind) => Effect.Effect<void, unknown>
): Law => ({
  name,
  check: (make, kind) =>
    Effect.orDie(Effect.gen(function*() {
      const registry = yield* make
      const fiber = yield* Effect.fork(body(registry, kind))
      for (let turn = 0; turn < 1000 && !ended(fiber); turn++) yield* settle
      assert.isTrue(ended(fiber), "it goes on")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* registry.snapshot, [], "a registry at rest is empty")
    }))
})

/** It dies of misuse, and says so. */
export const dies = (effect: Effect.Effect<unknown, unknown>, message: string) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const text = exit._tag === "Failure" && exit.cause._tag === "Die" ? String(exit.cause.defect) : String(exit)
    assert.strictEqual(text, `IllegalArgumentException: ${message}`)
  })

export const ended = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(Effect.fork(effect), settle)

export interface Visit {
  readonly fiber: Fiber.RuntimeFiber<void, unknown>
  /** Is its body running? */
  readonly isIn: () => boolean
  /** Lets the body end, and everybody go as far as they can. */
  readonly letGo: Effect.Effect<void>
  /** Interrupts it, and lets everybody go as far as they can. */
  readonly interrupt: Effect.Effect<void>
}

/** A fiber that stays inside until it is let go. */
export const visit = <E>(enter: (body: Effect.Effect<void>) => Effect.Effect<void, E>): Effect.Effect<Visit> =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    let inside = false
    const body = Effect.acquireUseRelease(
      Effect.sync(() => inside = true),
      () => Deferred.await(gate),
      () => Effect.sync(() => inside = false)
    )
    const fiber = yield* start(enter(body))
    return {
      fiber,
      isIn: () => inside,
      letGo: Effect.zipRight(Deferred.succeed(gate, undefined), Effect.repeatN(settle, 2)),
      interrupt: Effect.zipRight(Fiber.interruptFork(fiber), Effect.repeatN(settle, 2))
    }
  })

/** A holder that stays until it is let go. */
export const holder = (
  kind: Kind,
  registry: LockRegistry,
  name: string,
  options?: LocalLockOptions
): Effect.Effect<Visit> => visit(kind.hold(registry, name, options))

/** Who is inside, by its place in the list. */
export const inside = (visits: ReadonlyArray<Visit>): ReadonlyArray<number> =>
  visits.flatMap((one, i) => one.isIn() ? [i] : [])

export const isFree = (kind: Kind, registry: LockRegistry, name: string, options?: LocalLockOptions) =>
  Effect.map(
    Effect.either(Effect.void.pipe(kind.holdAnew(registry, name, { ...options, blocking: false }))),
    (either) => {
      if (either._tag === "Right") return true
      assert.strictEqual((either.left as AcquireLockFailed).reason, "Busy")
      return false
    }
  )

export const lockOf = (registry: LockRegistry, name: string): Effect.Effect<LockSnapshot | undefined> =>
  Effect.map(registry.snapshot, (locks) => locks.find(({ key }) => key.name === name))

/** How many wait for `name`. */
export const waiting = (registry: LockRegistry, name: string): Effect.Effect<number> =>
  Effect.map(lockOf(registry, name), (lock) => lock === undefined ? 0 : lock.waiters.length)

export const [scopedLock, withLock] = [kinds[0]!, kinds[1]!]

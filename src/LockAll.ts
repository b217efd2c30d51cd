/**
 * Several locks at once, all or none.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { firstOrLast } from "./internal/acquire.ts"
import * as Acquire from "./internal/acquireBeyond.ts"
import * as Hold from "./internal/hold.ts"
import * as Lines from "./internal/lines.ts"
import * as Options from "./internal/options.ts"
import type { Held } from "./Lock.ts"
import type { ExternalLockError } from "./LockError.ts"
import type { AcquireError, ExternalErrorOf, GuardError, Known, LockOptions, ServicesOf } from "./LockOptions.ts"
import type { LockRegistry } from "./LockRegistry.ts"

/**
 * One of several locks: its name, or its name and its mode.
 *
 * @since 0.1.0
 * @category models
 */
export type LockTarget = string | {
  readonly name: string
  /** @default the mode of the options, else `"exclusive"` */
  readonly mode?: "exclusive" | "shared" | undefined
}

/**
 * How many locks of one `lockAll` can fail to be acquired: as one lock, except
 * that a name may bring a mode of its own.
 *
 * @since 0.1.0
 * @category type-level
 */
export type AcquireAllError<O> = O extends object ? AcquireError<Omit<O, "mode">> : AcquireError<O>

/**
 * The same of running an effect under them.
 *
 * @since 0.1.0
 * @category type-level
 */
export type GuardAllError<O> = O extends object ? GuardError<Omit<O, "mode">> : GuardError<O>

/**
 * Waits in the lines of all `names` and holds all of them until the scope
 * closes. The order of the names does not matter; a name that is given twice is
 * locked once, exclusively if one of the two says so. No names is no lock.
 *
 * - **Order**: one ticket enters every line in one step, and is served when it
 *   is first in all of them and fits in all. While it waits it holds nothing,
 *   so those who wait for several locks never wait for each other in a circle.
 *   Those who came later stay behind it in each line, unless that would close a
 *   circle of waits: who already holds what it waits for may pass it.
 * - **Interruption, failure**: as with `lock`; it leaves all lines at once.
 *   `AcquireLockFailed` names the first lock that was in the way.
 * - **Reentrancy**: as with `lock`, for each name.
 *
 * With `external: true` it holds the locks of this process while it takes those
 * outside, one by one in an order that all keep, and gives back all if one fails.
 *
 * Gives what the holder gets for each name, in the order of `names`.
 *
 * What it does not promise: who holds scoped locks and hands them to another
 * fiber is known as the fiber that asked. A fiber that asks for more locks inside
 * a hold which another fiber took can wait behind a `lockAll` that waits for that
 * very hold.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { lockAll, LockRegistry } from "effect-locks"
 *
 * const transfer = (from: string, to: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     yield* lockAll([from, to, { name: "ledger", mode: "shared" }])
 *     yield* Effect.log(`nobody else is at ${from} or ${to}`)
 *   }))
 *
 * const program = Effect.all([transfer("a", "b"), transfer("b", "a")], { concurrency: "unbounded" })
 *
 * Effect.runPromise(Effect.provide(program, LockRegistry.layer))
 */
export const lockAll: {
  (names: ReadonlyArray<LockTarget>): Effect.Effect<ReadonlyArray<Held>, never, LockRegistry | Scope.Scope>
  <const O extends LockOptions | undefined>(
    names: ReadonlyArray<LockTarget>,
    options: O & Known<O>
  ): Effect.Effect<ReadonlyArray<Held<ExternalErrorOf<O>>>, AcquireAllError<O>, ServicesOf<O> | Scope.Scope>
} = (names: ReadonlyArray<LockTarget>, options?: LockOptions): any =>
  Options.resolved(
    () => Options.forAll(names, options),
    (all) =>
      all === undefined ? Effect.succeed([]) : Acquire.scoped(all.spec, (ticket, registry) => {
        const beyond = all.spec.settings.beyond !== undefined
        const holds = Lines.membersOf(ticket).filter(({ key }) => !key.isPlace).map((member): Held<ExternalLockError> =>
          Hold.make(member, registry, ticket, beyond)
        )
        return all.at.map((i) => holds[i]!)
      })
  )

const guarded = <A, E, R>(self: Effect.Effect<A, E, R>, names: ReadonlyArray<LockTarget>, options?: LockOptions) =>
  Options.resolved(
    () => Options.forAll(names, options),
    (all) => all === undefined ? self : Acquire.guard(self, all.spec)
  )

/**
 * Runs an effect while holding all `names`: to `lockAll` what `withLock` is to
 * `lock`.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withLockAll } from "effect-locks"
 *
 * const eat = (left: string, right: string) => Effect.log("eating").pipe(withLockAll([left, right]))
 *
 * const program = Effect.all([eat("fork 1", "fork 2"), eat("fork 2", "fork 1")], { concurrency: "unbounded" })
 *
 * Effect.runPromise(Effect.provide(program, LockRegistry.layer))
 */
export const withLockAll: {
  (names: ReadonlyArray<LockTarget>): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>
  <const O extends LockOptions | undefined>(
    names: ReadonlyArray<LockTarget>,
    options: O & Known<O>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | GuardAllError<O>, R | ServicesOf<O>>
  <A, E, R>(self: Effect.Effect<A, E, R>, names: ReadonlyArray<LockTarget>): Effect.Effect<A, E, LockRegistry | R>
  <A, E, R, const O extends LockOptions | undefined>(
    self: Effect.Effect<A, E, R>,
    names: ReadonlyArray<LockTarget>,
    options: O & Known<O>
  ): Effect.Effect<A, E | GuardAllError<O>, R | ServicesOf<O>>
} = firstOrLast(guarded)

/**
 * Named locks as scoped resources.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { YieldWrap } from "effect/Utils"
import { firstOrLast } from "./internal/acquire.ts"
import * as Acquire from "./internal/acquireBeyond.ts"
import * as Hold from "./internal/hold.ts"
import { misuse, show } from "./internal/misuse.ts"
import * as Options from "./internal/options.ts"
import type { AcquireLockFailed, ExternalLockError, LockKey, LockLost } from "./LockError.ts"
import type { AcquireError, ExternalErrorOf, GuardError, Known, LockOptions, ServicesOf } from "./LockOptions.ts"
import type { LockRegistry } from "./LockRegistry.ts"

/**
 * What the holder of a lock gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Held<out E = never> {
  readonly key: LockKey
  /** How it is held now: `upgrade` and `downgrade` change it. */
  readonly mode: "exclusive" | "shared"
  /**
   * A number that is larger than those of all grants of this lock before, on all hosts,
   * if the `ExternalLock` has such: what is changed under the lock can refuse whoever comes
   * with a smaller one (see `Fence`). It is that of the last grant or upgrade.
   */
  readonly token: bigint | undefined
  /**
   * Makes a shared hold exclusive, without letting go of it: waits until all
   * other readers have left, before everybody else in the line. Does nothing to
   * an exclusive hold.
   *
   * - It fails at once with `AcquireLockFailed` (reason `UpgradeConflict`), and
   *   the hold stays shared, when another reader waits to upgrade already: each
   *   would wait for the other to leave. Let go of the hold, so that the other
   *   can go on. So it does for a hold that is nested in a shared one.
   * - Interrupting the wait keeps the shared hold. There is no timeout of its
   *   own: use `Effect.timeout`. An interruption or a timeout that meets the grant
   *   leaves the hold exclusive; `mode` tells.
   * - A wait for a reader who waits, through `withLock`, for this fiber dies with
   *   `Deadlock`.
   * - Dies when the lock is not held any more, or its scope closes meanwhile.
   * - An external hold waits for nobody: who else reads, in this process or
   *   outside, makes it fail with `UpgradeConflict`, and the hold stays shared.
   */
  readonly upgrade: Effect.Effect<void, AcquireLockFailed | E>
  /**
   * Makes an exclusive hold shared in one step, and lets in the readers at the
   * head of the line: nobody can write in between. Does nothing to a shared hold.
   *
   * Dies when the lock is not held any more, or while an exclusive request
   * nested in a reentrant hold has not ended.
   */
  readonly downgrade: Effect.Effect<void, E>
  /**
   * Fails when the lock is lost outside of this process, before or when it is
   * released. Until then it waits: for ever, when the lock is not external.
   */
  readonly lost: Effect.Effect<never, LockLost>
}

const held = (spec: Options.Spec) =>
  Acquire.scoped<Held<ExternalLockError>>(
    spec,
    (ticket, registry) => Hold.make(ticket, registry, ticket, spec.settings.beyond !== undefined)
  )

/**
 * Waits in line for `name` and holds it until the scope closes, whatever ends
 * it: success, failure, interruption or a defect, in whichever fiber.
 *
 * - **Order**: strict, by priority and then arrival. Nobody overtakes a waiting
 *   request, except a fiber that holds what that request waits for.
 * - **Interruption**: the wait is interruptible and leaves the line at once; a
 *   grant that came too late is passed on.
 * - **Reentrancy**: only with `reentrant: true`. Without it, a fiber that asks again
 *   for what it holds waits for itself: inside `withLock` or `synchronized` it dies
 *   with `Deadlock`; a scoped hold may be closed by another fiber, so there it waits.
 *
 * A scope that is closed while `lock` waits, or before, releases the lock as soon
 * as it is granted, as `Effect.acquireRelease` would.
 *
 * It fails only if the options say so: `blocking: false`, `timeout`, `maxWaiting`,
 * `retry` and `reentrant` add `AcquireLockFailed`, and `external: true` adds
 * `ExternalLockError`. What it gives can upgrade and downgrade the hold.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { lock, LockRegistry } from "effect-locks"
 *
 * const program = Effect.scoped(
 *   Effect.gen(function*() {
 *     yield* lock("ledger")
 *     yield* Effect.log("nobody else is here until the scope closes")
 *   })
 * )
 *
 * Effect.runSync(Effect.provide(program, LockRegistry.layer))
 */
export const lock: {
  (name: string): Effect.Effect<Held, never, LockRegistry | Scope.Scope>
  <const O extends LockOptions | undefined>(
    name: string,
    options: O & Known<O>
  ): Effect.Effect<Held<ExternalErrorOf<O>>, AcquireError<O>, ServicesOf<O> | Scope.Scope>
} = (name: string, options?: LockOptions): any => Options.resolved(() => Options.forLock(name, options), held)

const guarded = <A, E, R>(self: Effect.Effect<A, E, R>, name: string, options: LockOptions | undefined) =>
  Options.resolved(() => Options.forLock(name, options), (spec) => Acquire.guard(self, spec))

/**
 * Runs an effect while holding `name`. Like `lock` around it, but the hold is
 * known to belong to the running fiber. A request without a limit that can never be
 * granted, because such holds wait for each other in a circle, dies at once with
 * `Deadlock`, which prints the circle.
 *
 * A fiber that waits for another fiber is not seen to wait. `Effect.timeout`,
 * `Effect.race`, `Effect.fork`, concurrent `Effect.all` and running a `Stream` start
 * fibers of their own; one that asks there for what its parent holds waits until
 * something else ends it, unless both ask with `reentrant: true`.
 *
 * The effect itself stays interruptible, and the lock is released before the
 * caller sees its outcome.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 *
 * let balance = 100
 * const withdraw = (amount: number) =>
 *   Effect.gen(function*() {
 *     const before = balance
 *     yield* Effect.sleep("1 millis")
 *     balance = before - amount
 *   }).pipe(withLock("balance", { prefix: "bank" }))
 *
 * const program = Effect.all([withdraw(30), withdraw(20)], { concurrency: "unbounded" })
 *
 * Effect.runPromise(Effect.provide(program, LockRegistry.layer)).then(() => {
 *   if (balance !== 50) throw new Error("an update was lost")
 * })
 */
export const withLock: {
  (name: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>
  <const O extends LockOptions | undefined>(
    name: string,
    options: O & Known<O>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | GuardError<O>, R | ServicesOf<O>>
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, LockRegistry | R>
  <A, E, R, const O extends LockOptions | undefined>(
    self: Effect.Effect<A, E, R>,
    name: string,
    options: O & Known<O>
  ): Effect.Effect<A, E | GuardError<O>, R | ServicesOf<O>>
} = firstOrLast(guarded)

/**
 * A function under a lock, as `synchronized` returns it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Synchronized<E1, R1> {
  <This, Args extends ReadonlyArray<any>, Yielded extends YieldWrap<Effect.Effect<any, any, any>>, A>(
    body: (this: This, ...args: Args) => Generator<Yielded, A, never>
  ): (
    this: This,
    ...args: Args
  ) => Effect.Effect<
    A,
    E1 | (Yielded extends YieldWrap<Effect.Effect<any, infer E, any>> ? E : never),
    R1 | (Yielded extends YieldWrap<Effect.Effect<any, any, infer R>> ? R : never)
  >
  <This, Args extends ReadonlyArray<any>, A, E, R>(
    body: (this: This, ...args: Args) => Effect.Effect<A, E, R>,
    context?: ClassMethodDecoratorContext
  ): (this: This, ...args: Args) => Effect.Effect<A, E | E1, R | R1>
}

const isGenerator = (value: unknown): value is Generator<any, any, never> =>
  Object.prototype.toString.call(value) === "[object Generator]"

/** Calls what `synchronized` was given, which only now shows whether it is what it should be. */
const call = (body: unknown, self: unknown, args: Array<unknown>): Effect.Effect<any, any, any> => {
  const expected = "synchronized takes a function that returns an Effect, or a generator function"
  if (typeof body !== "function") throw misuse(`${expected}, not ${show(body)}`)
  const result: unknown = body.apply(self, args)
  if (Effect.isEffect(result)) return result as Effect.Effect<any, any, any>
  if (isGenerator(result)) return Effect.gen(() => result)
  throw misuse(`${expected}; "${body.name}" returned ${show(result)}`)
}

/**
 * Makes a function hold `name` whenever the effect that it returns runs. It
 * takes a function that returns an `Effect` or a generator function, keeps
 * `this`, and is a method decorator too. The function is not even called before
 * the lock is held, and the lock is taken anew each time the effect runs.
 *
 * Order, interruption and ownership are those of `withLock`. The debug lines
 * name the function.
 *
 * A decorator cannot change the type of its method: declare the method with
 * `LockRegistry` in its requirements (and `AcquireLockFailed` in its errors if
 * the options add it), or give a `registry`.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, synchronized } from "effect-locks"
 *
 * const totals = new Map<string, number>()
 * const add = synchronized("totals")(function*(key: string, amount: number) {
 *   const before = totals.get(key) ?? 0
 *   yield* Effect.yieldNow()
 *   totals.set(key, before + amount)
 * })
 *
 * Effect.runPromise(Effect.provide(add("apples", 3), LockRegistry.layer))
 */
export const synchronized: {
  (name: string): Synchronized<never, LockRegistry>
  <const O extends LockOptions | undefined>(
    name: string,
    options: O & Known<O>
  ): Synchronized<GuardError<O>, ServicesOf<O>>
} = (name: string, options?: LockOptions): Synchronized<any, any> => (body: unknown): any => {
  const given = typeof body === "function" ? body : undefined
  const by = given?.name === "" ? undefined : given?.name
  const wrapper = function(this: unknown, ...args: Array<unknown>): Effect.Effect<any, any, any> {
    return Options.resolved(
      () => Options.forLock(name, options),
      (spec) => Acquire.guard(Effect.suspend(() => call(body, this, args)), spec, by)
    )
  }
  Object.defineProperty(wrapper, "name", { value: given?.name ?? "", configurable: true })
  Object.defineProperty(wrapper, "length", { value: given?.length ?? 0, configurable: true })
  return wrapper
}

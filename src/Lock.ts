/**
 * Named locks as scoped resources.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"
import type { YieldWrap } from "effect/Utils"
import * as Key from "./internal/lockKey.ts"
import * as Log from "./internal/lockLog.ts"
import { misuse, show } from "./internal/misuse.ts"
import * as internal from "./internal/registry.ts"
import { Ticket } from "./internal/ticket.ts"
import type { LockKey } from "./LockError.ts"
import { AcquireLockFailed, Deadlock } from "./LockError.ts"
import { LockRegistry } from "./LockRegistry.ts"

/**
 * How to take a lock.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockOptions {
  /**
   * `"shared"` holds the lock together with other shared holders, `"exclusive"`
   * alone: readers and writers. The line is one and its order strict: a waiting
   * writer is not overtaken by readers that came later, and readers that wait
   * next to each other enter together.
   * @default "exclusive"
   */
  readonly mode?: "exclusive" | "shared" | undefined
  /**
   * Strict arrival order. Every lock keeps it, so this changes nothing: letting
   * running fibers overtake was measured and did not pay. It is accepted for
   * readers of oslo's `fair`, and so that code which relies on order can say so.
   * @default false
   */
  readonly fair?: boolean | undefined
  /**
   * `false` fails at once with `AcquireLockFailed` (reason `Busy`) when the
   * lock is held or awaited. It wins over `timeout`.
   * @default true
   */
  readonly blocking?: boolean | undefined
  /**
   * Fails with `AcquireLockFailed` (reason `Timeout`) when the lock was not
   * granted in time, on Effect's `Clock`. A number is milliseconds. A lock that
   * is free is taken even with a timeout of 0; an infinite one is no timeout.
   * As with `Effect.sleep`, one of more than 2^31 - 1 milliseconds never ends.
   * @default waits for ever
   */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * Part of the key: equal names under different prefixes are different locks.
   * One trailing hyphen is dropped and `""` is no prefix, as in oslo.
   * @default no prefix
   */
  readonly prefix?: string | undefined
  /**
   * Takes the lock from this registry instead of the one provided, and so
   * removes the requirement of a `LockRegistry` (oslo's `semaphores`).
   * @default the `LockRegistry` service
   */
  readonly registry?: LockRegistry | undefined
  /**
   * Writes a debug line before waiting, after the grant and after the release
   * (oslo's `do_log`). Costs nothing unless the minimum log level is Debug.
   * @default true
   */
  readonly log?: boolean | undefined
}

/**
 * What the holder of a lock gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Held {
  readonly key: LockKey
  readonly mode: "exclusive" | "shared"
}

type ValueAt<O, K> = K extends keyof O ? O[K] : undefined

/**
 * How acquiring with options of type `O` can fail, for every value that `O` admits.
 *
 * @since 0.1.0
 * @category type-level
 */
export type AcquireError<O> = O extends unknown ? false extends ValueAt<O, "blocking"> ? AcquireLockFailed
  : [Exclude<ValueAt<O, "timeout">, undefined>] extends [never] ? never
  : AcquireLockFailed
  : never

/**
 * The service that options of type `O` need: none, when they surely bring a registry.
 *
 * @since 0.1.0
 * @category type-level
 */
export type RegistryOf<O> = O extends { readonly registry: LockRegistry } ? never : LockRegistry

type UnknownKey<O> = O extends unknown ? Exclude<keyof O, keyof LockOptions> : never

/**
 * Makes an option that does not exist a type error.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Known<O> = [UnknownKey<O>] extends [never] ? unknown
  : { readonly [K in UnknownKey<O>]?: never } | (O extends undefined ? undefined : never)

interface Spec {
  readonly key: Key.LockKey
  readonly mode: "exclusive" | "shared"
  readonly patience: internal.Patience
  readonly registry: internal.Registry | undefined
  readonly log: boolean
}

/** A timeout as a duration; an infinite one is none. */
const deadline = (key: Key.LockKey, timeout: Duration.DurationInput | undefined): Duration.Duration | undefined => {
  if (timeout === undefined) return undefined
  const duration = Duration.decodeUnknown(timeout)
  if (Option.isNone(duration) || Number.isNaN(timeout)) {
    throw misuse(
      `lock ${key}: the timeout ${show(timeout)} is not a duration; give milliseconds or a text such as "2 seconds"`
    )
  }
  return Duration.isFinite(duration.value) ? duration.value : undefined
}

const implementation = (key: Key.LockKey, registry: LockRegistry | undefined): internal.Registry | undefined => {
  if (registry === undefined || registry instanceof internal.Registry) return registry
  throw misuse(
    `lock ${key}: the registry must come from LockRegistry.make or the LockRegistry service, not ${show(registry)}`
  )
}

const resolve = (name: string, options: LockOptions | undefined): Spec => {
  if (typeof name !== "string") throw misuse(`the name of a lock must be a string, not ${show(name)}`)
  const given = options ?? {}
  if (typeof given !== "object") {
    throw misuse(`lock ${Key.make(undefined, name)}: the options must be an object, not ${show(given)}`)
  }
  const { blocking, log, mode = "exclusive", prefix, registry, timeout } = given
  if (prefix !== undefined && typeof prefix !== "string") {
    throw misuse(`lock ${Key.make(undefined, name)}: the prefix must be a string, not ${show(prefix)}`)
  }
  const key = Key.make(prefix, name)
  if (mode !== "exclusive" && mode !== "shared") {
    throw misuse(`lock ${key}: the mode must be "exclusive" or "shared", not ${show(mode)}`)
  }
  return {
    key,
    mode,
    patience: { blocking: blocking !== false, timeout: deadline(key, timeout) },
    registry: implementation(key, registry),
    log: log !== false
  }
}

// Misuse dies when the effect runs, where the fiber's trace tells who ran it.
const resolved = <A, E, R>(
  name: string,
  options: LockOptions | undefined,
  f: (spec: Spec) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  let spec: Spec
  try {
    spec = resolve(name, options)
  } catch (defect) {
    return Effect.die(defect)
  }
  return f(spec)
}

const describe = (tickets: ReadonlyArray<Ticket>) => tickets.map((ticket) => ticket.describe())

const refuse = (
  ticket: Ticket,
  { holders, reason }: internal.Refused
): Effect.Effect<never, AcquireLockFailed> =>
  reason === "SelfDeadlock"
    ? Effect.die(new Deadlock({ key: ticket.key, fiberId: ticket.fiberId, holders: describe(holders) }))
    : Effect.fail(
      new AcquireLockFailed({
        key: ticket.key,
        reason,
        waited: Duration.millis(ticket.waited()),
        holders: describe(holders)
      })
    )

/**
 * Runs `use` when `spec` is granted, with the effect that ends the hold. Must
 * run uninterruptible, and so does `use`, which has to see to the release.
 */
const acquire = <A, E, R>(
  spec: Spec,
  owned: boolean,
  by: string | undefined,
  restore: internal.Restore,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  use: (release: <B>(value: B) => Effect.Effect<B>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | AcquireLockFailed, R> => {
  const registry = spec.registry ?? Context.unsafeGet(fiber.currentContext, LockRegistry) as internal.Registry
  const ticket = new Ticket(spec.key, spec.mode, owned, fiber)
  if (!(spec.log && Log.isHeard(fiber))) {
    return registry.acquire<A, E | AcquireLockFailed, R>(
      ticket,
      spec.patience,
      fiber,
      restore,
      () => use((value) => registry.release(ticket, value)),
      refuse
    )
  }
  const log = Log.make(ticket, by)
  return Effect.zipRight(
    log.acquiring,
    registry.acquire<A, E | AcquireLockFailed, R>(
      ticket,
      spec.patience,
      fiber,
      restore,
      () =>
        Effect.zipRight(log.acquired, use((value) => Effect.zipLeft(registry.release(ticket, value), log.released))),
      (_, refused) => Effect.zipRight(log.refused(refused.reason), refuse(ticket, refused))
    )
  )
}

/**
 * `Effect.uninterruptibleMask` for an `f` that needs its fiber and only builds an
 * effect. Reading the fiber's flags here saves an operation, a fifteenth of an
 * uncontended acquisition.
 */
const uninterruptibly = <A, E, R>(
  f: (restore: internal.Restore, fiber: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
    RuntimeFlags.interruption(runtimeFlags)
      ? Effect.uninterruptible(f(Effect.interruptible, fiber))
      : f(identity, fiber)
  )

const guard = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  spec: Spec,
  by?: string
): Effect.Effect<A, E | AcquireLockFailed, R> =>
  uninterruptibly((restore, fiber) =>
    acquire(spec, true, by, restore, fiber, (release) =>
      Effect.matchCauseEffect(restore(self), {
        onFailure: (cause) => Effect.zipRight(release(undefined), Effect.failCause(cause)),
        onSuccess: release
      }))
  )

const scoped = (spec: Spec): Effect.Effect<Held, AcquireLockFailed, Scope.Scope> => {
  const held = Effect.succeed<Held>({ key: spec.key, mode: spec.mode })
  return uninterruptibly((restore, fiber) => {
    const scope = Context.unsafeGet(fiber.currentContext as Context.Context<Scope.Scope>, Scope.Scope)
    return acquire(
      spec,
      false,
      undefined,
      restore,
      fiber,
      (release) => Effect.zipRight(Scope.addFinalizerExit(scope, () => release(undefined)), held)
    )
  })
}

/**
 * Waits in line for `name` and holds it until the scope closes, whatever ends
 * it: success, failure, interruption or a defect, in whichever fiber.
 *
 * - **Order**: strict order of arrival. Nobody overtakes a waiting request.
 * - **Interruption**: the wait is interruptible and leaves the line at once; a
 *   grant that came too late is passed on.
 * - **Reentrancy**: none. A fiber that asks again for what it holds waits for
 *   itself. Only holds of `withLock` and `synchronized` are known to belong to
 *   their fiber: asked for inside one, the request dies with `Deadlock` instead
 *   of hanging.
 *
 * A scope that is closed while `lock` waits, or before, releases the lock as soon
 * as it is granted, as `Effect.acquireRelease` would.
 *
 * It fails only if the options say so: `blocking: false` and `timeout` add
 * `AcquireLockFailed`.
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
  ): Effect.Effect<Held, AcquireError<O>, RegistryOf<O> | Scope.Scope>
} = (name: string, options?: LockOptions): any => resolved(name, options, scoped)

const guarded = <A, E, R>(self: Effect.Effect<A, E, R>, name: string, options: LockOptions | undefined) =>
  resolved(name, options, (spec) => guard(self, spec))

/**
 * Runs an effect while holding `name`. Like `lock` around it, but the hold is
 * known to belong to the running fiber: when that fiber asks for the same lock
 * again, without a timeout and without `blocking: false`, the request can never
 * be granted, and dies at once with `Deadlock`.
 *
 * Only the fiber itself is seen. `Effect.timeout`, `Effect.race`, `Effect.fork`,
 * concurrent `Effect.all` and running a `Stream` start fibers of their own; one
 * that asks there for what its parent holds waits until something else ends it.
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
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireError<O> | E, R | RegistryOf<O>>
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, LockRegistry | R>
  <A, E, R, const O extends LockOptions | undefined>(
    self: Effect.Effect<A, E, R>,
    name: string,
    options: O & Known<O>
  ): Effect.Effect<A, AcquireError<O> | E, R | RegistryOf<O>>
} = function(...args: ReadonlyArray<any>): any {
  // Not `dual`, whose spread of `arguments` costs a tenth of an uncontended acquisition.
  return Effect.isEffect(args[0])
    ? guarded(args[0], args[1], args[2])
    : (self: Effect.Effect<unknown, unknown, unknown>) => guarded(self, args[0], args[1])
}

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
  ): Synchronized<AcquireError<O>, RegistryOf<O>>
} = (name: string, options?: LockOptions): Synchronized<any, any> => (body: unknown): any => {
  const given = typeof body === "function" ? body : undefined
  const by = given?.name === "" ? undefined : given?.name
  const wrapper = function(this: unknown, ...args: Array<unknown>): Effect.Effect<any, any, any> {
    return resolved(name, options, (spec) => guard(Effect.suspend(() => call(body, this, args)), spec, by))
  }
  Object.defineProperty(wrapper, "name", { value: given?.name ?? "", configurable: true })
  Object.defineProperty(wrapper, "length", { value: given?.length ?? 0, configurable: true })
  return wrapper
}

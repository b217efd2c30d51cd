/**
 * How to take a lock, and what the types make of it.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import type { ExternalLock } from "./ExternalLock.ts"
import type { AcquireLockFailed, ExternalLockError, LockLost } from "./LockError.ts"
import type { LockRegistry } from "./LockRegistry.ts"

/**
 * How long to wait, in which registry: what every kind of lock can be asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface WaitOptions {
  /**
   * Strict arrival order. Every lock keeps it, so this changes nothing: letting
   * running fibers overtake was measured and did not pay. It is accepted for
   * readers of oslo's `fair`, and so that code which relies on order can say so.
   * @default false
   */
  readonly fair?: boolean | undefined
  /**
   * `false` fails at once with `AcquireLockFailed` (reason `Busy`) when the
   * lock is held or awaited, unless only those await it who are waiting for what
   * this fiber holds: these it may pass. It wins over `timeout`.
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
   * The larger is served first; among equals the order is that of arrival. A
   * request is not promised to be served while others of a higher priority come.
   * Any finite number.
   * @default 0
   */
  readonly priority?: number | undefined
  /**
   * Fails with `AcquireLockFailed` (reason `QueueFull`) instead of waiting when
   * this many requests wait already. 0 never waits. What it may pass it takes, as
   * with `blocking: false`.
   * @default unlimited
   */
  readonly maxWaiting?: number | undefined
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
 * How to take a lock of this process alone: what a function can pass on that has
 * no `ExternalLock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LocalLockOptions extends WaitOptions {
  /**
   * `"shared"` holds the lock together with other shared holders, `"exclusive"`
   * alone: readers and writers. They stand in one line: a waiting writer is not
   * overtaken by readers that came later, and readers that wait next to each
   * other enter together.
   * @default "exclusive"
   */
  readonly mode?: "exclusive" | "shared" | undefined
  /**
   * Lets the holding fiber, and the fibers that it forks while it holds, lock
   * the same key again inside the hold, if they ask with `reentrant` too. Such a
   * lock is nested in the hold: those who take it exclude each other, and the key
   * passes on when the hold and all locks nested in it have ended. Asking for
   * `"exclusive"` inside a shared hold fails with `AcquireLockFailed` (reason
   * `UpgradeConflict`). Writes a `FiberRef`, which other locks do not.
   * @default false
   */
  readonly reentrant?: boolean | undefined
  readonly external?: false | undefined
}

/**
 * How to take a lock.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockOptions extends Omit<LocalLockOptions, "external"> {
  /**
   * Holds the lock beyond this process too, as far as the `ExternalLock` service
   * reaches that is provided: with `FileLock`, against all processes of the host.
   * The lock of this process is taken first and released last. It adds
   * `ExternalLockError`, for when there are no such locks to be had.
   *
   * Such a lock may be lost while it is held. What `withLock` and `synchronized`
   * run is interrupted then, with all fibers that its fiber has forked, and they fail
   * with `LockLost`; the fiber goes on. `lost` of a scoped lock fails.
   * @default false
   */
  readonly external?: boolean | undefined
  /**
   * How to wait for those outside of this process, instead of the way of the
   * `ExternalLock`: asks again whenever the schedule says so (oslo's `delay`), and
   * fails with `AcquireLockFailed` (reason `RetriesExhausted`) when it ends. The
   * schedule is given nothing. Without `external` it changes nothing.
   * @default the waiting of the `ExternalLock`, for ever
   */
  readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
  /**
   * Where to keep the lock instead of the place that was configured, as oslo's
   * `lock_path`: a directory for `FileLock`. An `ExternalLock` that has no paths
   * fails with `ExternalLockError`. Without `external` it changes nothing.
   * @default what the layer was given
   */
  readonly lockPath?: string | undefined
}

type ValueAt<O, K> = K extends keyof O ? O[K] : undefined

type IsGiven<O, K> = [Exclude<ValueAt<O, K>, undefined>] extends [never] ? false : true

/** Is it `B`, and not `any`, which may be anything? */
type IsSurely<A, B, Other> = [A] extends [B] ? ([Other] extends [A] ? false : true) : false

type MayConflict<O> = true extends ValueAt<O, "reentrant">
  ? (IsSurely<ValueAt<O, "mode">, "shared", "exclusive"> extends true ? false : true)
  : false

type MayFail<O> = false extends ValueAt<O, "blocking"> ? true
  : IsGiven<O, "timeout"> | IsGiven<O, "maxWaiting"> | IsGiven<O, "retry"> | MayConflict<O>

/** Something when the lock may be external, for some value that `O` admits. */
type IfExternal<O, Something> = O extends unknown ? (true extends ValueAt<O, "external"> ? Something : never) : never

/**
 * How an external lock may be unable to lock at all.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ExternalErrorOf<O> = IfExternal<O, ExternalLockError>

/**
 * How waiting with options of type `O` can fail, for every value that `O` admits.
 *
 * @since 0.1.0
 * @category type-level
 */
export type WaitError<O> = O extends unknown ? (true extends MayFail<O> ? AcquireLockFailed : never) : never

/**
 * How acquiring with options of type `O` can fail, for every value that `O` admits.
 *
 * @since 0.1.0
 * @category type-level
 */
export type AcquireError<O> = WaitError<O> | ExternalErrorOf<O>

/**
 * How running an effect under a lock can fail because of the lock.
 *
 * @since 0.1.0
 * @category type-level
 */
export type GuardError<O> = AcquireError<O> | IfExternal<O, LockLost>

/**
 * The service that options of type `O` need: none, when they surely bring a registry.
 *
 * @since 0.1.0
 * @category type-level
 */
export type RegistryOf<O> = O extends { readonly registry: infer Given }
  ? (IsSurely<Given, LockRegistry, undefined> extends true ? never : LockRegistry)
  : LockRegistry

/**
 * The services that options of type `O` need.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ServicesOf<O> = RegistryOf<O> | IfExternal<O, ExternalLock>

type UnknownKey<O, Options> = O extends unknown ? Exclude<keyof O, keyof Options> : never

/**
 * Makes an option that does not exist a type error.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Known<O, Options = LockOptions> = [UnknownKey<O, Options>] extends [never] ? unknown
  : { readonly [K in UnknownKey<O, Options>]?: never } | (O extends undefined ? undefined : never)

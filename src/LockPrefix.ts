/**
 * The locks of one prefix.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { FileLock, RemoveOptions } from "./FileLock.ts"
import { tag } from "./internal/fileLockTag.ts"
import { misuse, show } from "./internal/misuse.ts"
import { type Held, lock, type Synchronized, synchronized, withLock } from "./Lock.ts"
import { type AcquireAllError, type GuardAllError, lockAll, type LockTarget, withLockAll } from "./LockAll.ts"
import type { ExternalLockError, LockLost } from "./LockError.ts"
import type {
  AcquireError,
  ExternalErrorOf,
  GuardError,
  Known,
  LockOptions,
  RegistryOf,
  ServicesOf,
  WaitError
} from "./LockOptions.ts"
import type { LockRegistry } from "./LockRegistry.ts"
import { type HeldPermits, semaphore, type SemaphoreOptions, withSemaphore } from "./LockSemaphore.ts"

/**
 * `LockOptions` where the prefix is given already.
 *
 * @since 0.1.0
 * @category models
 */
export type PrefixedOptions = Omit<LockOptions, "prefix">

/**
 * `SemaphoreOptions` where the prefix is given already.
 *
 * @since 0.1.0
 * @category models
 */
export type PrefixedSemaphoreOptions = Omit<SemaphoreOptions, "prefix">

/**
 * `RemoveOptions` where the prefix is given already.
 *
 * @since 0.1.0
 * @category models
 */
export type PrefixedRemoveOptions = Omit<RemoveOptions, "prefix">

/**
 * Every way to take a lock, under one prefix.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prefixed {
  readonly lock: {
    (name: string): Effect.Effect<Held, never, LockRegistry | Scope.Scope>
    <const O extends PrefixedOptions | undefined>(
      name: string,
      options: O & Known<O, PrefixedOptions>
    ): Effect.Effect<Held<ExternalErrorOf<O>>, AcquireError<O>, ServicesOf<O> | Scope.Scope>
  }
  readonly withLock: {
    (name: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>
    <const O extends PrefixedOptions | undefined>(
      name: string,
      options: O & Known<O, PrefixedOptions>
    ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | GuardError<O>, R | ServicesOf<O>>
    <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, LockRegistry | R>
    <A, E, R, const O extends PrefixedOptions | undefined>(
      self: Effect.Effect<A, E, R>,
      name: string,
      options: O & Known<O, PrefixedOptions>
    ): Effect.Effect<A, E | GuardError<O>, R | ServicesOf<O>>
  }
  readonly synchronized: {
    (name: string): Synchronized<never, LockRegistry>
    <const O extends PrefixedOptions | undefined>(
      name: string,
      options: O & Known<O, PrefixedOptions>
    ): Synchronized<GuardError<O>, ServicesOf<O>>
  }
  readonly lockAll: {
    (names: ReadonlyArray<LockTarget>): Effect.Effect<ReadonlyArray<Held>, never, LockRegistry | Scope.Scope>
    <const O extends PrefixedOptions | undefined>(
      names: ReadonlyArray<LockTarget>,
      options: O & Known<O, PrefixedOptions>
    ): Effect.Effect<ReadonlyArray<Held<ExternalErrorOf<O>>>, AcquireAllError<O>, ServicesOf<O> | Scope.Scope>
  }
  readonly withLockAll: {
    (
      names: ReadonlyArray<LockTarget>
    ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>
    <const O extends PrefixedOptions | undefined>(
      names: ReadonlyArray<LockTarget>,
      options: O & Known<O, PrefixedOptions>
    ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | GuardAllError<O>, R | ServicesOf<O>>
    <A, E, R>(self: Effect.Effect<A, E, R>, names: ReadonlyArray<LockTarget>): Effect.Effect<A, E, LockRegistry | R>
    <A, E, R, const O extends PrefixedOptions | undefined>(
      self: Effect.Effect<A, E, R>,
      names: ReadonlyArray<LockTarget>,
      options: O & Known<O, PrefixedOptions>
    ): Effect.Effect<A, E | GuardAllError<O>, R | ServicesOf<O>>
  }
  readonly semaphore: <const O extends PrefixedSemaphoreOptions>(
    name: string,
    options: O & Known<O, PrefixedSemaphoreOptions>
  ) => Effect.Effect<HeldPermits, WaitError<O>, RegistryOf<O> | Scope.Scope>
  readonly withSemaphore: {
    <const O extends PrefixedSemaphoreOptions>(
      name: string,
      options: O & Known<O, PrefixedSemaphoreOptions>
    ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, WaitError<O> | E, R | RegistryOf<O>>
    <A, E, R, const O extends PrefixedSemaphoreOptions>(
      self: Effect.Effect<A, E, R>,
      name: string,
      options: O & Known<O, PrefixedSemaphoreOptions>
    ): Effect.Effect<A, WaitError<O> | E, R | RegistryOf<O>>
  }
  /** `remove` of `FileLock` (oslo's `remove_external_lock_file_with_prefix`). */
  readonly removeLockFile: {
    (name: string): Effect.Effect<void, ExternalLockError | LockLost, FileLock | LockRegistry>
    <const O extends PrefixedRemoveOptions | undefined>(
      name: string,
      options: O & Known<O, PrefixedRemoveOptions>
    ): Effect.Effect<void, ExternalLockError | LockLost | WaitError<O>, FileLock | RegistryOf<O>>
  }
}

/**
 * The locks of one prefix, such as the name of a service: each call is the one of
 * the same name, with `prefix` (oslo's `lock_with_prefix` and
 * `synchronized_with_prefix`). To give it a prefix too is a type error, and throws.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withPrefix } from "effect-locks"
 *
 * const { synchronized, withLock } = withPrefix("nova")
 *
 * const resize = synchronized("servers")(function*(server: string) {
 *   yield* Effect.log(`resizing ${server}, under the lock nova-servers`).pipe(withLock(server))
 * })
 *
 * Effect.runPromise(Effect.provide(resize("one"), LockRegistry.layer))
 */
export const withPrefix = (prefix: string): Prefixed => {
  const within = (options: any) => {
    if (options?.prefix === undefined) return { ...options, prefix }
    throw misuse(
      `these locks have the prefix ${show(prefix)}, and ${show(options.prefix)} was given besides; leave that out`
    )
  }
  /** Of what takes an effect first or last. */
  const guarded = (guard: any) => (...args: ReadonlyArray<any>): any =>
    Effect.isEffect(args[0]) ? guard(args[0], args[1], within(args[2])) : guard(args[0], within(args[1]))
  return {
    lock: (name: string, options?: PrefixedOptions): any => lock(name, within(options)),
    withLock: guarded(withLock),
    synchronized: (name: string, options?: PrefixedOptions): any => synchronized(name, within(options)),
    lockAll: (names: ReadonlyArray<LockTarget>, options?: PrefixedOptions): any => lockAll(names, within(options)),
    withLockAll: guarded(withLockAll),
    semaphore: (name: string, options: PrefixedSemaphoreOptions): any => semaphore(name, within(options)),
    withSemaphore: guarded(withSemaphore),
    removeLockFile: (name: string, options?: PrefixedRemoveOptions): any =>
      Effect.flatMap(tag, (files) => files.remove(name, within(options)))
  }
}

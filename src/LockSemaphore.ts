/**
 * Named locks that several may hold at once: counting semaphores.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Acquire from "./internal/acquire.ts"
import * as Options from "./internal/options.ts"
import type { LockKey } from "./LockError.ts"
import type { Known, RegistryOf, WaitError, WaitOptions } from "./LockOptions.ts"

/**
 * How many permits a semaphore has, and how many to take.
 *
 * @since 0.1.0
 * @category models
 */
export interface SemaphoreOptions extends WaitOptions {
  /** How many permits there are. Every use of a name that is in use must say the same number; 1 or more. */
  readonly permits: number
  /**
   * How many permits to take, from 1 to `permits`.
   * @default 1
   */
  readonly take?: number | undefined
}

/**
 * What the holder of permits gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeldPermits {
  readonly key: LockKey
  /** How many permits are held. */
  readonly permits: number
}

const held = (spec: Options.Spec) => {
  const { key, permits } = spec.demand
  return Acquire.scoped<HeldPermits>(spec, () => ({ key, permits }))
}

/**
 * Waits in line for permits of the semaphore `name` and holds them until the
 * scope closes. A name has `permits` permits, and is a semaphore for as long as
 * somebody holds or awaits some of them.
 *
 * Order, interruption and failure are those of `lock`: the line is strict, so a
 * request for many permits is not overtaken by lighter ones that would fit. Not
 * reentrant.
 *
 * To take more permits than there are, to have less than one, or to give a name
 * that is in use another number of permits (or use it as a `lock`) is a defect
 * that says what to change.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, semaphore } from "effect-locks"
 *
 * const download = (url: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     yield* semaphore("downloads", { permits: 4 })
 *     yield* Effect.log(`one of at most four downloads: ${url}`)
 *   }))
 *
 * const program = Effect.forEach(["a", "b", "c", "d", "e"], download, { concurrency: "unbounded" })
 *
 * Effect.runPromise(Effect.provide(program, LockRegistry.layer))
 */
export const semaphore: {
  <const O extends SemaphoreOptions>(
    name: string,
    options: O & Known<O, SemaphoreOptions>
  ): Effect.Effect<HeldPermits, WaitError<O>, RegistryOf<O> | Scope.Scope>
} = (name: string, options: SemaphoreOptions): any => Options.resolved(() => Options.forSemaphore(name, options), held)

const guarded = <A, E, R>(self: Effect.Effect<A, E, R>, name: string, options: SemaphoreOptions) =>
  Options.resolved(() => Options.forSemaphore(name, options), (spec) => Acquire.guard(self, spec))

/**
 * Runs an effect while holding permits of a semaphore: to `semaphore` what
 * `withLock` is to `lock`.
 *
 * @since 0.1.0
 * @category locks
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withSemaphore } from "effect-locks"
 *
 * const render = (megabytes: number) =>
 *   Effect.log(`rendering with ${megabytes} MB`).pipe(withSemaphore("memory", { permits: 512, take: megabytes }))
 *
 * const program = Effect.forEach([400, 100, 200], render, { concurrency: "unbounded" })
 *
 * Effect.runPromise(Effect.provide(program, LockRegistry.layer))
 */
export const withSemaphore: {
  <const O extends SemaphoreOptions>(
    name: string,
    options: O & Known<O, SemaphoreOptions>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, WaitError<O> | E, R | RegistryOf<O>>
  <A, E, R, const O extends SemaphoreOptions>(
    self: Effect.Effect<A, E, R>,
    name: string,
    options: O & Known<O, SemaphoreOptions>
  ): Effect.Effect<A, WaitError<O> | E, R | RegistryOf<O>>
} = Acquire.firstOrLast(guarded)

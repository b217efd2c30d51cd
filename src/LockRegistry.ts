/**
 * The named locks of one process.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as internal from "./internal/registry.ts"
import type { LockKey, LockRequest } from "./LockError.ts"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = internal.TypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~effect-locks/LockRegistry"

/**
 * A namespace of locks. Two fibers exclude each other when they use equal keys
 * in the *same* registry; the same name in two registries is two locks.
 *
 * A lock needs no creating and no disposing: it is in the registry exactly
 * while it is held or awaited, so a registry at rest is empty, however many
 * names it has seen.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockRegistry {
  readonly [TypeId]: TypeId
  /**
   * The locks that are held or awaited, all at one moment. It may be out of
   * date the instant after it is taken: look at it, but decide nothing by it.
   */
  readonly snapshot: Effect.Effect<ReadonlyArray<LockSnapshot>>
  /**
   * What happens to requests, from the moment that the stream runs, in the order
   * in which it happens. It costs nothing while nobody listens. Nobody waits for
   * a slow listener: what it has not read yet is kept for it, without bound.
   */
  readonly changes: Stream.Stream<LockEvent>
  /**
   * Does somebody hold `name`? It may be out of date the instant after it is
   * known: to act on it, ask for the lock with `blocking: false` instead.
   */
  readonly isLocked: (name: string, options?: LockName) => Effect.Effect<boolean>
}

/**
 * What else belongs to the key of a lock.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockName {
  /** As in `LockOptions`. */
  readonly prefix?: string | undefined
}

/**
 * One lock at the moment of the snapshot.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockSnapshot {
  readonly key: LockKey
  /** How many permits it has: those of a semaphore, `Infinity` for any other lock. */
  readonly permits: number
  readonly holders: ReadonlyArray<LockRequest>
  /** In the order in which they will be served. */
  readonly waiters: ReadonlyArray<LockWaiter>
  /** The reentrant hold in which this lock is nested, if it is: it has the same key. */
  readonly within: LockRequest | undefined
}

/**
 * A request that waits.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockWaiter extends LockRequest {
  /** Its place in the line; the next to be served has 1. */
  readonly position: number
}

/**
 * What happened to a request.
 *
 * - `Waiting`: it was not granted at once, and stands in line.
 * - `Granted`: it holds, at once or after waiting.
 * - `Released`: its hold ended.
 * - `Abandoned`: it left the line: interrupted, timed out, or its scope closed.
 *
 * A request for several locks has an event for each. An upgrade is a request of
 * its own; it is released by the downgrade or with the hold. To downgrade any
 * other hold releases it and grants it anew, in one step, as shared.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockEvent {
  readonly _tag: "Waiting" | "Granted" | "Released" | "Abandoned"
  readonly key: LockKey
  readonly request: LockRequest
  /** The reentrant hold in which it is or was nested, if so: it has the same key. */
  readonly within: LockRequest | undefined
}

const make: Effect.Effect<LockRegistry> = internal.make

const tag = Context.GenericTag<LockRegistry>("effect-locks/LockRegistry")

/**
 * The service that `lock`, `withLock` and `synchronized` take their locks from.
 *
 * **Provide it once, at the edge of the program.** `layer` makes a new
 * namespace each time it is built: `Effect.provide(a, LockRegistry.layer)` and
 * `Effect.provide(b, LockRegistry.layer)` are two registries, and `a` and `b`
 * then exclude each other in nothing. Where that cannot be arranged, use
 * `layerGlobal`.
 *
 * @since 0.1.0
 * @category services
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const locks = yield* LockRegistry.snapshot
 *   for (const { holders, key } of locks) yield* Effect.log(`${key} is held by ${holders.length}`)
 *   yield* Effect.log(`report is locked: ${yield* LockRegistry.isLocked("report")}`)
 * }).pipe(withLock("report"))
 *
 * Effect.runSync(Effect.provide(program, LockRegistry.layer))
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   yield* LockRegistry.changes.pipe(
 *     Stream.runForEach(({ _tag, key }) => Effect.log(`${key}: ${_tag}`)),
 *     Effect.fork
 *   )
 *   yield* Effect.yieldNow() // the stream begins to run
 *   yield* Effect.void.pipe(withLock("report"))
 *   yield* Effect.yieldNow()
 * })
 *
 * // Wherever else in this process layerGlobal is provided, "report" is this lock.
 * Effect.runPromise(Effect.provide(program, LockRegistry.layerGlobal))
 *
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const registry = yield* LockRegistry.make
 *   yield* Effect.log("no registry is provided").pipe(withLock("report", { registry }))
 * })
 *
 * Effect.runSync(program)
 */
export const LockRegistry: Context.Tag<LockRegistry, LockRegistry> & {
  /** Makes a registry of its own, for the `registry` option. */
  readonly make: Effect.Effect<LockRegistry>
  /** A new namespace each time it is built. */
  readonly layer: Layer.Layer<LockRegistry>
  /** The namespace of this process, the same wherever it is built: oslo's module-level container. */
  readonly layerGlobal: Layer.Layer<LockRegistry>
  /** The locks held or awaited in the provided registry, all at one moment. */
  readonly snapshot: Effect.Effect<ReadonlyArray<LockSnapshot>, never, LockRegistry>
  /** What happens in the provided registry, while the stream runs. */
  readonly changes: Stream.Stream<LockEvent, never, LockRegistry>
  /** Does somebody hold `name` in the provided registry? */
  readonly isLocked: (name: string, options?: LockName) => Effect.Effect<boolean, never, LockRegistry>
} = /*#__PURE__*/ Object.assign(tag, {
  make,
  layer: Layer.effect(tag, make),
  layerGlobal: Layer.sync(tag, () => globalValue("effect-locks/LockRegistry/global", () => Effect.runSync(make))),
  snapshot: Effect.flatMap(tag, (registry) => registry.snapshot),
  changes: Stream.unwrap(Effect.map(tag, (registry) => registry.changes)),
  isLocked: (name: string, options?: LockName) => Effect.flatMap(tag, (registry) => registry.isLocked(name, options))
})

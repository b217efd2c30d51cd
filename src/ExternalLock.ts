/**
 * What a lock that reaches beyond the process must do.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Key from "./internal/lockKey.ts"
import type { ExternalLockError, LockKey, LockLost } from "./LockError.ts"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = "~effect-locks/ExternalLock"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~effect-locks/ExternalLock"

/**
 * What holds for every lock of an `ExternalLock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Guarantees {
  /** Who is excluded: the processes of this host, or also those of other hosts; or nobody outside of this process. */
  readonly reach: "process" | "host" | "cluster"
  /**
   * When the lock of a holder that died is free again: with its end, or when it
   * has not been heard of for a while.
   */
  readonly freedOnDeath: "at once" | "after a silence"
  /**
   * Whether others stay out, for as long as a holder has not let go, while it
   * is slow (its event loop stands still, or it gets no processor), paused (its process
   * is stopped), or cut off (its machine stands still or cannot be reached). While it is none of these they always do.
   */
  readonly excludesWhile: { readonly slow: boolean; readonly paused: boolean; readonly cutOff: boolean }
  /** Nobody waits for ever while others come and go. */
  readonly starvationFree: boolean
  /** Processes are served in the order in which they came. */
  readonly arrivalOrder: boolean
  /** Each grant has a token, which is larger than those of all grants of the same lock before it. */
  readonly fencing: boolean
  /** Several may hold it shared at once. */
  readonly shared: boolean
  /**
   * The longest time for which a body may run on that has lost its lock, as long
   * as its process runs; who stops the whole process stops this clock too.
   */
  readonly lossSeenWithin: Duration.Duration
}

/**
 * A hold, as its backend knows it: the backend makes one for each grant, and says
 * so when it is lost.
 *
 * @since 0.1.0
 * @category models
 * @example
 * import { Effect } from "effect"
 * import { ExternalHold } from "effect-locks/ExternalLock"
 * import type { LockLost } from "effect-locks"
 *
 * // A hold of a backend whose connection tells when it ends.
 * class ConnectionHold extends ExternalHold {
 *   readonly release = Effect.log("unlocked")
 *   readonly tryUpgrade = Effect.succeed(false)
 *   readonly downgrade = Effect.void
 *   readonly check = Effect.void
 *   constructor(onDisconnect: (listener: (loss: LockLost) => void) => void) {
 *     super()
 *     onDisconnect((loss) => this.lose(loss))
 *   }
 * }
 *
 * Effect.runPromise(new ConnectionHold(() => {}).release)
 */
export abstract class ExternalHold {
  /**
   * Ends it. It runs once and uninterruptible; a loss that shows only then is told before it is over.
   *
   * @since 0.1.0
   */
  abstract readonly release: Effect.Effect<void>
  /**
   * Makes a shared hold exclusive if that is possible at once. Whatever comes of it, it stays held.
   *
   * @since 0.1.0
   */
  abstract readonly tryUpgrade: Effect.Effect<boolean, ExternalLockError>
  /**
   * Makes an exclusive hold shared; nobody can hold it exclusively in between.
   *
   * @since 0.1.0
   */
  abstract readonly downgrade: Effect.Effect<void, ExternalLockError>
  /**
   * Looks whether it is lost; who can be told of a loss only by looking does so then.
   *
   * @since 0.1.0
   */
  abstract readonly check: Effect.Effect<void>
  /**
   * Its fencing token, if the backend has any. An upgrade may draw a new one.
   *
   * @since 0.1.0
   */
  readonly token: bigint | undefined = undefined
  private loss: LockLost | undefined = undefined
  private readonly listeners = new Set<(loss: LockLost) => void>()

  /** The loss, if it is known. */
  get lostAs(): LockLost | undefined {
    return this.loss
  }

  /**
   * For the backend: it is lost from now on. Only the first loss counts.
   *
   * @since 0.1.0
   */
  lose(loss: LockLost): void {
    if (this.loss !== undefined) return
    this.loss = loss
    const listeners = Array.from(this.listeners)
    this.listeners.clear()
    for (const listener of listeners) listener(loss)
  }

  /**
   * Calls `listener` when it is lost, at once if it is already. Gives back how to stop that.
   *
   * @since 0.1.0
   */
  onLost(listener: (loss: LockLost) => void): () => void {
    if (this.loss === undefined) this.listeners.add(listener)
    else listener(this.loss)
    return () => this.listeners.delete(listener)
  }

  /** Fails when it is lost. */
  get lost(): Effect.Effect<never, LockLost> {
    return Effect.async((resume) => {
      const stop = this.onLost((loss) => resume(loss))
      return Effect.sync(stop)
    })
  }
}

/**
 * What is asked of an `ExternalLock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExternalRequest {
  /** For messages: what identifies the lock is its place. */
  readonly key: LockKey
  /** Where the key leads, as `place` told. */
  readonly place: string
  readonly mode: "exclusive" | "shared"
  /**
   * Will `acquire` follow when it is not free? Then `tryAcquire` may say `None` for a lock that was not free a moment
   * ago, without looking.
   */
  readonly waits?: boolean | undefined
}

/**
 * A lock that reaches beyond the process. `lock` and its kin ask it when
 * `external` is true, and hold a lock of the registry meanwhile: so at most one
 * fiber of a registry asks for a place exclusively, and nobody asks beside it.
 * Requests of several registries may meet here, and exclude each other.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExternalLock {
  readonly [TypeId]: TypeId
  readonly guarantees: Guarantees
  /**
   * Where the lock of a key is kept. Keys of equal places are one lock. It fails
   * when the key cannot be kept, or `lockPath` is given and means nothing here.
   */
  readonly place: (key: LockKey, lockPath: string | undefined) => Effect.Effect<string, ExternalLockError>
  /**
   * Waits until it holds; it is asked of who could not `tryAcquire`. It runs uninterruptible, so that a hold is not lost on the
   * way to who asked; only the wait may be interrupted, which runs under `restore`
   * and leaves nothing behind.
   */
  readonly acquire: (request: ExternalRequest, restore: Restore) => Effect.Effect<ExternalHold, ExternalLockError>
  /** The same without waiting: `None` when somebody else holds it. It runs uninterruptible too. */
  readonly tryAcquire: (request: ExternalRequest) => Effect.Effect<Option.Option<ExternalHold>, ExternalLockError>
}

/**
 * Makes an effect as interruptible as the program that it is part of.
 *
 * @since 0.1.0
 * @category models
 */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const tag = Context.GenericTag<ExternalLock>("effect-locks/ExternalLock")

/**
 * Which external lock, and how to hold it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExternalLockOptions {
  /**
   * As in `LockOptions`.
   * @default "exclusive"
   */
  readonly mode?: "exclusive" | "shared" | undefined
  /** As in `LockOptions`. */
  readonly prefix?: string | undefined
  /** As in `LockOptions`. */
  readonly lockPath?: string | undefined
}

/** What a name leads to. */
const located = <A>(
  name: string,
  { lockPath, mode = "exclusive", prefix }: ExternalLockOptions,
  f: (service: ExternalLock, request: ExternalRequest) => Effect.Effect<A, ExternalLockError>
): Effect.Effect<A, ExternalLockError, ExternalLock> =>
  Effect.flatMap(tag, (service) => {
    const key = Key.parse(prefix, name)
    return Effect.flatMap(service.place(key, lockPath), (place) => f(service, { key, place, mode }))
  })

/**
 * The service that `external: true` asks for. `FileLock` provides one; another backend
 * is an `ExternalHold` and four members.
 *
 * `acquire` and `tryAcquire` take an external lock alone, without the lock of the
 * registry that `lock` holds besides (oslo's `external_lock`). Two fibers that
 * hold one this way exclude each other as two processes do: the order is that of
 * the `ExternalLock`, a wait of a fiber for itself is not seen, and a loss
 * interrupts nothing; look at `lost`.
 *
 * @since 0.1.0
 * @category services
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Option } from "effect"
 * import { ExternalLock, FileLock } from "effect-locks"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   yield* ExternalLock.acquire("report", { prefix: "nova" })
 *   const second = yield* ExternalLock.tryAcquire("report", { prefix: "nova" })
 *   yield* Effect.log(Option.isNone(second)) // true: it is held until the scope closes
 * }))
 *
 * Effect.runPromise(program.pipe(Effect.provide(FileLock.layerTemp), Effect.provide(NodeContext.layer)))
 * @example
 * import { Duration, Effect, Layer, Option } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 * import { ExternalHold, ExternalLock, TypeId } from "effect-locks/ExternalLock"
 *
 * class Hold extends ExternalHold {
 *   readonly release = Effect.sync(() => console.log("released"))
 *   readonly tryUpgrade = Effect.succeed(true)
 *   readonly downgrade = Effect.void
 *   readonly check = Effect.void
 * }
 *
 * // It excludes nobody, and so does for the tests of what is written with `external: true`.
 * const free = Layer.succeed(
 *   ExternalLock,
 *   ExternalLock.of({
 *     [TypeId]: TypeId,
 *     guarantees: {
 *       reach: "host",
 *       excludesWhile: { slow: true, paused: true, cutOff: true },
 *       freedOnDeath: "at once",
 *       starvationFree: true,
 *       arrivalOrder: false,
 *       fencing: false,
 *       shared: true,
 *       lossSeenWithin: Duration.zero
 *     },
 *     place: (key) => Effect.succeed(String(key)),
 *     acquire: () => Effect.sync(() => new Hold()),
 *     tryAcquire: () => Effect.sync(() => Option.some(new Hold()))
 *   })
 * )
 *
 * const program = Effect.log("held").pipe(withLock("x", { external: true }))
 *
 * Effect.runPromise(Effect.provide(program, Layer.merge(LockRegistry.layer, free)))
 */
export const ExternalLock: Context.Tag<ExternalLock, ExternalLock> & {
  /** Waits until it holds, and holds until the scope closes. Only the wait is interruptible. */
  readonly acquire: (
    name: string,
    options?: ExternalLockOptions
  ) => Effect.Effect<ExternalHold, ExternalLockError, ExternalLock | Scope.Scope>
  /** The same without waiting: `None` when somebody else holds it. */
  readonly tryAcquire: (
    name: string,
    options?: ExternalLockOptions
  ) => Effect.Effect<Option.Option<ExternalHold>, ExternalLockError, ExternalLock | Scope.Scope>
} = /*#__PURE__*/ Object.assign(tag, {
  acquire: (name: string, options: ExternalLockOptions = {}) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.tap(
        located(name, options, (service, request) =>
          Effect.flatMap(service.tryAcquire({ ...request, waits: true }), (hold) =>
            Option.isSome(hold)
              ? Effect.succeed(hold.value)
              : service.acquire(request, restore))),
        (hold) =>
          Effect.addFinalizer(() => Effect.uninterruptible(hold.release))
      )
    ),
  tryAcquire: (name: string, options: ExternalLockOptions = {}) =>
    Effect.uninterruptible(
      Effect.tap(
        located(name, options, (service, request) => service.tryAcquire(request)),
        (hold) =>
          Option.isNone(hold) ? Effect.void : Effect.addFinalizer(() => Effect.uninterruptible(hold.value.release))
      )
    )
})

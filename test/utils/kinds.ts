/** The public ways to hold a lock; every law holds for each. */
import { Effect } from "effect"
import { type AcquireLockFailed, lock, type LockOptions, type LockRegistry, synchronized, withLock } from "effect-locks"

export interface Kind {
  readonly name: string
  readonly hold: (
    registry: LockRegistry,
    name: string,
    options?: LockOptions
  ) => <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>
}

export const kinds: ReadonlyArray<Kind> = [
  {
    name: "scoped lock",
    hold: (registry, name, options) => (body) =>
      Effect.scoped(Effect.zipRight(lock(name, { ...options, registry }), body))
  },
  {
    name: "withLock",
    hold: (registry, name, options) => (body) => withLock(body, name, { ...options, registry })
  },
  {
    name: "synchronized",
    hold: (registry, name, options) => (body) => synchronized(name, { ...options, registry })(() => body)()
  }
]

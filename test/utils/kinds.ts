/** The public ways to hold a lock alone; every law holds for each. */
import { Effect } from "effect"
import {
  type AcquireLockFailed,
  ExternalLock,
  ExternalLockError,
  type LocalLockOptions,
  lock,
  lockAll,
  LockLost,
  type LockRegistry,
  semaphore,
  synchronized,
  withLock,
  withLockAll,
  withSemaphore
} from "effect-locks"
import { external, portable } from "./external.js"

type Hold = (
  registry: LockRegistry,
  name: string,
  options?: LocalLockOptions
) => <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>

export interface Kind {
  readonly name: string
  readonly hold: Hold
  /** The same, but never inside a hold of the fiber itself. */
  readonly holdAnew: Hold
  /** Can it be held by readers? */
  readonly hasModes: boolean
}

const kind = (name: string, hold: Hold, { hasModes = true, holdAnew = hold } = {}): Kind => ({
  name,
  hold,
  holdAnew,
  hasModes
})

const scoped = (reentrant: boolean): Hold => (registry, name, options) => (body) =>
  Effect.scoped(Effect.zipRight(lock(name, { ...options, registry, reentrant }), body))

const owned = (reentrant: boolean): Hold => (registry, name, options) => (body) =>
  withLock(body, name, { ...options, registry, reentrant })

// The first is in nobody's way, and the last is named twice.
const several = (name: string) => [`${name}, the first`, name, `${name}, the last`, `${name}, the last`]

const beyond = { external: true } as const

/** The lock is neither lost nor out of reach. */
const outside = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  service = external
): Effect.Effect<A, Exclude<E, ExternalLockError | LockLost>, Exclude<R, ExternalLock>> =>
  Effect.provideService(
    Effect.catchAll(effect, (error) =>
      error instanceof ExternalLockError || error instanceof LockLost ? Effect.die(error) : Effect.fail(error)),
    ExternalLock,
    service
  ) as never

const permits = 3
const counting = ({ external: _, mode: __, reentrant: ___, ...options }: LocalLockOptions = {}) => ({
  ...options,
  permits,
  take: permits
})

/** Held by files too: the same laws hold. */
export const externalKinds: ReadonlyArray<Kind> = [
  kind(
    "lock, external",
    (registry, name, options) => (body) =>
      outside(Effect.scoped(Effect.zipRight(lock(name, { ...options, ...beyond, registry }), body)))
  ),
  kind(
    "withLock, external",
    (registry, name, options) => (body) => outside(withLock(body, name, { ...options, ...beyond, registry }))
  ),
  kind(
    "withLock, external, reentrant",
    (registry, name, options) => (body) =>
      outside(withLock(body, name, { ...options, ...beyond, registry, reentrant: true })),
    {
      holdAnew: (registry, name, options) => (body) =>
        outside(withLock(body, name, { ...options, ...beyond, registry }))
    }
  ),
  kind(
    "withLockAll, external",
    (registry, name, options) => (body) =>
      outside(withLockAll(body, several(name), { ...options, ...beyond, registry }))
  )
]

/** The same held by another backend. */
export const kindOf = (name: string, service: ExternalLock): Kind =>
  kind(
    `withLock, external, ${name}`,
    (registry, name, options) => (body) => outside(withLock(body, name, { ...options, ...beyond, registry }), service)
  )

/** The same where the kernel has no locks. */
export const portableKind: Kind = kindOf("portable", portable)

export const kinds: ReadonlyArray<Kind> = [
  kind("lock", scoped(false)),
  kind("withLock", owned(false)),
  kind(
    "synchronized",
    (registry, name, options) => (body) => synchronized(name, { ...options, registry })(() => body)()
  ),
  kind("lock, reentrant", scoped(true), { holdAnew: scoped(false) }),
  kind("withLock, reentrant", owned(true), { holdAnew: owned(false) }),
  kind(
    "lockAll",
    (registry, name, options) => (body) =>
      Effect.scoped(Effect.zipRight(lockAll(several(name), { ...options, registry }), body))
  ),
  kind(
    "withLockAll",
    (registry, name, options) => (body) => withLockAll(body, several(name), { ...options, registry })
  ),
  kind(
    "semaphore",
    (registry, name, options) => (body) =>
      Effect.scoped(Effect.zipRight(semaphore(name, { ...counting(options), registry }), body)),
    { hasModes: false }
  ),
  kind(
    "withSemaphore",
    (registry, name, options) => (body) => withSemaphore(body, name, { ...counting(options), registry }),
    { hasModes: false }
  )
]

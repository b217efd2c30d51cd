/** The same work by each contestant: ours, Effect's own locks, and the Promise libraries. */
import AsyncLock from "async-lock"
import { Mutex } from "async-mutex"
import { Effect, RcMap, STM, TSemaphore } from "effect"
import { LockRegistry, withLock } from "effect-locks"
import type { Contestant } from "./harness.js"

const registry = Effect.runSync(LockRegistry.make)
const semaphore = Effect.unsafeMakeSemaphore(1)
const tSemaphore = Effect.runSync(STM.commit(TSemaphore.make(1)))
const mutex = new Mutex()
const asyncLock = new AsyncLock({ maxPending: Number.POSITIVE_INFINITY })

/** Runs an effect of the library with a registry provided. */
export const run = <A, E>(effect: Effect.Effect<A, E, LockRegistry>): Promise<A> =>
  Effect.runPromise(Effect.provideService(effect, LockRegistry, registry))

/** Makes and runs `make()`, `n` times, in one fiber. */
export const repeat = <A, E, R>(n: number, make: () => Effect.Effect<A, E, R>): Effect.Effect<void, E, R> => {
  let i = 0
  return Effect.whileLoop({ while: () => i++ < n, body: make, step: () => {} })
}

/** One way for fiber `i` to run an effect, or for call `i` an async function, under a lock. */
export type Guard = <A>(body: Effect.Effect<A>, i: number) => Effect.Effect<A, unknown, LockRegistry>
export type AsyncGuard = <A>(body: () => Promise<A>, i: number) => Promise<A>

export const guards: Readonly<Record<string, Guard>> = {
  "withLock": (body) => withLock(body, "k"),
  "Effect.Semaphore": (body) => semaphore.withPermits(1)(body),
  "TSemaphore": (body) => TSemaphore.withPermit(body, tSemaphore)
}

export const asyncGuards: Readonly<Record<string, AsyncGuard>> = {
  "async-mutex": (body) => mutex.runExclusive(body),
  "async-lock": (body) => asyncLock.acquire("k", body)
}

export const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, a]) => [name, f(a)]))

/** One fiber, again and again, nobody else. */
export const alone = (guard: Guard): Contestant => (n) => run(repeat(n, () => guard(Effect.void, 0)))

/** The same by promises. */
export const aloneAsync = (guard: AsyncGuard): Contestant => async (n) => {
  for (let i = 0; i < n; i++) await guard(async () => {}, 0)
}

/** What programs write today for a lock with a name. */
export const rcMap: Contestant = (n) =>
  run(Effect.scoped(Effect.flatMap(
    RcMap.make({ lookup: (_: string) => Effect.makeSemaphore(1) }),
    (map) =>
      repeat(
        n,
        () => Effect.scoped(Effect.flatMap(RcMap.get(map, "k"), (found) => found.withPermits(1)(Effect.void)))
      )
  )))

const unbounded = { concurrency: "unbounded", discard: true } as const

/** `n` fibers, each once through the lock, with a body that yields. */
export const fibers = (guard: Guard): Contestant => (n) =>
  run(Effect.forEach(Array.from({ length: n }), (_, i) => guard(Effect.yieldNow(), i), unbounded))

/** A body that yields, for the Promise libraries. */
export const tick = async (): Promise<void> => {
  await Promise.resolve()
}

/** The same by promises. */
export const promises = (guard: AsyncGuard): Contestant => (n) =>
  Promise.all(Array.from({ length: n }, (_, i) => guard(tick, i)))

/** So many fibers, each in a loop through the lock: `n` passes in all. */
export const loops = (fibers: number, guard: Guard, body: Effect.Effect<void>): Contestant => (n) =>
  run(Effect.forEach(Array.from({ length: fibers }), (_, i) => repeat(n / fibers, () => guard(body, i)), unbounded))

export const asyncLoops = (loopers: number, guard: AsyncGuard, body: () => Promise<void>): Contestant => (n) =>
  Promise.all(Array.from({ length: loopers }, async (_, i) => {
    for (let pass = 0; pass < n / loopers; pass++) await guard(body, i)
  }))

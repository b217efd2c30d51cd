/** Ways to hold a lock that excludes other hosts, for measuring: all take and release it, and do nothing in between. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { LockRegistry, withLock } from "effect-locks"
import * as PostgresLock from "effect-locks/PostgresLock"
import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import * as path from "node:path"

/** Holds `key` while `body` runs; both may be called many times at once. */
export interface Locks {
  readonly run: (n: number, atOnce: number, keyOf: (i: number) => string) => Promise<unknown>
  readonly hold: <A>(key: string, body: () => Promise<A>) => Promise<A>
  readonly end: () => Promise<unknown>
}

const database = (url: string) => PgClient.layer({ url: Redacted.make(url), maxConnections: 10 })

const times = (n: number) => Array.from({ length: n }, (_, i) => i)

export const ours = (url: string, kind: "layer" | "layerLease"): Locks => {
  const locks = Layer.merge(LockRegistry.layer, PostgresLock[kind]({ namespace: kind }))
  const runtime = ManagedRuntime.make(Layer.provide(locks, database(url)))
  const external = { external: true } as const
  return {
    run: (n, atOnce, keyOf) =>
      runtime.runPromise(
        Effect.forEach(times(n), (i) => withLock(Effect.void, keyOf(i), external), {
          concurrency: atOnce,
          discard: true
        })
      ),
    hold: (key, body) => runtime.runPromise(withLock(Effect.promise(body), key, external)),
    end: () => runtime.dispose()
  }
}

/** What programs write today: no token, and nobody is told when the session ends. */
export const naive = (url: string): Locks => {
  const runtime = ManagedRuntime.make(database(url))
  const locked = <A>(key: string, body: Effect.Effect<A>) =>
    Effect.scoped(Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const connection = yield* sql.reserve
      yield* connection.executeValues("SELECT pg_advisory_lock(hashtextextended($1, 0))", [key])
      yield* Effect.addFinalizer(() =>
        Effect.orDie(connection.executeValues("SELECT pg_advisory_unlock(hashtextextended($1, 0))", [key]))
      )
      return yield* body
    }))
  return {
    run: (n, atOnce, keyOf) =>
      runtime.runPromise(
        Effect.forEach(times(n), (i) => locked(keyOf(i), Effect.void), { concurrency: atOnce, discard: true })
      ),
    hold: (key, body) => runtime.runPromise(locked(key, Effect.promise(body))),
    end: () => runtime.dispose()
  }
}

/** Those that need Redis are installed apart, and only where it is. */
const require = createRequire(path.resolve("test", "bench", "redis", "package.json"))

export const installPeers = (): void => {
  spawnSync("npm", ["run", "tools", "--prefix", path.resolve("test", "bench", "redis")], { stdio: "ignore" })
}

interface Redis {
  readonly quit: () => Promise<unknown>
}

const connect = (url: string): Redis => {
  const { Redis } = require("ioredis") as { readonly Redis: new(url: string) => Redis }
  return new Redis(url)
}

/** `atOnce` loops over the rest of the work. */
const loops = async (n: number, atOnce: number, once: (i: number) => Promise<unknown>): Promise<void> => {
  let next = 0
  const loop = async () => {
    for (let i = next++; i < n; i = next++) await once(i)
  }
  await Promise.all(Array.from({ length: atOnce }, loop))
}

export const redisSemaphore = (url: string): Locks => {
  const redis = connect(url)
  const { Mutex } = require("redis-semaphore") as {
    readonly Mutex: new(redis: Redis, key: string) => {
      readonly acquire: () => Promise<void>
      readonly release: () => Promise<void>
    }
  }
  const hold: Locks["hold"] = async (key, body) => {
    const mutex = new Mutex(redis, key)
    await mutex.acquire()
    try {
      return await body()
    } finally {
      await mutex.release()
    }
  }
  return {
    run: (n, atOnce, keyOf) => loops(n, atOnce, (i) => hold(keyOf(i), async () => {})),
    hold,
    end: () => redis.quit()
  }
}

export const effectDistributedLock = (url: string): Locks => {
  const redis = connect(url)
  // It has an Effect of its own, which runs it.
  const { Effect: Theirs, ManagedRuntime: TheirRuntime } = require("effect") as {
    readonly Effect: typeof Effect
    readonly ManagedRuntime: typeof ManagedRuntime
  }
  const { DistributedSemaphore, RedisBacking } = require("effect-distributed-lock") as {
    readonly DistributedSemaphore: {
      readonly make: (key: string, options: object) => Effect.Effect<{
        readonly withPermits: (permits: number) => <A>(self: Effect.Effect<A>) => Effect.Effect<A>
      }>
    }
    readonly RedisBacking: { readonly layer: (redis: Redis, options: object) => Layer.Layer<never> }
  }
  const runtime = TheirRuntime.make(RedisBacking.layer(redis, { keyPrefix: "bench:" }))
  const locked = <A>(key: string, body: Effect.Effect<A>) =>
    Theirs.flatMap(DistributedSemaphore.make(key, { limit: 1 }), (semaphore) => semaphore.withPermits(1)(body))
  return {
    run: (n, atOnce, keyOf) =>
      runtime.runPromise(
        Theirs.forEach(times(n), (i) => locked(keyOf(i), Theirs.void), { concurrency: atOnce, discard: true })
      ),
    hold: (key, body) => runtime.runPromise(locked(key, Theirs.promise(body))),
    end: async () => {
      await runtime.dispose()
      await redis.quit()
    }
  }
}

export const kinds: Readonly<Record<string, (url: string) => Locks>> = {
  "withLock": (url) => ours(url, "layer"),
  "withLock, layerLease": (url) => ours(url, "layerLease"),
  "pg_advisory_lock": naive,
  "redis-semaphore": redisSemaphore,
  "effect-distributed-lock": effectDistributedLock
}

export const needsRedis = (kind: string): boolean => kind === "redis-semaphore" || kind === "effect-distributed-lock"

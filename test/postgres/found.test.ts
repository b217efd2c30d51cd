/** What testing and reviews have found, each as it was found. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option } from "effect"
import { ExternalLock, LockRegistry, withLock, withLockAll } from "effect-locks"
import type { ExternalHold, ExternalRequest } from "effect-locks/ExternalLock"
import * as PostgresLock from "effect-locks/PostgresLock"
import * as database from "../utils/database.js"
import { proxy } from "./proxy.js"

const { missing } = database

const requestOf = (service: ExternalLock, name: string, mode: ExternalRequest["mode"] = "exclusive") =>
  Effect.gen(function*() {
    const key = { name, prefix: undefined, toJSON: () => ({ name, prefix: undefined }), toString: () => `"${name}"` }
    return { key, mode, place: yield* service.place(key, undefined) }
  })

const tryLock = (service: ExternalLock, name: string, mode?: ExternalRequest["mode"]) =>
  Effect.flatMap(requestOf(service, name, mode), (request) => Effect.uninterruptible(service.tryAcquire(request)))

const take = (service: ExternalLock, name: string, mode?: ExternalRequest["mode"]): Effect.Effect<ExternalHold> =>
  Effect.orDie(Effect.map(tryLock(service, name, mode), Option.getOrThrow))

const waitFor = (service: ExternalLock, name: string) =>
  Effect.flatMap(
    requestOf(service, name),
    (request) => Effect.uninterruptibleMask((restore) => service.acquire(request, restore))
  )

const release = ({ release }: ExternalHold) => Effect.uninterruptible(release)

/** A sequence that gives no token more. */
const exhausted = (sql: (text: string) => Effect.Effect<unknown>) =>
  Effect.zipRight(
    sql("SELECT setval('effect_locks.fencing', 1000)"),
    sql("ALTER SEQUENCE effect_locks.fencing MAXVALUE 1000")
  )

describe.skipIf(missing !== undefined)("PostgresLock.layer", () => {
  it.scopedLive("waiters who come at once take one idle session each, and all are served", () =>
    Effect.gen(function*() {
      const here = yield* database.scopedHost(PostgresLock.layer)
      const there = yield* database.scopedHost(PostgresLock.layer)
      for (let round = 0; round < 3; round++) {
        const names = ["a", "b", "c", "d"]
        const holds = yield* Effect.forEach(names, (name) => take(there, name))
        const waiters = yield* Effect.forEach(names, (name) => Effect.fork(waitFor(here, name)))
        yield* Effect.repeat(database.advisory, {
          until: (locks) => locks.filter(({ granted }) => granted === false).length === names.length
        })
        yield* Effect.forEach(holds, release)
        yield* Effect.forEach(waiters, (waiter) => Effect.flatMap(Fiber.join(waiter), release))
      }
      assert.deepStrictEqual(yield* database.advisory, [])
    }))

  it.scopedLive("a lock is given back although what was asked with it fails", () =>
    Effect.gen(function*() {
      const url = yield* database.another
      const sql = yield* database.somebody(url)
      const here = yield* database.scopedHost(PostgresLock.layer, {}, url)
      const there = yield* database.scopedHost(PostgresLock.layer, {}, url)
      const hold = yield* take(here, "x")
      yield* exhausted(sql)
      // One keeps the session busy, so that the next ones are asked together.
      const asked = yield* Effect.forEach(["y", "z"], (name) => Effect.fork(Effect.exit(tryLock(here, name))))
      const ended = yield* Effect.fork(release(hold))
      for (const fiber of asked) assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      yield* Fiber.join(ended)
      yield* sql("ALTER SEQUENCE effect_locks.fencing NO MAXVALUE")
      yield* Effect.forEach(["x", "y", "z"], (name) => Effect.flatMap(take(there, name), release))
      assert.isUndefined(hold.lostAs)
    }))

  it.scopedLive("a downgrade that is asked with what fails tells no loss that is none", () =>
    Effect.gen(function*() {
      const url = yield* database.another
      const sql = yield* database.somebody(url)
      const here = yield* database.scopedHost(PostgresLock.layer, {}, url)
      for (let round = 0; round < 10; round++) {
        yield* sql("ALTER SEQUENCE effect_locks.fencing NO MAXVALUE")
        const hold = yield* take(here, "x")
        yield* exhausted(sql)
        const downgrade = yield* Effect.fork(Effect.exit(hold.downgrade))
        const asked = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => `y ${i}`),
          (name) => Effect.zipLeft(Effect.fork(Effect.exit(tryLock(here, name))), Effect.yieldNow())
        )
        yield* Fiber.join(downgrade)
        for (const fiber of asked) yield* Fiber.join(fiber)
        yield* release(hold)
        assert.isUndefined(hold.lostAs)
        const { rows } = yield* sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")
        assert.deepStrictEqual(rows, [])
      }
    }))

  it.scopedLive("a refused question loses nothing that is held in the session", () =>
    Effect.gen(function*() {
      const url = yield* database.another
      const sql = yield* database.somebody(url)
      const here = yield* database.scopedHost(PostgresLock.layer, {}, url)
      const hold = yield* take(here, "x")
      yield* sql("ALTER SEQUENCE effect_locks.fencing RENAME TO gone")
      const error = yield* Effect.flip(tryLock(here, "y"))
      assert.strictEqual(error.reason, "Misconfigured")
      assert.isUndefined(hold.lostAs)
      yield* sql("ALTER SEQUENCE effect_locks.gone RENAME TO fencing")
      assert.isTrue(Option.isNone(yield* tryLock(yield* database.scopedHost(PostgresLock.layer, {}, url), "x")))
      yield* release(hold)
      yield* Effect.flatMap(take(here, "y"), release)
    }))

  it.scopedLive("a sequence that somebody changes keeps the next waiting, and loses nothing", () =>
    Effect.gen(function*() {
      const url = yield* database.another
      const sql = yield* database.somebody(url)
      const here = yield* database.scopedHost(PostgresLock.layer, { silence: "3 seconds" }, url)
      const hold = yield* take(here, "x")
      yield* sql("BEGIN")
      yield* sql("ALTER SEQUENCE effect_locks.fencing OWNER TO CURRENT_USER")
      const error = yield* Effect.flip(tryLock(here, "y"))
      assert.deepStrictEqual([error.reason, hold.lostAs], ["Unavailable", undefined])
      assert.include(error.message, "somebody changes what the locks need")
      yield* sql("ROLLBACK")
      yield* Effect.flatMap(take(here, "y"), release)
      yield* release(hold)
    }))

  it.scopedLive("an interrupted upgrade is over before the hold is", () =>
    Effect.gen(function*() {
      const here = yield* database.scopedHost(PostgresLock.layer)
      for (let round = 0; round < 10; round++) {
        const hold = yield* take(here, "x", "shared")
        const upgrade = yield* Effect.fork(hold.tryUpgrade)
        yield* Effect.repeatN(Effect.yieldNow(), round)
        yield* Fiber.interrupt(upgrade)
        yield* release(hold)
        assert.deepStrictEqual(yield* database.advisory, [])
      }
    }))

  it.scopedLive("a reader who leaves others behind is told too that the session had ended", () =>
    Effect.gen(function*() {
      const { port } = new URL(database.url)
      const link = yield* Effect.acquireRelease(
        Effect.promise(() => proxy({ port: Number(port) })),
        (link) => Effect.promise(() => link.close())
      )
      const url = new URL(database.url)
      url.port = String(link.port)
      const here = yield* database.scopedHost(PostgresLock.layer, { silence: "2 seconds" }, url.href)
      const readers = [yield* take(here, "x", "shared"), yield* take(here, "x", "shared")] as const
      const [{ pid }] = yield* database.advisory as Effect.Effect<[{ pid: number }]>
      link.pause()
      const sql = yield* database.somebody()
      yield* sql(`SELECT pg_terminate_backend(${pid})`)
      yield* release(readers[0])
      assert.include(readers[0].lostAs?.explanation, "its session of PostgreSQL ended")
      link.resume()
    }))

  it.scopedLive("a layer that is closed while its session opens leaves none", () =>
    Effect.gen(function*() {
      const opening = yield* Effect.scoped(Effect.gen(function*() {
        const here = yield* database.scopedHost(PostgresLock.layer, { namespace: "closing" })
        return yield* Effect.fork(Effect.exit(tryLock(here, "x")))
      }))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(opening)))
      const sql = yield* database.somebody()
      yield* Effect.repeat(sql("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE '%locks%'"), {
        until: ({ rows }) => rows.length === 0
      })
    }))

  it.scopedLive("the migration is part of the transaction that it is run in", () =>
    Effect.gen(function*() {
      const sql = yield* database.somebody(yield* database.another)
      yield* sql("BEGIN")
      yield* sql(PostgresLock.migration({ schema: "one \"more" }))
      yield* sql("ROLLBACK")
      const { rows } = yield* sql("SELECT 1 FROM pg_namespace WHERE nspname = 'one \"more'")
      assert.deepStrictEqual(rows, [])
      // It may be run again.
      yield* sql(PostgresLock.migration({ schema: "one \"more" }))
      yield* sql(PostgresLock.migration({ schema: "one \"more" }))
    }))
})

describe.skipIf(missing !== undefined)("PostgresLock.layerLease", () => {
  const silence = "2 seconds"

  it.scopedLive("a reader whose time is over learns that another has upgraded", () =>
    Effect.gen(function*() {
      const sql = yield* database.somebody()
      const here = yield* database.scopedHost(PostgresLock.layerLease, { silence: "30 seconds" })
      const there = yield* database.scopedHost(PostgresLock.layerLease, { silence: "30 seconds" })
      const late = yield* take(here, "x", "shared")
      yield* sql("UPDATE effect_locks.lease SET expires = now()")
      const reader = yield* take(there, "x", "shared")
      assert.isTrue(yield* reader.tryUpgrade)
      yield* release(late)
      assert.include(late.lostAs?.explanation, "its row was gone")
      yield* release(reader)
      assert.isUndefined(reader.lostAs)
    }))

  it.scopedLive("a lease is renewed although another lock's askers wait for the server", () =>
    Effect.gen(function*() {
      const sql = yield* database.somebody()
      const here = yield* database.scopedHost(PostgresLock.layerLease, { silence })
      const hold = yield* take(here, "mine")
      const { place } = yield* requestOf(here, "stuck")
      const low = Number(BigInt.asIntN(32, BigInt(place)))
      yield* sql(`SELECT pg_advisory_lock(${0x1ea5e}, ${low})`)
      const asked = yield* Effect.all(
        Array.from({ length: 6 }, () => Effect.exit(tryLock(here, "stuck"))),
        { concurrency: "unbounded" }
      )
      assert.isTrue(asked.every(Exit.isFailure))
      assert.isUndefined(hold.lostAs)
      yield* sql(`SELECT pg_advisory_unlock_all()`)
      yield* release(hold)
      assert.isUndefined(hold.lostAs)
    }))

  it.scopedLive("a row that cannot be deleted keeps no other lease from being renewed", () =>
    Effect.gen(function*() {
      const sql = yield* database.somebody()
      const here = yield* database.scopedHost(PostgresLock.layerLease, { silence })
      const [mine, other] = [yield* take(here, "mine"), yield* take(here, "other")]
      yield* sql("BEGIN")
      yield* sql(`SELECT * FROM effect_locks.lease WHERE token = ${other.token} FOR UPDATE`)
      const ended = yield* Effect.fork(release(other))
      yield* Effect.sleep(Duration.times(silence, 2))
      assert.isUndefined(mine.lostAs)
      yield* sql("ROLLBACK")
      yield* Fiber.join(ended)
      yield* release(mine)
    }))

  it.scopedLive("a closed layer asks no more, and waits no more", () =>
    Effect.gen(function*() {
      const there = yield* database.scopedHost(PostgresLock.layerLease)
      const hold = yield* take(there, "x")
      const [here, waiter] = yield* Effect.scoped(Effect.gen(function*() {
        const here = yield* database.scopedHost(PostgresLock.layerLease)
        return [here, yield* Effect.fork(Effect.flip(waitFor(here, "x")))] as const
      }))
      assert.strictEqual((yield* Fiber.join(waiter)).reason, "Unavailable")
      assert.strictEqual((yield* Effect.flip(tryLock(here, "y"))).reason, "Unavailable")
      yield* release(hold)
    }))
})

describe.skipIf(missing !== undefined)("PostgresLock", () => {
  it.scopedLive("names, prefixes and namespaces are apart, and the number of a name is known", () =>
    Effect.gen(function*() {
      const one = yield* database.scopedHost(PostgresLock.layer, { namespace: "one" })
      const two = yield* database.scopedHost(PostgresLock.layer, { namespace: "two" })
      const hold = yield* take(one, "x")
      yield* Effect.flatMap(take(two, "x"), release)
      const [{ pid }] = yield* database.advisory as Effect.Effect<[{ pid: number }]>
      const sql = yield* database.somebody()
      const { rows } = yield* sql(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND " +
          `(classid::bigint << 32) + objid::bigint = ${PostgresLock.keyOf("x", { namespace: "one" })}`
      )
      assert.deepStrictEqual(rows, [{ pid }])
      yield* release(hold)
      const keys = [
        PostgresLock.keyOf("x"),
        PostgresLock.keyOf("x", { prefix: "p" }),
        PostgresLock.keyOf("p-x"),
        PostgresLock.keyOf("x", { namespace: "p" })
      ]
      assert.strictEqual(new Set(keys).size, keys.length)
      assert.strictEqual(PostgresLock.keyOf("x", { prefix: "p-" }), PostgresLock.keyOf("x", { prefix: "p" }))
    }))

  it.scopedLive("what the server says was not locked is told as lost, by the release", () =>
    Effect.gen(function*() {
      const service = yield* database.scopedHost(PostgresLock.layer)
      const before = database.connections.length
      const registry = yield* LockRegistry.make
      // Something in the session unlocks it, as a pooler could that hands the session to others.
      const unlock = Effect.promise(() =>
        Promise.all(
          database.connections.slice(before).map((client) =>
            client.query("SELECT pg_advisory_unlock_all()").catch(() => undefined)
          )
        )
      )
      const lost = yield* unlock.pipe(
        withLock("x", { registry, external: true }),
        Effect.provideService(ExternalLock, service),
        Effect.flip
      )
      assert.include(lost.message, "PostgreSQL says that it was not locked")
      assert.include(lost.message, "the effect that held it ran to its end")
    }))

  it.scopedLive("several locks are taken by two hosts in any order of names, and given back when one is not free", () =>
    Effect.gen(function*() {
      const hosts = [
        yield* database.scopedHost(PostgresLock.layer),
        yield* database.scopedHost(PostgresLock.layer)
      ] as const
      const names = ["a", "b", "c"]
      const registry = yield* LockRegistry.make
      const all = (service: ExternalLock, names: ReadonlyArray<string>, blocking: boolean) =>
        withLockAll(Effect.yieldNow(), names, { registry, external: true, blocking }).pipe(
          Effect.provideService(ExternalLock, service)
        )
      const work = (service: ExternalLock, names: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const own = yield* LockRegistry.make
          yield* Effect.repeatN(
            withLockAll(Effect.yieldNow(), names, { registry: own, external: true }).pipe(
              Effect.provideService(ExternalLock, service)
            ),
            30
          )
        })
      yield* Effect.all([work(hosts[0], names), work(hosts[1], [...names].reverse()), work(hosts[1], ["c", "a"])], {
        concurrency: "unbounded"
      })
      const held = yield* take(hosts[0], "b")
      const failed = yield* Effect.flip(all(hosts[1], names, false))
      assert.strictEqual(failed._tag === "AcquireLockFailed" && failed.reason, "Busy")
      assert.strictEqual((yield* database.advisory).length, 1)
      yield* release(held)
      yield* all(hosts[1], names, false)
      assert.deepStrictEqual(yield* database.advisory, [])
    }))

  it.scopedLive("lockPath and a prefix with a NUL are refused, with what to do", () =>
    Effect.gen(function*() {
      const service = yield* database.scopedHost(PostgresLock.layer)
      const registry = yield* LockRegistry.make
      const of = (options: { readonly lockPath?: string; readonly prefix?: string }) =>
        Effect.void.pipe(
          withLock("x", { ...options, registry, external: true }),
          Effect.provideService(ExternalLock, service),
          Effect.flip
        )
      const lockPath = yield* of({ lockPath: "/tmp" })
      assert.strictEqual(
        lockPath.message,
        "lock \"x\": a database has no lock path, and lockPath is \"/tmp\"; leave it out, or use FileLock for locks that are files"
      )
      const prefix = yield* of({ prefix: "a\0b" })
      assert.include(prefix.message, "the prefix has a NUL in it; use another prefix")
    }))

  it.scopedLive("options that cannot be die, and say what to change", () =>
    Effect.gen(function*() {
      const died = (options: PostgresLock.PostgresLockOptions) =>
        Effect.map(
          Effect.scoped(Effect.sandbox(Effect.flip(Effect.sandbox(database.scopedHost(PostgresLock.layer, options))))),
          String
        )
      assert.include(yield* died({ silence: "1 second" }), "silence must be from 2 seconds to 24 days, not 1s")
      assert.include(yield* died({ namespace: "a\0b" }), "has a NUL in it")
    }))
})

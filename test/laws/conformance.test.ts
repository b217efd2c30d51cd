/** What a backend says that it promises, asked of each: two hosts of it, beside each other. */
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, type Scope } from "effect"
import { ExternalLock, FileLock } from "effect-locks"
import type { ExternalHold, Guarantees } from "effect-locks/ExternalLock"
import * as PostgresLock from "effect-locks/PostgresLock"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as database from "../utils/database.js"
import * as MemoryLock from "../utils/memoryLock.js"

type Hosts = readonly [here: ExternalLock, there: ExternalLock]

const ofFiles = (layer: typeof FileLock.layer) =>
  Effect.gen(function*() {
    const lockPath = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
      (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
    )
    const host = Effect.map(
      Layer.build(Layer.fresh(Layer.provide(layer({ lockPath }), NodeContext.layer))),
      Context.get(ExternalLock)
    )
    return yield* Effect.orDie(Effect.all([host, host]))
  })

const ofDatabase = (layer: typeof PostgresLock.layer) =>
  Effect.all([database.scopedHost(layer), database.scopedHost(layer)])

interface Backend {
  /** What only some promise. */
  readonly promises: Pick<Guarantees, "arrivalOrder" | "fencing" | "freedOnDeath" | "starvationFree">
  readonly hosts: Effect.Effect<Hosts, never, Scope.Scope>
  readonly missing: string | undefined
}

const backends: Readonly<Record<string, Backend>> = {
  "FileLock.layer": {
    promises: { arrivalOrder: false, fencing: false, freedOnDeath: "at once", starvationFree: true },
    hosts: ofFiles(FileLock.layer),
    missing: undefined
  },
  "FileLock.layerPortable": {
    promises: { arrivalOrder: false, fencing: false, freedOnDeath: "after a silence", starvationFree: false },
    hosts: ofFiles(FileLock.layerPortable),
    missing: undefined
  },
  "in memory": {
    promises: { arrivalOrder: false, fencing: false, freedOnDeath: "at once", starvationFree: false },
    hosts: Effect.sync(() => {
      const { service } = MemoryLock.make()
      return [service, service]
    }),
    missing: undefined
  },
  "PostgresLock.layer": {
    promises: { arrivalOrder: true, fencing: true, freedOnDeath: "at once", starvationFree: true },
    hosts: ofDatabase(PostgresLock.layer),
    missing: database.missing
  },
  "PostgresLock.layerLease": {
    promises: { arrivalOrder: false, fencing: true, freedOnDeath: "after a silence", starvationFree: false },
    hosts: ofDatabase(PostgresLock.layerLease),
    missing: database.missing
  }
}

const options = { prefix: "conformance" }
const shared = { ...options, mode: "shared" } as const
type Options = typeof options | typeof shared

const on = (service: ExternalLock) => Effect.provideService(ExternalLock, service)
const wait = (service: ExternalLock, name: string, how: Options = options) =>
  Effect.orDie(on(service)(ExternalLock.acquire(name, how)))
const tryTo = (service: ExternalLock, name: string, how: Options = options) =>
  Effect.orDie(on(service)(ExternalLock.tryAcquire(name, how)))
const isFree = (service: ExternalLock, name: string, how: Options = options) =>
  Effect.scoped(Effect.map(tryTo(service, name, how), Option.isSome))

/** Some time, in which somebody could have got in. */
const aWhile = Effect.sleep("150 millis")

for (const [name, { hosts, missing, promises }] of Object.entries(backends)) {
  const promise = (what: string, body: (hosts: Hosts) => Effect.Effect<void, never, Scope.Scope>) =>
    it.scopedLive(what, () => Effect.flatMap(hosts, body))

  describe.skipIf(missing !== undefined)(name, () => {
    promise("an exclusive holder is alone, and what it lets go of is free", ([here, there]) =>
      Effect.gen(function*() {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* wait(here, "x")
          assert.isFalse(yield* isFree(there, "x"))
          assert.isFalse(yield* isFree(here, "x"))
          assert.isFalse(yield* isFree(there, "x", shared))
          assert.isTrue(yield* isFree(there, "y"))
        }))
        assert.isTrue(yield* isFree(there, "x"))
        assert.isTrue(yield* isFree(here, "x"))
      }))

    promise("who waits is served, and who gives up leaves nothing", ([here, there]) =>
      Effect.gen(function*() {
        const waiters = yield* Effect.scoped(Effect.gen(function*() {
          yield* wait(here, "x")
          const waiters = yield* Effect.forEach([here, there, there], (host) =>
            Effect.fork(Effect.scoped(wait(host, "x"))))
          yield* aWhile
          yield* Fiber.interrupt(waiters[1]!)
          return waiters
        }))
        yield* Fiber.join(waiters[0]!)
        yield* Fiber.join(waiters[2]!)
        assert.isTrue(yield* isFree(here, "x"))
      }))

    promise(
      "`shared`: readers of both hosts are together, and keep writers out",
      ([here, there]) =>
        Effect.gen(function*() {
          const { guarantees } = here
          yield* Effect.scoped(Effect.gen(function*() {
            yield* wait(here, "x", shared)
            assert.strictEqual(yield* isFree(there, "x", shared), guarantees.shared)
            assert.strictEqual(yield* isFree(here, "x", shared), guarantees.shared)
            assert.isFalse(yield* isFree(there, "x"))
            assert.isFalse(yield* isFree(here, "x"))
          }))
          assert.isTrue(yield* isFree(there, "x"))
        })
    )

    promise("an upgrade is tried once, and a downgrade lets readers in", ([here, there]) =>
      Effect.gen(function*() {
        yield* Effect.scoped(Effect.gen(function*() {
          const hold = yield* wait(here, "x", shared)
          yield* Effect.scoped(Effect.gen(function*() {
            yield* wait(there, "x", shared)
            assert.isFalse(yield* Effect.orDie(hold.tryUpgrade))
            assert.isFalse(yield* isFree(there, "x"))
          }))
          // Not every backend can.
          const upgraded = yield* Effect.orDie(hold.tryUpgrade)
          assert.strictEqual(yield* isFree(there, "x", shared), !upgraded)
          yield* Effect.orDie(hold.downgrade)
          assert.isTrue(yield* isFree(there, "x", shared))
          assert.isFalse(yield* isFree(there, "x"))
        }))
        yield* Effect.scoped(Effect.gen(function*() {
          const hold = yield* wait(here, "x")
          yield* Effect.orDie(hold.downgrade)
          assert.isTrue(yield* isFree(there, "x", shared))
          assert.isFalse(yield* isFree(there, "x"))
        }))
        assert.isTrue(yield* isFree(there, "x"))
      }))

    promise(
      "`fencing`: each grant has a larger token than those before, or none has any",
      ([here, there]) =>
        Effect.gen(function*() {
          const { fencing } = here.guarantees
          let newest = 0n
          const grows = ({ token }: ExternalHold) => {
            assert.strictEqual(typeof token, fencing ? "bigint" : "undefined")
            if (token === undefined) return
            assert.isTrue(token > newest, `${token} after ${newest}`)
            newest = token
          }
          for (const how of [options, shared, shared, options]) {
            yield* Effect.scoped(Effect.map(wait(here, "x", how), grows))
            yield* Effect.scoped(Effect.map(wait(there, "x", how), grows))
          }
          yield* Effect.scoped(Effect.gen(function*() {
            const hold = yield* wait(here, "x", shared)
            grows(hold)
            grows(yield* wait(here, "x", shared))
            grows(yield* wait(there, "x", shared))
          }))
          yield* Effect.scoped(Effect.gen(function*() {
            const hold = yield* wait(here, "x", shared)
            grows(hold)
            if (yield* Effect.orDie(hold.tryUpgrade)) grows(hold)
          }))
          // Also of those who had to wait.
          const waiter = yield* Effect.scoped(Effect.gen(function*() {
            grows(yield* wait(here, "x"))
            const waiter = yield* Effect.fork(Effect.scoped(Effect.map(wait(there, "x"), grows)))
            yield* aWhile
            return waiter
          }))
          yield* Fiber.join(waiter)
        })
    )

    if (promises.arrivalOrder) {
      promise("`arrivalOrder`: hosts are served in the order in which they came", (hosts) =>
        Effect.gen(function*() {
          const order: Array<number> = []
          const waiters = yield* Effect.scoped(Effect.gen(function*() {
            yield* wait(hosts[0], "x")
            return yield* Effect.forEach([0, 1, 2, 3, 4, 5], (i) =>
              Effect.zipLeft(
                Effect.fork(Effect.scoped(Effect.map(wait(hosts[i % 2]!, "x"), () => order.push(i)))),
                // Until the server has it in its line.
                Effect.repeat(database.advisory, {
                  until: (locks) => locks.filter(({ granted }) => granted === false).length === i + 1
                })
              ))
          }))
          yield* Effect.forEach(waiters, Fiber.join)
          assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5])
        }))
    }

    if (promises.starvationFree) {
      promise(
        "`starvationFree`: readers that come without a gap do not keep a writer out",
        ([here, there]) =>
          Effect.gen(function*() {
            const reading = Effect.forever(
              Effect.scoped(Effect.zipRight(wait(here, "x", shared), Effect.sleep("20 millis")))
            )
            const readers: Array<Fiber.Fiber<never>> = []
            for (let i = 0; i < 4; i++) {
              readers.push(yield* Effect.fork(reading))
              yield* Effect.sleep("7 millis")
            }
            yield* Effect.scoped(wait(there, "x"))
            yield* Fiber.interruptAll(readers)
          })
      )
    }

    promise("`guarantees` says so", ([here]) =>
      Effect.sync(() => {
        const { arrivalOrder, fencing, freedOnDeath, starvationFree } = here.guarantees
        assert.deepStrictEqual({ arrivalOrder, fencing, freedOnDeath, starvationFree }, promises)
      }))

    promise(
      "`lossSeenWithin` is a time, and a hold that is not lost is not said to be",
      ([here]) =>
        Effect.gen(function*() {
          const { lossSeenWithin } = here.guarantees
          assert.isTrue(Number.isFinite(Duration.toMillis(lossSeenWithin)))
          const hold = yield* wait(here, "x")
          yield* hold.check
          yield* aWhile
          assert.isUndefined(hold.lostAs)
        })
    )
  })
}

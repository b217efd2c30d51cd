/** What readers and writers are promised, and those who change from one to the other. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { AcquireLockFailed, type Held, lock, lockAll, type LockRegistry, withLockAll } from "effect-locks"
import { settle } from "../utils/sweep.js"
import {
  dies,
  ended,
  holder,
  inside,
  isFree,
  type Law,
  law,
  lockOf,
  scopedLock,
  start,
  visit,
  waiting,
  withLock
} from "./law.js"

const shared = { mode: "shared" } as const

/** For each way to hold a lock that has modes. */
export const modes: ReadonlyArray<Law> = [
  law("readers share, and exclude writers", (registry, kind) =>
    Effect.gen(function*() {
      const readers = [yield* holder(kind, registry, "x", shared), yield* holder(kind, registry, "x", shared)]
      assert.deepStrictEqual(inside(readers), [0, 1])
      assert.isTrue(yield* isFree(kind, registry, "x", shared))
      assert.isFalse(yield* isFree(kind, registry, "x"))
      for (const reader of readers) yield* reader.letGo
      assert.isTrue(yield* isFree(kind, registry, "x"))
    })),

  law(
    "a waiting writer is not overtaken by readers, who then enter together",
    (registry, kind) =>
      Effect.gen(function*() {
        const reader = yield* holder(kind, registry, "x", shared)
        const writer = yield* holder(kind, registry, "x")
        const later = [yield* holder(kind, registry, "x", shared), yield* holder(kind, registry, "x", shared)]
        const last = yield* holder(kind, registry, "x")
        assert.deepStrictEqual(inside([reader, writer, ...later, last]), [0])
        yield* reader.letGo
        assert.deepStrictEqual(inside([reader, writer, ...later, last]), [1])
        yield* writer.letGo
        assert.deepStrictEqual(inside([reader, writer, ...later, last]), [2, 3])
        yield* later[0]!.letGo
        assert.deepStrictEqual(inside([reader, writer, ...later, last]), [3])
        yield* later[1]!.letGo
        assert.deepStrictEqual(inside([reader, writer, ...later, last]), [4])
        yield* last.letGo
      })
  ),

  law("a writer that gives up lets the readers behind it in at once", (registry, kind) =>
    Effect.gen(function*() {
      const reader = yield* holder(kind, registry, "x", shared)
      const writer = yield* holder(kind, registry, "x")
      const later = [yield* holder(kind, registry, "x", shared), yield* holder(kind, registry, "x", shared)]
      assert.deepStrictEqual(inside(later), [])
      yield* writer.interrupt
      assert.isTrue(ended(writer.fiber))
      assert.deepStrictEqual(inside(later), [0, 1])
      for (const one of [reader, ...later]) yield* one.letGo
    })),

  law("a batch of readers enters in order of arrival", (registry, kind) =>
    Effect.gen(function*() {
      const writer = yield* holder(kind, registry, "x")
      const order: Array<number> = []
      for (let i = 0; i < 8; i++) {
        yield* start(Effect.sync(() => order.push(i)).pipe(kind.hold(registry, "x", shared)))
      }
      assert.deepStrictEqual(order, [])
      yield* writer.letGo
      assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5, 6, 7])
    }))
]

/** A scoped hold, and what its holder got. */
const hold = (registry: LockRegistry, mode: "exclusive" | "shared", reentrant = false) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const held: Held = yield* Effect.orDie(Scope.extend(lock("x", { registry, mode, reentrant }), scope))
    return { held, close: Effect.zipRight(Scope.close(scope, Exit.void), Effect.repeatN(settle, 2)) }
  })

const conflict = (registry: LockRegistry, held: Held) =>
  Effect.gen(function*() {
    const failed = yield* Effect.flip(held.upgrade)
    assert.instanceOf(failed, AcquireLockFailed)
    assert.strictEqual(failed.reason, "UpgradeConflict")
    assert.strictEqual(held.mode, "shared")
    assert.isFalse(yield* isFree(scopedLock, registry, "x"), "it keeps the shared hold")
  })

export const upgrades: ReadonlyArray<Law> = [
  law("a downgrade lets readers in, and no writer in between", (registry) =>
    Effect.gen(function*() {
      const writer = yield* hold(registry, "exclusive")
      const readers = [
        yield* holder(withLock, registry, "x", shared),
        yield* holder(withLock, registry, "x", shared)
      ]
      const next = yield* holder(withLock, registry, "x")
      const late = yield* holder(withLock, registry, "x", shared)
      assert.strictEqual(writer.held.mode, "exclusive")
      yield* writer.held.downgrade
      yield* settle
      assert.strictEqual(writer.held.mode, "shared")
      assert.deepStrictEqual(inside([...readers, next, late]), [0, 1])
      yield* writer.held.downgrade
      for (const reader of readers) yield* reader.letGo
      assert.deepStrictEqual(inside([next, late]), [], "the downgraded hold stands")
      yield* writer.close
      assert.deepStrictEqual(inside([next, late]), [0])
      yield* next.letGo
      yield* late.letGo
    })),

  law(
    "an upgrade waits for the other readers, before everybody else in the line",
    (registry) =>
      Effect.gen(function*() {
        const reader = yield* holder(withLock, registry, "x", shared)
        const one = yield* hold(registry, "shared")
        const writer = yield* holder(withLock, registry, "x", { priority: 9 })
        const upgrading = yield* start(one.held.upgrade)
        const late = yield* holder(withLock, registry, "x", shared)
        assert.isFalse(ended(upgrading))
        assert.strictEqual(one.held.mode, "shared")
        yield* reader.letGo
        assert.isTrue(ended(upgrading))
        assert.strictEqual(one.held.mode, "exclusive")
        assert.deepStrictEqual(inside([writer, late]), [])
        const [snapshot] = yield* registry.snapshot
        assert.deepStrictEqual(snapshot!.holders.map(({ mode }) => mode), ["exclusive"], "it is one holder")
        yield* one.held.upgrade
        yield* one.held.downgrade
        yield* settle
        assert.strictEqual(one.held.mode, "shared")
        assert.deepStrictEqual(inside([writer, late]), [], "the writer was there before the late reader")
        yield* one.close
        assert.deepStrictEqual(inside([writer, late]), [0])
        yield* writer.letGo
        yield* late.letGo
      })
  ),

  law("an upgrade never lets go of its read", (registry) =>
    Effect.gen(function*() {
      const one = yield* hold(registry, "shared")
      const writer = yield* holder(withLock, registry, "x")
      assert.isFalse(writer.isIn())
      yield* one.held.upgrade
      yield* settle
      assert.isFalse(writer.isIn(), "nobody wrote in between")
      yield* one.close
      assert.isTrue(writer.isIn())
      yield* writer.letGo
    })),

  law(
    "a second upgrader fails at once, and keeps its shared hold; when it leaves, the first goes on",
    (registry) =>
      Effect.gen(function*() {
        const [one, two] = [yield* hold(registry, "shared"), yield* hold(registry, "shared")]
        const upgrading = yield* start(one.held.upgrade)
        yield* conflict(registry, two.held)
        yield* conflict(registry, one.held)
        assert.isFalse(ended(upgrading))
        yield* two.close
        assert.isTrue(ended(upgrading))
        assert.strictEqual(one.held.mode, "exclusive")
        yield* one.close
      })
  ),

  law(
    "an interrupted upgrade keeps the shared hold, and lets the readers behind it in",
    (registry) =>
      Effect.gen(function*() {
        const [one, two] = [yield* hold(registry, "shared"), yield* hold(registry, "shared")]
        const upgrading = yield* start(one.held.upgrade)
        const reader = yield* holder(withLock, registry, "x", shared)
        assert.isFalse(reader.isIn())
        yield* Fiber.interrupt(upgrading)
        yield* settle
        assert.isTrue(reader.isIn())
        assert.strictEqual(one.held.mode, "shared")
        yield* reader.letGo
        yield* two.close
        yield* one.held.upgrade
        assert.strictEqual(one.held.mode, "exclusive")
        yield* one.close
      })
  ),

  law("a hold that ends while it is being upgraded takes the request with it", (registry) =>
    Effect.gen(function*() {
      const [one, two] = [yield* hold(registry, "shared"), yield* hold(registry, "shared")]
      const upgrading = yield* start(Effect.exit(one.held.upgrade))
      assert.strictEqual(yield* waiting(registry, "x"), 1)
      yield* one.close
      assert.isTrue(ended(upgrading))
      yield* dies(Effect.flatten(Fiber.join(upgrading)), "lock \"x\" cannot be upgraded: it is not held any more")
      assert.strictEqual(yield* waiting(registry, "x"), 0)
      yield* two.close
      yield* dies(one.held.upgrade, "lock \"x\" cannot be upgraded: it is not held any more")
      yield* dies(one.held.downgrade, "lock \"x\" cannot be downgraded: it is not held any more")
    })),

  law("one of several can be downgraded and upgraded, and all end together", (registry) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const [a, b, again] = yield* Scope.extend(lockAll(["a", "b", "a"], { registry }), scope)
      yield* a!.downgrade
      assert.deepStrictEqual([a!.mode, b!.mode, again!.mode], ["shared", "exclusive", "shared"])
      assert.isTrue(yield* isFree(withLock, registry, "a", shared))
      assert.isFalse(yield* isFree(withLock, registry, "b", shared))
      yield* again!.upgrade
      assert.isFalse(yield* isFree(withLock, registry, "a", shared))
      yield* Scope.close(scope, Exit.void)
      assert.isUndefined(yield* lockOf(registry, "a"))
    })),

  law(
    "an upgrade that was granted stays, although its fiber is interrupted before it learns of it",
    (registry) =>
      Effect.gen(function*() {
        const one = yield* hold(registry, "shared", true)
        const two = yield* hold(registry, "shared")
        const upgrading = yield* start(one.held.upgrade)
        const reader = yield* holder(withLock, registry, "x", shared)
        // Granted by the release, and interrupted in the same step; meanwhile another has been told that it is exclusive.
        yield* Effect.zipRight(Effect.fork(two.close), Effect.yieldNow())
        yield* one.held.upgrade
        yield* Fiber.interruptFork(upgrading)
        yield* settle
        assert.isTrue(ended(upgrading))
        assert.strictEqual(one.held.mode, "exclusive")
        assert.isFalse(reader.isIn())
        yield* one.held.downgrade
        yield* settle
        assert.isTrue(reader.isIn())
        yield* reader.letGo
        yield* one.close
      })
  ),

  law(
    "an upgrade under Effect.timeout is a hold of whoever holds the lock: orders yield to it",
    (registry) =>
      Effect.gen(function*() {
        const go = yield* Deferred.make<void>()
        let done = false
        const other = yield* holder(withLock, registry, "b", shared)
        const fiber = yield* start(Effect.scoped(Effect.gen(function*() {
          const held = yield* lock("x", { mode: "shared", registry })
          yield* Effect.timeout(held.upgrade, "1 hour")
          yield* Deferred.await(go)
          yield* lock("b", { registry })
          done = true
        })))
        const all = yield* visit((body) => withLockAll(body, [{ name: "x", mode: "shared" }, "b"], { registry }))
        yield* Deferred.succeed(go, undefined)
        yield* settle
        assert.isFalse(done || all.isIn())
        yield* other.letGo
        assert.isTrue(done && ended(fiber) && all.isIn())
        yield* all.letGo
      })
  )
]

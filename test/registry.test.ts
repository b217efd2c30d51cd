import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Scope, Stream, TestClock } from "effect"
import {
  lock,
  lockAll,
  type LockEvent,
  LockRegistry,
  type LockSnapshot,
  semaphore,
  withLock,
  withLockAll,
  withSemaphore
} from "effect-locks"
import { settle } from "./utils/sweep.js"

const withRegistry = <A, E>(effect: Effect.Effect<A, E, LockRegistry | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), LockRegistry.layer)

const waiting = <E>(effect: Effect.Effect<unknown, E, LockRegistry>) => Effect.zipLeft(Effect.fork(effect), settle)

const find = (name: string) =>
  Effect.map(LockRegistry.snapshot, (locks) => locks.find(({ key }) => key.name === name) as LockSnapshot)

describe("LockRegistry.snapshot", () => {
  it.effect("tells mode, permits, number and position of everybody", () =>
    withRegistry(Effect.gen(function*() {
      yield* lock("x", { mode: "shared" })
      yield* waiting(withLock(Effect.never, "x", { priority: -1 }))
      yield* waiting(withLockAll(Effect.never, ["x", "y"]))
      yield* semaphore("s", { permits: 5, take: 3 })
      yield* waiting(withSemaphore(Effect.never, "s", { permits: 5, take: 4 }))
      const [x, y, s] = [yield* find("x"), yield* find("y"), yield* find("s")]
      assert.deepStrictEqual(
        [x, y, s].map((
          { holders, permits }
        ) => [permits, ...holders.map((one) => [one.ticket, one.mode, one.permits])]),
        [[Infinity, [1, "shared", 1]], [Infinity], [5, [4, "shared", 3]]]
      )
      assert.deepStrictEqual(
        [x, y, s].map(({ waiters }) => waiters.map((one) => [one.ticket, one.mode, one.permits, one.position])),
        [
          [[3, "exclusive", Infinity, 1], [2, "exclusive", Infinity, 2]],
          [[3, "exclusive", Infinity, 1]],
          [[5, "shared", 4, 1]]
        ]
      )
      assert.isTrue([x, y, s].every(({ within }) => within === undefined))
    })))

  it.effect("tells of nested locks what they are nested in, and can be written as JSON", () =>
    withRegistry(Effect.gen(function*() {
      const reentrant = true
      const snapshot = yield* LockRegistry.snapshot.pipe(
        withLock("x", { reentrant, mode: "shared" }),
        withLock("x", { reentrant, prefix: "p" }),
        withLock("x", { reentrant })
      )
      const nested = snapshot.filter(({ within }) => within !== undefined)
      assert.deepStrictEqual(nested.map(({ holders }) => holders[0]!.mode), ["shared"])
      assert.strictEqual(nested[0]!.within!.ticket, 1)
      assert.strictEqual(snapshot.length, 3)
      assert.deepStrictEqual(
        JSON.parse(JSON.stringify(snapshot)).map((one: LockSnapshot) => one.key).map(String).length,
        3
      )
      assert.deepStrictEqual(JSON.parse(JSON.stringify(nested[0]!.key)), { name: "x" })
    })))
})

describe("LockRegistry.isLocked", () => {
  it.effect("is about holders, of this name and prefix, not about who waits", () =>
    withRegistry(Effect.gen(function*() {
      const registry = yield* LockRegistry
      const seen = Effect.all([
        LockRegistry.isLocked("x"),
        registry.isLocked("x", { prefix: "p" }),
        LockRegistry.isLocked("x", { prefix: "p-" }),
        LockRegistry.isLocked("y")
      ])
      assert.deepStrictEqual(yield* seen, [false, false, false, false])
      const all = yield* Effect.gen(function*() {
        const waits = yield* waiting(withLockAll(Effect.void, ["x", "y"]))
        const all = yield* seen
        yield* Fiber.interrupt(waits)
        return all
      }).pipe(withLock("x", { mode: "shared", reentrant: true }), withLock("x", { prefix: "p" }))
      assert.deepStrictEqual(all, [true, true, true, false])
      assert.deepStrictEqual(yield* seen, [false, false, false, false])
    })))

  it.effect("misuse dies when it runs", () =>
    withRegistry(Effect.gen(function*() {
      const isLocked: (...args: ReadonlyArray<any>) => Effect.Effect<boolean, never, LockRegistry> = (name, options) =>
        LockRegistry.isLocked(name, options)
      for (const args of [[1], ["x", { prefix: 1 }]]) {
        const exit = yield* Effect.exit(isLocked(...args))
        assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die")
      }
    })))
})

const listen = Effect.gen(function*() {
  const events: Array<LockEvent> = []
  const fiber = yield* Effect.fork(
    Stream.runForEach(LockRegistry.changes, (event) => Effect.sync(() => events.push(event)))
  )
  yield* settle
  const tell = ({ _tag, key, request }: LockEvent) => `${_tag} ${key.name} ${request.ticket} ${request.mode}`
  return { fiber, told: Effect.map(settle, () => events.splice(0).map(tell)) }
})

describe("LockRegistry.changes", () => {
  it.effect("tells who waits, is granted, releases and abandons, in that order", () =>
    withRegistry(Effect.gen(function*() {
      const { told } = yield* listen
      const gate = yield* Deferred.make<void>()
      const one = yield* waiting(Deferred.await(gate).pipe(withLock("x")))
      assert.deepStrictEqual(yield* told, ["Granted x 1 exclusive"])
      const two = yield* waiting(Effect.void.pipe(withLock("x", { mode: "shared" })))
      const three = yield* waiting(Effect.void.pipe(withLock("x")))
      const four = yield* waiting(Effect.exit(Effect.void.pipe(withLock("x", { timeout: "1 second" }))))
      yield* Effect.exit(Effect.void.pipe(withLock("x", { blocking: false })))
      assert.deepStrictEqual(yield* told, ["Waiting x 2 shared", "Waiting x 3 exclusive", "Waiting x 4 exclusive"])
      yield* Fiber.interrupt(three)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* told, ["Abandoned x 3 exclusive", "Abandoned x 4 exclusive"])
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* told, ["Released x 1 exclusive", "Granted x 2 shared", "Released x 2 shared"])
      yield* Fiber.joinAll([one, two, four])
    })))

  it.effect("a request for several has an event for each, an upgrade and a downgrade have theirs", () =>
    withRegistry(Effect.gen(function*() {
      const { told } = yield* listen
      yield* Effect.scoped(Effect.gen(function*() {
        const [a] = yield* lockAll(["a", { name: "b", mode: "shared" }])
        yield* a!.downgrade
        assert.deepStrictEqual(yield* told, [
          "Granted a 1 exclusive",
          "Granted b 1 shared",
          "Released a 1 exclusive",
          "Granted a 1 shared"
        ])
        yield* a!.upgrade
        assert.deepStrictEqual(yield* told, ["Granted a 2 exclusive"])
        yield* a!.downgrade
        assert.deepStrictEqual(yield* told, ["Released a 2 exclusive"])
        yield* a!.upgrade
      }))
      assert.deepStrictEqual(yield* told, [
        "Granted a 3 exclusive",
        "Released a 3 exclusive",
        "Released a 1 shared",
        "Released b 1 shared"
      ])
    })))

  it.effect("a reentrant hold is released when what is nested in it is", () =>
    withRegistry(Effect.gen(function*() {
      const { told } = yield* listen
      const gate = yield* Deferred.make<void>()
      const reentrant = true
      const child = yield* withLock(
        Effect.zipLeft(Effect.forkDaemon(withLock(Deferred.await(gate), "x", { reentrant })), settle),
        "x",
        { reentrant }
      )
      assert.deepStrictEqual(yield* told, ["Granted x 1 exclusive", "Granted x 2 exclusive"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(child)
      assert.deepStrictEqual(yield* told, ["Released x 2 exclusive", "Released x 1 exclusive"])
    })))

  it.effect("every listener hears all from when it began, until it ends; a slow one delays nobody", () =>
    withRegistry(Effect.gen(function*() {
      const first = yield* listen
      yield* withLock(Effect.void, "a")
      const second = yield* listen
      const slow = yield* Effect.fork(Stream.runCollect(
        LockRegistry.changes.pipe(
          Stream.mapEffect((event) => Effect.as(Effect.sleep("1 hour"), event.key.name)),
          Stream.take(2)
        )
      ))
      yield* settle
      yield* withLock(Effect.void, "b")
      assert.deepStrictEqual(
        yield* first.told,
        ["a", "a", "b", "b"].map((name, i) =>
          `${i % 2 === 0 ? "Granted" : "Released"} ${name} ${i < 2 ? 1 : 2} exclusive`
        )
      )
      assert.strictEqual((yield* second.told).length, 2)
      yield* Fiber.interrupt(first.fiber)
      yield* withLock(Effect.void, "c")
      assert.deepStrictEqual(yield* first.told, [])
      assert.strictEqual((yield* second.told).length, 2)
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(slow)), ["b", "b"])
    })))

  it.effect("one registry tells nothing of another", () =>
    withRegistry(Effect.gen(function*() {
      const { told } = yield* listen
      const other = yield* LockRegistry.make
      yield* withLock(Effect.void, "x", { registry: other })
      const scope = yield* Scope.make()
      yield* Scope.extend(lock("y"), scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* told, ["Granted y 1 exclusive", "Released y 1 exclusive"])
    })))
})

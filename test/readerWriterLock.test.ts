import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Scope } from "effect"
import { AcquireLockFailed, Deadlock, ReaderWriterLock } from "effect-locks"
import { inside, start, visit } from "./laws/law.js"
import { settle, sweep } from "./utils/sweep.js"

const { make } = ReaderWriterLock

const state = (lock: ReaderWriterLock) =>
  Effect.gen(function*() {
    return {
      owner: Option.getOrUndefined(yield* lock.owner),
      isReader: yield* lock.isReader,
      isWriter: yield* lock.isWriter(),
      pending: yield* lock.hasPendingWriters
    }
  })

const atRest: Effect.Effect.Success<ReturnType<typeof state>> = {
  owner: undefined,
  isReader: false,
  isWriter: false,
  pending: false
}

const conflict = <A, R>(effect: Effect.Effect<A, AcquireLockFailed, R>) =>
  Effect.map(Effect.flip(effect), (failed) => {
    assert.instanceOf(failed, AcquireLockFailed)
    assert.strictEqual(failed.reason, "UpgradeConflict")
  })

describe("ReaderWriterLock", () => {
  it.effect("readers share, a writer is alone, a waiting writer is not starved", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const visits = [
        yield* visit(lock.withReadLock),
        yield* visit(lock.withReadLock),
        yield* visit(lock.withWriteLock),
        yield* visit(lock.withReadLock)
      ]
      assert.deepStrictEqual(inside(visits), [0, 1])
      assert.deepStrictEqual(yield* state(lock), { ...atRest, owner: "reader", pending: true })
      yield* visits[0]!.letGo
      yield* visits[1]!.letGo
      assert.deepStrictEqual(inside(visits), [2])
      assert.deepStrictEqual(yield* state(lock), { ...atRest, owner: "writer" })
      yield* visits[2]!.letGo
      assert.deepStrictEqual(inside(visits), [3])
      yield* visits[3]!.letGo
      assert.deepStrictEqual(yield* state(lock), atRest)
    }))

  it.effect("tells the fiber that asks what it holds, however deep, and a forked one too", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const seen = yield* lock.withWriteLock(Effect.all([
        state(lock),
        lock.withReadLock(state(lock)),
        lock.withWriteLock(state(lock)),
        Effect.flatMap(Effect.fork(state(lock)), Fiber.join)
      ]))
      const writer = { ...atRest, owner: "writer", isWriter: true } as const
      assert.deepStrictEqual(seen, [writer, { ...writer, isReader: true }, writer, writer])
      assert.deepStrictEqual(yield* lock.withReadLock(state(lock)), { ...atRest, owner: "reader", isReader: true })
      assert.isTrue(yield* lock.withWriteLock(lock.isWriter({ checkPending: false })))
      assert.isFalse(yield* lock.withReadLock(lock.isWriter({ checkPending: true })))
      assert.deepStrictEqual(yield* state(lock), atRest)
    }))

  it.effect("write then write and read, read then read: legal, also while a writer waits", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const read = lock.withReadLock(Effect.succeed("read"))
      assert.strictEqual(yield* lock.withWriteLock(Effect.orDie(lock.withWriteLock(read))), "read")
      const again = yield* Deferred.make<void>()
      const reader = yield* start(lock.withReadLock(Effect.zipRight(Deferred.await(again), read)))
      const writer = yield* visit(lock.withWriteLock)
      assert.isFalse(writer.isIn())
      yield* Deferred.succeed(again, undefined)
      assert.strictEqual(yield* Fiber.join(reader), "read")
      yield* settle
      assert.isTrue(writer.isIn())
      yield* writer.letGo
    }))

  it.effect("read then write fails at once, and keeps the read lock", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const write = lock.withWriteLock(Effect.void)
      const during = yield* lock.withReadLock(Effect.zipRight(conflict(write), state(lock)))
      assert.deepStrictEqual(during, { ...atRest, owner: "reader", isReader: true })
      yield* Effect.scoped(Effect.zipRight(lock.readLock, conflict(Effect.scoped(lock.writeLock))))
      yield* lock.withWriteLock(lock.withReadLock(conflict(write)))
      yield* write
      assert.deepStrictEqual(yield* state(lock), atRest)
    }))

  it.effect("timeout, race and all inside a hold work, and several inside it exclude each other", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const write = lock.withWriteLock(Effect.succeed(1))
      assert.strictEqual(yield* lock.withWriteLock(Effect.timeout(write, "1 second")), 1)
      assert.strictEqual(yield* lock.withWriteLock(Effect.race(write, Effect.never)), 1)
      let now = 0
      let most = 0
      const body = Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++now)),
        () => Effect.repeatN(Effect.yieldNow(), 3),
        () => Effect.sync(() => now--)
      )
      const three = (one: Effect.Effect<void, AcquireLockFailed>) =>
        Effect.all([one, one, one], { concurrency: "unbounded" })
      yield* lock.withWriteLock(three(lock.withWriteLock(body)))
      assert.strictEqual(most, 1)
      yield* lock.withWriteLock(three(lock.withReadLock(body)))
      assert.strictEqual(most, 3)
    }))

  it.effect("scoped holds end with their scope", () =>
    Effect.gen(function*() {
      const lock = yield* make
      const scope = yield* Scope.make()
      yield* Scope.extend(lock.writeLock, scope)
      yield* Scope.extend(lock.readLock, scope)
      assert.deepStrictEqual(yield* state(lock), { owner: "writer", isReader: true, isWriter: true, pending: false })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* state(lock), atRest)
    }))

  it.effect("a reader inside the writer cannot write, for others may read beside it", () =>
    Effect.gen(function*() {
      const lock = yield* make
      yield* lock.withWriteLock(lock.withReadLock(conflict(lock.withWriteLock(Effect.void))))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* lock.withWriteLock(lock.readLock)
        assert.isTrue(yield* lock.isReader, "it was read in the outer scope")
        yield* conflict(lock.writeLock)
      }))
    }))

  it.effect("two are two locks, and a cycle of waits between them is a deadlock that is seen", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* make, yield* make]
      assert.strictEqual(yield* one.withWriteLock(two.withWriteLock(Effect.succeed(1))), 1)
      const go = yield* Deferred.make<void>()
      const first = yield* start(one.withReadLock(Effect.zipRight(Deferred.await(go), two.withWriteLock(Effect.void))))
      const second = yield* start(
        two.withWriteLock(Effect.zipRight(Deferred.await(go), one.withWriteLock(Effect.void)))
      )
      yield* Deferred.succeed(go, undefined)
      yield* Effect.repeatN(settle, 2)
      const exits = [yield* Fiber.await(first), yield* Fiber.await(second)]
      const dead = exits.filter((exit) =>
        Exit.isFailure(exit) && Option.getOrUndefined(Cause.dieOption(exit.cause)) instanceof Deadlock
      )
      assert.strictEqual(dead.length, 1)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.deepStrictEqual([yield* state(one), yield* state(two)], [atRest, atRest])
    }))

  const bodies = {
    read: (lock: ReaderWriterLock) => lock.withReadLock(lock.withReadLock(Effect.yieldNow())),
    write: (lock: ReaderWriterLock) => lock.withWriteLock(lock.withReadLock(Effect.yieldNow())),
    "read, refused to write": (lock: ReaderWriterLock) =>
      lock.withReadLock(Effect.flip(lock.withWriteLock(Effect.void))),
    "scoped write": (lock: ReaderWriterLock) =>
      Effect.scoped(Effect.zipRight(lock.writeLock, Effect.scoped(lock.writeLock)))
  }
  for (const [name, program] of Object.entries(bodies)) {
    for (const contended of [false, true]) {
      it.effect(`${name}, ${contended ? "queued" : "uncontended"}: safe when interrupted anywhere`, () =>
        Effect.map(
          sweep(Effect.gen(function*() {
            const lock = yield* make
            const holder = contended ? yield* visit(lock.withWriteLock) : undefined
            let behind: Effect.Effect.Success<ReturnType<typeof visit>> | undefined
            return {
              program: program(lock),
              meanwhile: Effect.gen(function*() {
                behind = yield* visit(lock.withWriteLock)
                if (holder !== undefined) yield* holder.letGo
                yield* settle
              }),
              check: Effect.gen(function*() {
                if (behind !== undefined && !behind.isIn()) return false
                if (behind !== undefined) yield* behind.letGo
                return (yield* lock.owner)._tag === "None" && !(yield* lock.hasPendingWriters)
              })
            }
          })),
          ({ bad, operations }) => {
            assert.isAbove(operations, 15)
            assert.deepStrictEqual(bad, [])
          }
        ), 60_000)
    }
  }
})

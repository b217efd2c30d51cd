import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberId,
  Option,
  PartitionedSemaphore,
  RcMap,
  Scheduler,
  Scope,
  STM,
  TestClock,
  TReentrantLock,
  TSemaphore
} from "effect"
import * as Chaos from "./utils/chaos.js"

// Each test passes while the behaviour it names is still there.

const settle = Effect.repeatN(Effect.yieldNow(), 50)

const trackedMap = Effect.gen(function*() {
  const live = new Set<number>()
  const state = { most: 0, lookups: 0 }
  const map = yield* RcMap.make({
    lookup: (_: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          live.add(++state.lookups)
          state.most = Math.max(state.most, live.size)
          return state.lookups
        }),
        (id) => Effect.sync(() => live.delete(id))
      )
  })
  return { map, state }
})

const sweep = <S>(
  make: Effect.Effect<S>,
  use: (s: S) => Effect.Effect<unknown>,
  free: (s: S) => Effect.Effect<boolean>
) =>
  Effect.gen(function*() {
    const run = (at: number) =>
      Effect.gen(function*() {
        const s = yield* make
        let seen = 0
        const scheduler: Scheduler.Scheduler = {
          scheduleTask: (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
          shouldYield: (fiber) => {
            if (++seen === at) fiber.unsafeInterruptAsFork(FiberId.none)
            return false
          }
        }
        yield* Fiber.await(yield* Effect.fork(Effect.withScheduler(use(s), scheduler)))
        return { seen, ok: yield* free(s) }
      })
    const { seen } = yield* run(-1)
    const bad: Array<number> = []
    for (let at = 1; at <= seen; at++) if (!(yield* run(at)).ok) bad.push(at)
    return { operations: seen, bad }
  })

describe("effect 3.22.4, pinned", () => {
  // So the loss of a lock cannot interrupt it there either, before the time is over.
  it.effect("Effect.all: a sibling that fails does not interrupt Effect.timeout", () =>
    Effect.gen(function*() {
      const timed = Effect.timeout(Effect.never, "1 hour")
      const fiber = yield* Effect.fork(Effect.exit(
        Effect.all([timed, Effect.zipRight(Effect.yieldNow(), Effect.fail("failure"))], { concurrency: "unbounded" })
      ))
      yield* settle
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
    }))

  it.effect("TSemaphore.withPermit: the body is uninterruptible", () =>
    Effect.gen(function*() {
      const s = yield* STM.commit(TSemaphore.make(1))
      const fiber = yield* Effect.fork(TSemaphore.withPermit(Effect.sleep("1 hour"), s))
      yield* settle
      yield* Effect.fork(Fiber.interrupt(fiber))
      yield* settle
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("2 hours")
    }))

  it.effect("TSemaphore.withPermitScoped: an interrupted waiter invents a permit", () =>
    Effect.gen(function*() {
      const s = yield* STM.commit(TSemaphore.make(1))
      yield* STM.commit(TSemaphore.acquire(s))
      const fiber = yield* Effect.fork(Effect.scoped(TSemaphore.withPermitScoped(s)))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* STM.commit(TSemaphore.available(s)), 1)
    }))

  it.effect("TReentrantLock: waiters are uninterruptible", () =>
    Effect.gen(function*() {
      for (const take of [TReentrantLock.writeLock, TReentrantLock.readLock]) {
        const lock = yield* TReentrantLock.make
        yield* Effect.fork(Effect.scoped(Effect.zipRight(TReentrantLock.writeLock(lock), Effect.sleep("1 hour"))))
        yield* settle
        const waiter = yield* Effect.fork(Effect.scoped(take(lock)))
        yield* settle
        yield* Effect.fork(Fiber.interrupt(waiter))
        yield* settle
        assert.isNull(waiter.unsafePoll())
        yield* TestClock.adjust("2 hours")
      }
    }))

  it.effect("TReentrantLock.with*Lock: the body is uninterruptible", () =>
    Effect.gen(function*() {
      for (const use of [TReentrantLock.withWriteLock, TReentrantLock.withReadLock]) {
        const lock = yield* TReentrantLock.make
        const fiber = yield* Effect.fork(use(Effect.sleep("1 hour"), lock))
        yield* settle
        yield* Effect.fork(Fiber.interrupt(fiber))
        yield* settle
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust("2 hours")
      }
    }))

  it.effect("TReentrantLock: release by another fiber dies", () =>
    Effect.gen(function*() {
      const lock = yield* TReentrantLock.make
      const scope = yield* Scope.make()
      yield* Fiber.join(yield* Effect.fork(Scope.extend(TReentrantLock.writeLock(lock), scope)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Scope.close(scope, Exit.void))))
    }))

  it.effect("TReentrantLock: overlapping readers starve a writer", () =>
    Effect.gen(function*() {
      const lock = yield* TReentrantLock.make
      const reader = Effect.scoped(Effect.zipRight(TReentrantLock.readLock(lock), Effect.sleep("10 millis")))
      yield* Effect.fork(Effect.repeatN(reader, 100))
      yield* TestClock.adjust("5 millis")
      yield* Effect.fork(Effect.repeatN(reader, 100))
      yield* settle
      const writer = yield* Effect.fork(TReentrantLock.withWriteLock(Effect.void, lock))
      for (let i = 0; i < 150; i++) yield* TestClock.adjust("5 millis")
      assert.isNull(writer.unsafePoll())
      for (let i = 0; i < 100; i++) yield* TestClock.adjust("5 millis")
      yield* Fiber.join(writer)
    }))

  it("TReentrantLock: two upgraders deadlock", async () => {
    const upgraders = Effect.gen(function*() {
      const lock = yield* TReentrantLock.make
      const ready: Array<Deferred.Deferred<void>> = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const upgrade = (i: number) =>
        Effect.scoped(
          TReentrantLock.readLock(lock).pipe(
            Effect.zipRight(Deferred.succeed(ready[i]!, void 0)),
            Effect.zipRight(Effect.forEach(ready, Deferred.await)),
            Effect.zipRight(TReentrantLock.writeLock(lock))
          )
        )
      yield* Effect.all([upgrade(0), upgrade(1)], { concurrency: 2 })
    })
    const fiber = Effect.runFork(upgraders)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.isNull(fiber.unsafePoll())
  })

  it.effect("Effect.Semaphore: a small request overtakes a waiting big one", () =>
    Effect.gen(function*() {
      const s = yield* Effect.makeSemaphore(2)
      const order: Array<string> = []
      yield* s.take(1)
      yield* Effect.fork(s.withPermits(2)(Effect.sync(() => order.push("big"))))
      yield* settle
      yield* Effect.fork(s.withPermits(1)(Effect.sync(() => order.push("small"))))
      yield* settle
      yield* s.release(1)
      yield* settle
      assert.deepStrictEqual(order, ["small", "big"])
    }))

  it.effect("PartitionedSemaphore: drip-fed permits leak on interrupt", () =>
    Effect.gen(function*() {
      const s = yield* PartitionedSemaphore.make<string>({ permits: 4 })
      const hold = (n: number) =>
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(s.withPermits("a", n)(Deferred.await(gate)))
          yield* settle
          return Effect.zipRight(Deferred.succeed(gate, void 0), Fiber.await(fiber))
        })
      const releaseOne = yield* hold(1)
      const releaseTwo = yield* hold(2)
      const waiter = yield* Effect.fork(s.withPermits("b", 3)(Effect.void))
      yield* settle
      yield* releaseOne
      yield* settle
      yield* Fiber.interrupt(waiter)
      yield* releaseTwo
      const all = yield* Effect.fork(s.withPermits("c", 4)(Effect.void))
      yield* settle
      assert.isNull(all.unsafePoll())
      yield* Fiber.interrupt(all)
    }))

  it.effect("RcMap.invalidate, then release: the successor is dropped", () =>
    Effect.scoped(Effect.gen(function*() {
      const { map } = yield* trackedMap
      const a = yield* Scope.make()
      const b = yield* Scope.make()
      yield* Scope.extend(RcMap.get(map, "k"), a)
      yield* RcMap.invalidate(map, "k")
      assert.strictEqual(yield* Scope.extend(RcMap.get(map, "k"), b), 2)
      yield* Scope.close(a, Exit.void)
      assert.strictEqual(yield* RcMap.get(map, "k"), 3)
    })))

  it("RcMap.get: two live resources for one key, stock runtime", async () => {
    const hits: Array<number> = []
    for (let pad = 1980; pad <= 2010; pad++) {
      const most = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
        const { map, state } = yield* trackedMap
        const user = (n: number) =>
          Effect.gen(function*() {
            for (let i = 0; i < n; i++) yield* Effect.sync(() => {})
            yield* Effect.scoped(Effect.zipRight(RcMap.get(map, "k"), Effect.sleep(1)))
          })
        yield* Effect.all([user(pad), user(0)], { concurrency: "unbounded" })
        return state.most
      })))
      if (most > 1) hits.push(pad)
    }
    assert.isNotEmpty(hits)
  })

  it("RcMap.get: two live resources for one key, seeded scheduler", () => {
    const mostUnder = (seed: number) =>
      Chaos.run(
        Effect.scoped(Effect.gen(function*() {
          const { map, state } = yield* trackedMap
          const user = Effect.scoped(Effect.zipRight(RcMap.get(map, "k"), Effect.yieldNow()))
          yield* Effect.all([user, user, user], { concurrency: "unbounded" })
          return state.most
        })),
        seed
      )
    const hits = Array.from({ length: 2000 }, (_, seed) => mostUnder(seed))
      .filter((exit) => exit !== undefined && Exit.isSuccess(exit) && exit.value > 1)
    assert.isNotEmpty(hits)
  }, 60_000)

  it.effect("interrupting at every operation", () =>
    Effect.gen(function*() {
      const tFree = (s: TSemaphore.TSemaphore) => Effect.map(STM.commit(TSemaphore.available(s)), (n) => n === 1)
      const semaphore = yield* sweep(
        Effect.makeSemaphore(1),
        (s) => s.withPermits(1)(Effect.void),
        (s) => Effect.map(s.withPermitsIfAvailable(1)(Effect.void), Option.isSome)
      )
      const withPermit = yield* sweep(
        STM.commit(TSemaphore.make(1)),
        (s) => TSemaphore.withPermit(Effect.void, s),
        tFree
      )
      const scoped = yield* sweep(
        STM.commit(TSemaphore.make(1)),
        (s) => Effect.scoped(TSemaphore.withPermitScoped(s)),
        tFree
      )
      for (const { bad } of [semaphore, withPermit, scoped]) assert.isNotEmpty(bad)
    }), 60_000)
})

/**
 * What every lock promises, whatever holds it and whatever is beneath it. A law
 * fails by dying and never hangs: it lets fibers run as far as they can and then
 * looks, so a lock that loses a wake-up is seen, not waited for.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope, TestClock } from "effect"
import { AcquireLockFailed, lock } from "effect-locks"
import { type Kind, kinds } from "../utils/kinds.js"
import { settle } from "../utils/sweep.js"
import { counting } from "./counting.js"
import { deadlocks } from "./deadlocks.js"
import { ended, holder, isFree, type Law, law, lockOf, scopedLock, start, waiting } from "./law.js"
import { modes, upgrades } from "./modes.js"
import { order } from "./order.js"
import { reentrancy } from "./reentrancy.js"
import { several } from "./several.js"

/** The laws that `kind` is held to. Those that name the call they are about are checked with the first kind. */
export const lawsOf = (kind: Kind): ReadonlyArray<Law> => [
  ...basic,
  ...order.slice(0, 1),
  ...(kind.hasModes ? modes : []),
  ...(kind === kinds[0] ? [...order.slice(1), ...upgrades, ...counting, ...several, ...reentrancy, ...deadlocks] : [])
]

const basic: ReadonlyArray<Law> = [
  law("exclusion: one holder at a time", (registry, kind) =>
    Effect.gen(function*() {
      let inside = 0
      let most = 0
      const visit = Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++inside)),
        () => Effect.repeatN(Effect.yieldNow(), 3),
        () => Effect.sync(() => inside--)
      ).pipe(kind.hold(registry, "x"))
      const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(visit))
      yield* Effect.repeatN(settle, 20)
      assert.isTrue(fibers.every(ended), "everyone had a turn")
      assert.strictEqual(most, 1)
    })),

  law("it is held while the body runs, and free when it ends in any way", (registry, kind) =>
    Effect.gen(function*() {
      const bodies: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.void,
        Effect.fail("failure"),
        Effect.die("defect"),
        Effect.interrupt,
        Effect.async(() => {})
      ]
      const freeInside: Array<boolean> = []
      for (const body of bodies) {
        const look = Effect.map(isFree(kind, registry, "x"), (free) => freeInside.push(free))
        const running = yield* start(Effect.zipRight(look, body).pipe(kind.hold(registry, "x")))
        yield* Fiber.interruptFork(running)
        yield* settle
        assert.isTrue(ended(running))
        assert.isTrue(yield* isFree(kind, registry, "x"))
      }
      assert.deepStrictEqual(freeInside, bodies.map(() => false))
    })),

  law("the outcome of the body is the outcome of the whole", (registry, kind) =>
    Effect.gen(function*() {
      const hold = kind.hold(registry, "x")
      assert.strictEqual(yield* hold(Effect.succeed(42)), 42)
      assert.deepStrictEqual(yield* Effect.exit(hold(Effect.fail("failure"))), Exit.fail("failure"))
      assert.deepStrictEqual(yield* Effect.exit(hold(Effect.die("defect"))), Exit.die("defect"))
    })),

  law("arrival order: waiters are served as they came, fair or not", (registry, kind) =>
    Effect.gen(function*() {
      const first = yield* holder(kind, registry, "x")
      const order: Array<number> = []
      for (let i = 0; i < 10; i++) {
        const fair = i % 2 === 0
        yield* start(Effect.sync(() => order.push(i)).pipe(kind.hold(registry, "x", { fair })))
      }
      assert.deepStrictEqual(order, [], "everyone waits")
      yield* first.letGo
      yield* settle
      yield* settle
      assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    })),

  law(
    "nobody overtakes: who releases and asks again goes to the end of the line",
    (registry, kind) =>
      Effect.gen(function*() {
        const order: Array<string> = []
        const gate = yield* Deferred.make<void>()
        const again = Effect.sync(() => order.push("again")).pipe(kind.hold(registry, "x"))
        const first = yield* start(
          Effect.zipRight(Deferred.await(gate).pipe(kind.hold(registry, "x")), again)
        )
        const second = yield* start(Effect.sync(() => order.push("second")).pipe(kind.hold(registry, "x")))
        assert.deepStrictEqual(order, [], "everyone waits")
        yield* Deferred.succeed(gate, undefined)
        yield* settle
        assert.isTrue(ended(first) && ended(second))
        assert.deepStrictEqual(order, ["second", "again"])
      })
  ),

  law(
    "an interrupted waiter leaves at once, and leaves the others in order",
    (registry, kind) =>
      Effect.gen(function*() {
        const first = yield* holder(kind, registry, "x")
        const order: Array<number> = []
        const waiters: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
        for (let i = 0; i < 5; i++) {
          waiters.push(yield* start(Effect.sync(() => order.push(i)).pipe(kind.hold(registry, "x"))))
        }
        for (const i of [0, 2, 4]) yield* Fiber.interruptFork(waiters[i]!)
        yield* settle
        assert.deepStrictEqual(waiters.map(ended), [true, false, true, false, true])
        assert.isFalse(yield* isFree(kind, registry, "x"), "an interrupted waiter gives back nothing")
        assert.strictEqual(yield* waiting(registry, "x"), 2)
        yield* first.letGo
        yield* settle
        assert.deepStrictEqual(order, [1, 3])
      })
  ),

  law("a grant that meets an interruption is passed on", (registry, kind) =>
    Effect.gen(function*() {
      const first = yield* holder(kind, registry, "x")
      const served: Array<string> = []
      const doomed = yield* start(Effect.sync(() => served.push("doomed")).pipe(kind.hold(registry, "x")))
      const next = yield* start(Effect.sync(() => served.push("next")).pipe(kind.hold(registry, "x")))
      assert.isFalse(ended(doomed) || ended(next), "both wait")
      // The release is on its way when the interruption is sent: the waiter learns of both at once.
      yield* Effect.zipRight(Effect.fork(first.letGo), Fiber.interruptFork(doomed))
      yield* settle
      yield* settle
      assert.isTrue(ended(doomed) && ended(next))
      assert.strictEqual(served.at(-1), "next")
    })),

  law("blocking: false fails at once when held, and takes what is free", (registry, kind) =>
    Effect.gen(function*() {
      const first = yield* holder(kind, registry, "x")
      const failed = yield* Effect.flip(
        Effect.void.pipe(kind.hold(registry, "x", { blocking: false, timeout: "1 hour" }))
      )
      assert.instanceOf(failed, AcquireLockFailed)
      assert.strictEqual(failed.reason, "Busy")
      assert.deepStrictEqual(failed.holders.map((request) => request.fiberId), [first.fiber.id()])
      yield* first.letGo
      assert.isTrue(yield* isFree(kind, registry, "x"))
    })),

  law("a timed-out waiter fails, leaves the line, and the next is served", (registry, kind) =>
    Effect.gen(function*() {
      const first = yield* holder(kind, registry, "x")
      const timed = yield* start(Effect.either(Effect.void.pipe(kind.hold(registry, "x", { timeout: "1 second" }))))
      const next = yield* start(Effect.void.pipe(kind.hold(registry, "x")))
      yield* TestClock.adjust("999 millis")
      assert.isFalse(ended(timed))
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.isTrue(ended(timed))
      const either = yield* Fiber.join(timed)
      assert.isTrue(either._tag === "Left" && either.left.reason === "Timeout")
      assert.strictEqual(yield* waiting(registry, "x"), 1)
      yield* first.letGo
      assert.isTrue(ended(next))
    })),

  law(
    "a timed waiter that was granted in time keeps the lock past its deadline",
    (registry, kind) =>
      Effect.gen(function*() {
        const first = yield* holder(kind, registry, "x")
        const second = yield* holder(kind, registry, "x", { timeout: "1 second" })
        yield* first.letGo
        yield* TestClock.adjust("1 hour")
        assert.isFalse(ended(second.fiber))
        assert.isFalse(yield* isFree(kind, registry, "x"))
        yield* second.letGo
        assert.isTrue(ended(second.fiber))
      })
  ),

  law("names and prefixes are apart", (registry, kind) =>
    Effect.gen(function*() {
      const other = yield* holder(kind, registry, "x")
      assert.isFalse(yield* isFree(kind, registry, "x"))
      assert.isTrue(yield* isFree(kind, registry, "y"))
      assert.deepStrictEqual(
        yield* Effect.exit(Effect.void.pipe(kind.hold(registry, "x", { prefix: "p", blocking: false }))),
        Exit.void
      )
      yield* other.letGo
    })),

  law("a scoped lock may be released by another fiber", (registry) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Fiber.join(yield* Effect.fork(Scope.extend(lock("x", { registry }), scope)))
      assert.isFalse(yield* isFree(scopedLock, registry, "x"))
      yield* Fiber.join(yield* Effect.fork(Scope.close(scope, Exit.void)))
      assert.isTrue(yield* isFree(scopedLock, registry, "x"))
    })),

  law("an entry appears and disappears with its holders, however often", (registry, kind) =>
    Effect.gen(function*() {
      for (let round = 0; round < 20; round++) {
        const fibers = yield* Effect.forEach(
          Array.from({ length: 6 }),
          (_, i) => Effect.fork(Effect.repeatN(Effect.yieldNow(), i).pipe(kind.hold(registry, "x")))
        )
        yield* Effect.yieldNow()
        assert.isDefined(yield* lockOf(registry, "x"))
        yield* Effect.repeatN(settle, 3)
        assert.isTrue(fibers.every(ended))
        assert.deepStrictEqual(yield* registry.snapshot, [])
      }
    }))
]

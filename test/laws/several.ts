/** What it means to hold several locks at once. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import {
  AcquireLockFailed,
  type LocalLockOptions,
  lock,
  lockAll,
  type LockRegistry,
  type LockTarget,
  withLock as withOne,
  withLockAll,
  withSemaphore
} from "effect-locks"
import { settle } from "../utils/sweep.js"
import { ended, holder, inside, isFree, type Law, law, lockOf, start, visit, waiting, withLock } from "./law.js"

const taker = (registry: LockRegistry, names: ReadonlyArray<LockTarget>, options?: LocalLockOptions) =>
  visit((body) => withLockAll(body, names, { ...options, registry }))

const reader = (name: string) => ({ name, mode: "shared" } as const)

export const several: ReadonlyArray<Law> = [
  law("all or none: it holds nothing while it waits", (registry) =>
    Effect.gen(function*() {
      const one = yield* holder(withLock, registry, "b")
      const all = yield* taker(registry, ["a", "b", "c"])
      assert.isFalse(all.isIn())
      for (const name of ["a", "c"]) {
        assert.deepStrictEqual((yield* lockOf(registry, name))!.holders, [], `${name} is not held`)
      }
      yield* one.letGo
      assert.isTrue(all.isIn())
      for (const name of ["a", "b", "c"]) assert.isFalse(yield* isFree(withLock, registry, name))
      yield* all.letGo
      for (const name of ["a", "b", "c"]) assert.isTrue(yield* isFree(withLock, registry, name))
    })),

  law("its place in each line is kept: who comes later waits", (registry) =>
    Effect.gen(function*() {
      const one = yield* holder(withLock, registry, "b")
      const all = yield* taker(registry, ["a", "b"])
      const late = yield* holder(withLock, registry, "a")
      assert.deepStrictEqual(inside([all, late]), [])
      yield* one.letGo
      assert.deepStrictEqual(inside([all, late]), [0])
      yield* all.letGo
      assert.deepStrictEqual(inside([all, late]), [1])
      yield* late.letGo
    })),

  law("the order of the names does not matter, and a name given twice is one", (registry) =>
    Effect.gen(function*() {
      const takers = [
        yield* taker(registry, ["a", "b"]),
        yield* taker(registry, ["b", "a", "b"]),
        yield* taker(registry, ["b", "a"])
      ]
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(inside(takers), [i])
        yield* takers[i]!.letGo
      }
    })),

  law("each name has its mode; of two for one name the exclusive one counts", (registry) =>
    Effect.gen(function*() {
      const one = yield* taker(registry, [reader("a"), "b"])
      const two = yield* taker(registry, [reader("a"), "c"])
      assert.deepStrictEqual(inside([one, two]), [0, 1])
      const writer = yield* taker(registry, [reader("a"), "a"])
      const last = yield* taker(registry, ["a", "d"], { mode: "shared" })
      assert.deepStrictEqual(inside([writer, last]), [])
      assert.deepStrictEqual((yield* lockOf(registry, "d"))!.waiters.map(({ mode }) => mode), ["shared"])
      yield* one.letGo
      yield* two.letGo
      assert.deepStrictEqual(inside([writer, last]), [0])
      yield* writer.letGo
      assert.deepStrictEqual(inside([writer, last]), [1])
      yield* last.letGo
      const holds = yield* Effect.scoped(lockAll(["z", reader("y"), "z"], { registry, prefix: "p" }))
      assert.deepStrictEqual(
        holds.map(({ key, mode }) => [key.prefix, key.name, mode]),
        [["p", "z", "exclusive"], ["p", "y", "shared"], ["p", "z", "exclusive"]]
      )
    })),

  law("no names is no lock", (registry) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.scoped(lockAll([], { registry })), [])
      assert.strictEqual(yield* withLockAll(Effect.succeed(1), [], { registry }), 1)
    })),

  law("who gives up leaves every line at once", (registry) =>
    Effect.gen(function*() {
      const one = yield* holder(withLock, registry, "b")
      const all = yield* taker(registry, ["a", "b", "c"])
      const behind = [yield* holder(withLock, registry, "a"), yield* holder(withLock, registry, "c")]
      assert.deepStrictEqual(inside(behind), [])
      yield* all.interrupt
      assert.deepStrictEqual(inside(behind), [0, 1])
      assert.strictEqual(yield* waiting(registry, "b"), 0)
      for (const one of behind) yield* one.letGo
      const timed = yield* taker(registry, ["a", "b"], { timeout: "1 second" })
      assert.strictEqual(yield* waiting(registry, "a"), 1)
      yield* TestClock.adjust("1 second")
      yield* settle
      const failed = yield* Effect.flip(Fiber.join(timed.fiber))
      assert.isTrue(failed instanceof AcquireLockFailed && failed.reason === "Timeout")
      assert.strictEqual((failed as AcquireLockFailed).key.name, "b", "the first that was in the way")
      assert.isTrue(yield* isFree(withLock, registry, "a"))
      yield* one.letGo
    })),

  law("blocking: false takes all, or fails at the first that is in the way", (registry) =>
    Effect.gen(function*() {
      const one = yield* holder(withLock, registry, "b")
      const failed = yield* Effect.flip(withLockAll(Effect.void, ["a", "b"], { blocking: false, registry }))
      assert.deepStrictEqual([failed.reason, failed.key.name], ["Busy", "b"])
      assert.deepStrictEqual(failed.holders.map(({ fiberId }) => fiberId), [one.fiber.id()])
      assert.isTrue(yield* isFree(withLock, registry, "a"))
      yield* one.letGo
      yield* withLockAll(Effect.void, ["a", "b"], { blocking: false, registry })
    })),

  law("philosophers all eat, whoever sits where", (registry) =>
    Effect.gen(function*() {
      const seats = 7
      const meals: Array<number> = []
      const philosopher = (i: number) => {
        const forks = [`fork ${i}`, `fork ${(i + 1) % seats}`]
        const meal = Effect.zipRight(Effect.yieldNow(), Effect.sync(() => meals.push(i)))
        const names = i % 2 === 0 ? forks : forks.slice().reverse()
        return Effect.repeatN(withLockAll(meal, names, { registry }), 9)
      }
      const fibers = yield* Effect.forEach(
        Array.from({ length: seats }, (_, i) => i),
        (i) => Effect.fork(philosopher(i))
      )
      yield* Effect.repeatN(settle, 60)
      assert.isTrue(fibers.every(ended))
      assert.strictEqual(meals.length, 10 * seats)
    })),

  law("an order yields to who holds what it waits for", (registry) =>
    Effect.gen(function*() {
      // F holds a, G waits for a and b, and F asks for b, where G stands before it.
      let got = false
      const f = yield* visit((body) =>
        withOne(
          Effect.zipRight(body, withOne(Effect.sync(() => got = true), "b", { registry })),
          "a",
          { registry }
        )
      )
      const g = yield* taker(registry, ["a", "b"])
      const late = yield* holder(withLock, registry, "b")
      assert.deepStrictEqual(inside([f, g, late]), [0])
      yield* f.letGo
      assert.isTrue(got && ended(f.fiber))
      assert.deepStrictEqual(inside([g, late]), [0], "and to nobody else")
      yield* g.letGo
      yield* late.letGo
    })),

  law("an order yields to a third through whom it waits for itself", (registry) =>
    Effect.gen(function*() {
      // F holds a and will ask for c, which H holds, who waits for b behind G, who waits for a and b.
      let done = 0
      const ask = (name: string) => withOne(Effect.sync(() => done++), name, { registry })
      const f = yield* visit((body) => withOne(Effect.zipRight(body, ask("c")), "a", { registry }))
      const one = yield* holder(withLock, registry, "b")
      const g = yield* taker(registry, ["a", "b"])
      const h = yield* start(withOne(ask("b"), "c", { registry }))
      yield* one.letGo
      assert.isFalse(ended(h), "it waits behind g, which nothing forbids yet")
      yield* f.letGo
      assert.isTrue(ended(f.fiber) && ended(h))
      assert.strictEqual(done, 2)
      assert.isTrue(g.isIn())
      yield* g.letGo
    })),

  law("a scoped hold counts for the fiber that took it, so orders yield to that", (registry) =>
    Effect.gen(function*() {
      let got = false
      const f = yield* visit((body) =>
        Effect.scoped(Effect.zipRight(
          Effect.zipRight(lock("a", { registry }), body),
          Effect.zipRight(lock("b", { registry }), Effect.sync(() => got = true))
        ))
      )
      const g = yield* taker(registry, ["a", "b"])
      yield* f.letGo
      assert.isTrue(got && ended(f.fiber))
      assert.isTrue(g.isIn())
      yield* g.letGo
    })),

  law("blocking: false is let pass where waiting would be", (registry) =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const attempt = withOne(Effect.void, "b", { blocking: false, registry }).pipe(
        Effect.match({ onFailure: ({ reason }) => seen.push(reason), onSuccess: () => seen.push("got") })
      )
      const f = yield* visit((body) => withOne(Effect.zipRight(body, attempt), "a", { registry }))
      const g = yield* taker(registry, ["a", "b"])
      yield* attempt
      yield* f.letGo
      assert.deepStrictEqual(seen, ["Busy", "got"])
      yield* g.letGo
    })),

  law(
    "a timed wait of a holder for itself does not hide that an order must yield",
    (registry) =>
      Effect.gen(function*() {
        // F holds b and waits for it with a limit; H holds c and asks for b behind G, who waits for both.
        const again = Effect.flip(withOne(Effect.void, "b", { timeout: "1 second", registry }))
        const f = yield* start(withOne(again, "b", { registry }))
        let got = false
        const h = yield* visit((body) =>
          withOne(Effect.zipRight(body, withOne(Effect.sync(() => got = true), "b", { registry })), "c", { registry })
        )
        const g = yield* taker(registry, ["c", "b"], { priority: 1 })
        yield* h.letGo
        assert.isFalse(ended(f) || got || g.isIn())
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.isTrue(ended(f) && ended(h.fiber) && got)
        assert.isTrue(g.isIn())
        yield* g.letGo
      })
  ),

  law("an order yields too when the permits that were counted on stay away", (registry) =>
    Effect.gen(function*() {
      const permits = (take: number) => <E>(body: Effect.Effect<void, E>) =>
        withSemaphore(body, "s", { permits: 3, take, registry })
      let got = false
      const a = yield* visit((body) =>
        permits(1)(Effect.zipRight(
          body,
          permits(1)(Effect.sync(() => {
            got = true
          }))
        ))
      )
      const b = yield* visit((body) =>
        permits(1)(Effect.zipRight(
          body,
          withOne(Effect.ignore(withOne(Effect.void, "x", { timeout: "1 second", registry })), "x", { registry })
        ))
      )
      const c = yield* visit(permits(2))
      yield* a.letGo
      assert.isFalse(got || c.isIn(), "a waits behind c, who will have the permit of b")
      yield* b.letGo
      assert.isFalse(ended(b.fiber), "but b waits for itself")
      assert.isTrue(got && ended(a.fiber), "so a is let pass, and c has its permits from a")
      assert.isTrue(c.isIn())
      yield* c.letGo
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.isTrue(ended(b.fiber))
    }))
]

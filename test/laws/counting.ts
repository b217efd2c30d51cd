/** What semaphores promise. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { lock, type LockRegistry, semaphore, type SemaphoreOptions, withSemaphore } from "effect-locks"
import { settle } from "../utils/sweep.js"
import { dies, ended, inside, type Law, law, lockOf, visit } from "./law.js"

const permits = 5

const taker = (registry: LockRegistry, take: number, options?: Partial<SemaphoreOptions>) =>
  visit((body) => withSemaphore(body, "x", { ...options, permits, take, registry }))

export const counting: ReadonlyArray<Law> = [
  law("as many as there are permits", (registry) =>
    Effect.gen(function*() {
      const takers = [
        yield* taker(registry, 2),
        yield* taker(registry, 2),
        yield* taker(registry, 1),
        yield* taker(registry, 1)
      ]
      assert.deepStrictEqual(inside(takers), [0, 1, 2])
      const snapshot = (yield* lockOf(registry, "x"))!
      assert.strictEqual(snapshot.permits, permits)
      assert.deepStrictEqual(snapshot.holders.map((one) => one.permits), [2, 2, 1])
      assert.deepStrictEqual(snapshot.waiters.map((one) => one.permits), [1])
      yield* takers[0]!.letGo
      assert.deepStrictEqual(inside(takers), [1, 2, 3])
      for (const one of takers) yield* one.letGo
    })),

  law(
    "a heavy request at the head is not overtaken by light ones that would fit",
    (registry) =>
      Effect.gen(function*() {
        const takers = [yield* taker(registry, 3), yield* taker(registry, 4)]
        for (let i = 0; i < 5; i++) takers.push(yield* taker(registry, 1))
        assert.deepStrictEqual(inside(takers), [0])
        yield* takers[0]!.letGo
        assert.deepStrictEqual(inside(takers), [1, 2])
        yield* takers[1]!.letGo
        assert.deepStrictEqual(inside(takers), [2, 3, 4, 5, 6])
        for (const one of takers) yield* one.letGo
      })
  ),

  law("a heavy request that gives up lets in all that fit", (registry) =>
    Effect.gen(function*() {
      const takers = [
        yield* taker(registry, 3),
        yield* taker(registry, 4),
        yield* taker(registry, 1),
        yield* taker(registry, 1)
      ]
      yield* takers[1]!.interrupt
      assert.deepStrictEqual(inside(takers), [0, 2, 3])
      for (const one of takers) yield* one.letGo
    })),

  law("a hold tells what it is of", (registry) =>
    Effect.scoped(Effect.gen(function*() {
      const held = yield* semaphore("x", { permits: 4, take: 3, prefix: "p", registry })
      assert.deepStrictEqual([held.key.prefix, held.key.name, held.permits], ["p", "x", 3])
    }))),

  law(
    "a live name has one number of permits; what asks for another dies, and changes nothing",
    (registry) =>
      Effect.gen(function*() {
        const one = yield* taker(registry, 1)
        const other = "every use of a name must give the same number of permits"
        yield* dies(
          withSemaphore(Effect.void, "x", { permits: 6, registry }),
          `"x" is in use as a semaphore of 5 permits and was asked for as a semaphore of 6 permits; ${other}`
        )
        yield* dies(
          Effect.scoped(lock("x", { registry })),
          `"x" is in use as a semaphore of 5 permits and was asked for as a lock; ${other}`
        )
        assert.isTrue(one.isIn())
        const waits = yield* taker(registry, 5)
        yield* dies(
          withSemaphore(Effect.void, "x", { permits: 6, blocking: false, registry }),
          `"x" is in use as a semaphore of 5 permits and was asked for as a semaphore of 6 permits; ${other}`
        )
        yield* one.letGo
        assert.isTrue(waits.isIn())
        yield* waits.letGo
        yield* withSemaphore(Effect.void, "x", { permits: 6, registry })
        yield* Effect.scoped(lock("x", { registry }))
        yield* settle
        assert.isTrue(ended(one.fiber) && ended(waits.fiber))
      })
  ),

  law("what can never be taken dies", (registry) =>
    Effect.gen(function*() {
      yield* dies(
        withSemaphore(Effect.void, "x", { permits: 2, take: 3, registry }),
        "semaphore \"x\": 3 permits can never be taken of 2; take fewer, or give it more"
      )
      for (const none of [0, -1, 1.5, Infinity, NaN]) {
        yield* dies(
          withSemaphore(Effect.void, "x", { permits: none, registry }),
          `semaphore "x": the permits must be a whole number from 1 to 1073741822, not ${none}`
        )
      }
      for (const none of [0, -1, 1.5]) {
        yield* dies(
          Effect.scoped(semaphore("x", { permits: 2, take: none, registry })),
          `semaphore "x": take must be a whole number of permits, 1 or more, not ${none}`
        )
      }
    }))
]

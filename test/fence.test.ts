import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber } from "effect"
import { Fence, lock, LockRegistry, StaleToken } from "effect-locks"
import { dies } from "./laws/law.js"

describe("Fence", () => {
  it.effect("refuses exactly those whose token is smaller than one before, and remembers the largest", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.array(FastCheck.bigInt({ min: 1n, max: 20n })), async (tokens) => {
          const fence = Effect.runSync(Fence.make)
          let largest = 0n
          for (const token of tokens) {
            const admitted = Effect.runSync(Effect.either(fence.admit(token)))
            assert.strictEqual(admitted._tag, token < largest ? "Left" : "Right")
            if (admitted._tag === "Left") {
              assert.deepStrictEqual([admitted.left.token, admitted.left.newest], [token, largest])
            }
            if (token > largest) largest = token
            assert.strictEqual(Effect.runSync(fence.newest), largest)
          }
        })
      )
    ))

  it.effect("says which token was refused, and why", () =>
    Effect.gen(function*() {
      const fence = yield* Fence.make
      yield* fence.admit(34n)
      const error = yield* Effect.flip(fence.admit(33n))
      assert.instanceOf(error, StaleToken)
      assert.strictEqual(error.message, "token 33 is stale: 34 was here, so the lock has passed on")
    }))

  it.effect("dies of a lock that has no tokens, and admits nobody", () =>
    Effect.gen(function*() {
      const fence = yield* Fence.make
      const message = "a fence needs the token of a lock with fencing, such as PostgresLock has, not undefined"
      yield* dies(
        Effect.scoped(Effect.flatMap(lock("x"), ({ token }) => fence.admit(token))).pipe(
          Effect.provide(LockRegistry.layer)
        ),
        message
      )
      assert.strictEqual(yield* fence.newest, 0n)
    }))

  it.effect("admits in one step: whoever is interrupted was admitted or was not", () =>
    Effect.gen(function*() {
      for (let yields = 0; yields < 5; yields++) {
        const fence = yield* Fence.make
        let done = 0n
        const work = Effect.map(fence.admit(1n), () => {
          done = 1n
        })
        const fiber = yield* Effect.fork(Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 2), work))
        yield* Effect.repeatN(Effect.yieldNow(), yields)
        yield* Fiber.interrupt(fiber)
        assert.isAtLeast(Number(yield* fence.newest), Number(done))
      }
    }))

  it.effect("is apart from every other fence", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* Fence.make, yield* Fence.make]
      yield* one.admit(9n)
      yield* other.admit(1n)
      assert.deepStrictEqual([yield* one.newest, yield* other.newest], [9n, 1n])
    }))
})

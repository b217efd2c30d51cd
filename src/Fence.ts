/**
 * What refuses those whose lock has passed on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { misuse, show } from "./internal/misuse.ts"
import { StaleToken } from "./LockError.ts"

/**
 * The memory of something that is changed under a lock, for the largest token that it has seen.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fence {
  /**
   * Fails with `StaleToken` when somebody with a larger token has been here, and
   * remembers this one otherwise. What it admits must be done in the same step: whoever waits in
   * between may be overtaken by the next holder.
   *
   * Dies when there is no token: the lock is of an `ExternalLock` without `fencing`, or not external.
   */
  readonly admit: (token: bigint | undefined) => Effect.Effect<void, StaleToken>
  /** The largest token that it has admitted. */
  readonly newest: Effect.Effect<bigint>
}

/**
 * A lock that reaches beyond the process can be lost by somebody who does not know it
 * yet: whose process stood still, or whose machine was cut off. What such a holder still
 * sends must be refused by what it sends it to, and a fence does that: each grant has a
 * token (`Held.token`), which is larger than those before, so a smaller one than was seen already
 * comes from somebody whose lock has passed on.
 *
 * A fence of a process is for what that process keeps. In a database the newest
 * token is a column of the row, and the check is part of the statement that changes it:
 * docs/distributed.md shows how.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * import { Effect } from "effect"
 * import { Fence } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const fence = yield* Fence.make
 *   const stored: Array<string> = []
 *   const store = (text: string, token: bigint) =>
 *     Effect.map(fence.admit(token), () => {
 *       stored.push(text)
 *     })
 *   yield* store("of the first holder", 33n)
 *   yield* store("of the second holder", 34n)
 *   // The first one did not know that it had lost the lock.
 *   const late = yield* Effect.flip(store("of the first holder", 33n))
 *   if (late.message !== "token 33 is stale: 34 was here, so the lock has passed on") throw late
 *   // The second holder may come again.
 *   yield* store("of the second holder", 34n)
 *   if (stored.length !== 3) throw new Error(stored.join())
 * })
 *
 * Effect.runPromise(program)
 */
export const make: Effect.Effect<Fence> = /*#__PURE__*/ Effect.sync(() => {
  let newest = 0n
  return {
    admit: (token) =>
      Effect.suspend(() => {
        if (typeof token !== "bigint") {
          return Effect.die(
            misuse(`a fence needs the token of a lock with fencing, such as PostgresLock has, not ${show(token)}`)
          )
        }
        if (token < newest) return Effect.fail(new StaleToken({ token, newest }))
        newest = token
        return Effect.void
      }),
    newest: Effect.sync(() => newest)
  }
})

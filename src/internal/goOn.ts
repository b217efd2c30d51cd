import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * `Effect.flatMap`, which goes on at once where the effect is its own outcome, as
 * that of `Effect.succeed` is: operations that are not run cost nothing.
 */
export const goOn = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => {
  if (!Exit.isExit(effect)) return Effect.flatMap(effect, f)
  const exit = effect as Exit.Exit<A, E>
  return Exit.isSuccess(exit) ? f(exit.value) : Effect.failCause(exit.cause)
}

import { Deferred, Effect, Fiber } from "effect"

export interface Holder {
  /** Lets it go, and waits until it has ended. */
  readonly letGo: Effect.Effect<void, unknown>
}

/** A fiber that holds what `enter` takes until it is let go. */
export const holding = <A, E, R>(
  enter: (body: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<Holder, E, R> =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const isIn = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(enter(Effect.zipRight(Deferred.succeed(isIn, undefined), Deferred.await(gate))))
    yield* Effect.raceFirst(Deferred.await(isIn), Fiber.join(fiber))
    return { letGo: Effect.zipRight(Deferred.succeed(gate, undefined), Effect.asVoid(Fiber.join(fiber))) }
  })

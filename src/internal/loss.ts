/**
 * Runs an effect for as long as what it relies on is held outside of this process.
 *
 * It stays in its fiber, which keeps all that it holds and its FiberRefs, and
 * the loss is an interruption of that fiber, by an interruptor of its own. An
 * interruption stays with a fiber: when the effect has ended this one is taken back
 * from it, and any other stays. Like every interruption it goes to the fibers too
 * that this one has forked.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import type { ExternalHold } from "../ExternalLock.ts"
import { LockLost } from "../LockError.ts"

/** The first loss that is known. */
export const known = (holds: ReadonlyArray<ExternalHold>): LockLost | undefined => {
  for (const { lostAs } of holds) if (lostAs !== undefined) return lostAs
  return undefined
}

/** The same loss, seen when the effect had run to its end. */
export const completed = ({ explanation, key }: LockLost): LockLost =>
  new LockLost({ key, explanation, completed: true })

const keep = <E>(cause: Cause.Cause<E>, isKept: (cause: Cause.Cause<E>) => boolean): Cause.Cause<E> =>
  isKept(cause) ? Cause.filter(cause, isKept) : Cause.empty

const without = <E>(cause: Cause.Cause<E>, interruptor: FiberId.FiberId): Cause.Cause<E> =>
  keep(cause, (cause) => !(Cause.isInterruptType(cause) && cause.fiberId === interruptor))

/** Takes the interruption by `interruptor` back from the running fiber; gives back the others. */
const takeBack = (interruptor: FiberId.FiberId): Effect.Effect<Cause.Cause<never>> =>
  FiberRef.modify(FiberRef.interruptedCause, (cause) => {
    const others = without(cause, interruptor)
    return [others, others]
  })

/** How to go on when it has ended. */
interface Ends<A, E, B, E2> {
  readonly onFailure: (cause: Cause.Cause<E | LockLost>) => Effect.Effect<B, E2>
  readonly onSuccess: (value: A) => Effect.Effect<B, E2>
}

/** Must run uninterruptible; `self` alone may be interruptible. */
export const orLost = <A, E, R, B, E2>(
  self: Effect.Effect<A, E, R>,
  holds: ReadonlyArray<ExternalHold>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  { onFailure, onSuccess }: Ends<A, E, B, E2>
): Effect.Effect<B, E2, R> => {
  const lost = known(holds)
  if (lost !== undefined) return onFailure(Cause.fail(lost))
  let interruptor: FiberId.FiberId | undefined
  const stops = holds.map((hold) =>
    hold.onLost(() => {
      if (interruptor !== undefined) return
      interruptor = FiberId.unsafeMake()
      fiber.unsafeInterruptAsFork(interruptor)
    })
  )
  const stop = () => {
    for (const stop of stops) stop()
  }
  // Each in an operation of its own: a fiber takes note of what interrupted it before that.
  return Effect.matchCauseEffect(self, {
    onFailure: (cause) =>
      Effect.suspend(() => {
        stop()
        if (interruptor === undefined) return onFailure(cause)
        return Effect.flatMap(takeBack(interruptor), (others) => {
          if (!Cause.isEmpty(others)) return onFailure(Cause.parallel(without(cause, interruptor!), others))
          // What the effect itself interrupted then, such as what it had forked, it did because of the loss.
          const rest = keep(cause, (cause) => !Cause.isInterruptType(cause))
          const loss = Cause.fail(known(holds)!)
          return onFailure(Cause.isEmpty(rest) ? loss : Cause.parallel(loss, rest))
        })
      }),
    onSuccess: (value) =>
      Effect.suspend(() => {
        stop()
        // The end of the hold tells the loss.
        return interruptor === undefined
          ? onSuccess(value)
          : Effect.flatMap(takeBack(interruptor), () => onSuccess(value))
      })
  })
}

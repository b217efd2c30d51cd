/**
 * Interrupts a program at each of its operations in turn: the first run counts
 * the operations, each later one interrupts at one of them.
 */
import type { Scheduler } from "effect"
import { Effect, Fiber, FiberId, Scheduler as Schedulers } from "effect"

export interface Subject {
  /** The program whose every operation is interrupted, once per run. */
  readonly program: Effect.Effect<unknown, unknown>
  /** Runs beside it, started when the program has run as far as it can. */
  readonly meanwhile?: Effect.Effect<unknown, unknown>
  /** What must be true when both are over, however the program ended. */
  readonly check: Effect.Effect<boolean>
}

const turns = Effect.repeatN(Effect.yieldNow(), 30)

let outside: Effect.Effect<void> = Effect.void
let isOutside = false

/** Has `settle` wait too until `rest`, when nothing that fibers wait for is under way outside of this process. */
export const settleOutside = (rest: Effect.Effect<void>): void => {
  outside = Effect.zipRight(rest, turns)
  isOutside = true
}

/** Lets fibers run as far as they can. */
export const settle: Effect.Effect<void> = Effect.suspend(() => Effect.zipRight(turns, outside))

const interruptAt = (at: number, onOperation: () => void): Scheduler.Scheduler => {
  let seen = 0
  // Only the program's own fiber: nobody but the library can reach those that it forks.
  let main: unknown
  return {
    scheduleTask: (task, priority, fiber) => Schedulers.defaultScheduler.scheduleTask(task, priority, fiber),
    shouldYield: (fiber) => {
      main ??= fiber
      if (fiber !== main) return false
      onOperation()
      if (++seen === at) fiber.unsafeInterruptAsFork(FiberId.none)
      return false
    }
  }
}

/** How often it is looked whether something has ended that may be under way outside of this process, unseen. */
const patience = 1000

/** Lets everybody go as far as they can, and says whether all of them have come to their end. */
export const allEnded = (fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    for (let turn = 0; turn < patience; turn++) {
      yield* settle
      if (fibers.every((fiber) => fiber.unsafePoll() !== null)) return true
      if (!isOutside) return false
    }
    return false
  })

const once = (make: Effect.Effect<Subject>, at: number) =>
  Effect.gen(function*() {
    const subject = yield* make
    let operations = 0
    const scheduler = interruptAt(at, () => operations++)
    const fiber = yield* Effect.fork(Effect.withScheduler(subject.program, scheduler))
    yield* settle
    if (subject.meanwhile !== undefined) yield* Effect.orDie(subject.meanwhile)
    const ended = yield* allEnded([fiber])
    yield* Fiber.interruptFork(fiber)
    return { operations, holds: ended && (yield* subject.check) }
  })

export interface Sweep {
  readonly operations: number
  /** The operations at which an interruption broke the check; 0 is the undisturbed run. */
  readonly bad: ReadonlyArray<number>
}

export const sweep = (make: Effect.Effect<Subject>): Effect.Effect<Sweep> =>
  Effect.gen(function*() {
    const undisturbed = yield* once(make, -1)
    const bad: Array<number> = undisturbed.holds ? [] : [0]
    for (let at = 1; at <= undisturbed.operations; at++) {
      if (!(yield* once(make, at)).holds) bad.push(at)
    }
    return { operations: undisturbed.operations, bad }
  })

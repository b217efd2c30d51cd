/**
 * External locks: the lock of the registry first, then, while it is held, the lock
 * outside of this process. Both end with the hold, the outer one first.
 *
 * Where keys lead outside is part of what the registry is asked for: a request
 * names its keys and its places, and takes all of them at once. So two keys that
 * lead to one place exclude each other in this process too, and a fiber that would
 * wait for itself through them is seen.
 *
 * Of several places the outer locks are taken one by one, in one order that all
 * requests keep; those that it has it holds while it waits for the next.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { ExternalHold, ExternalLock, ExternalRequest } from "../ExternalLock.ts"
import { AcquireLockFailed, type ExternalLockError } from "../LockError.ts"
import type { Desk } from "./desk.ts"
import { goOn } from "./goOn.ts"
import * as Lines from "./lines.ts"
import * as Key from "./lockKey.ts"
import { type Beyond as Terms, Spec } from "./options.ts"
import { Asking, type Restore } from "./registry.ts"
import * as Sharing from "./sharing.ts"
import { Demand, type Ticket } from "./ticket.ts"

export type { Terms }

/** The same request with the places that its keys lead to. */
export const locate = (
  { demand, others, settings }: Spec,
  service: ExternalLock,
  { lockPath }: Terms
): Effect.Effect<Spec, ExternalLockError> => {
  if (others.length === 0) {
    const { key, limit, mode, permits } = demand
    return goOn(
      service.place(key, lockPath),
      (place) => Effect.succeed(new Spec(demand, settings, [new Demand(Key.place(place, [key]), mode, limit, permits)]))
    )
  }
  const asked = [demand, ...others]
  return Effect.map(Effect.forEach(asked, ({ key }) => service.place(key, lockPath)), (places) => {
    const byPlace = new Map<string, Array<Demand>>()
    asked.forEach((one, i) => {
      const same = byPlace.get(places[i]!)
      if (same === undefined) byPlace.set(places[i]!, [one])
      else same.push(one)
    })
    const inOrder = Array.from(byPlace).sort(([a], [b]) => a < b ? -1 : 1)
    const demands = inOrder.map(([place, same]) => {
      const { limit, mode, permits } = same.find(({ mode }) => mode === "exclusive") ?? same[0]!
      return new Demand(Key.place(place, same.map(({ key }) => key)), mode, limit, permits)
    })
    return new Spec(demand, settings, [...others, ...demands])
  })
}

/** The members of a request that stand for places, in order. */
export const placesOf = (ticket: Ticket): ReadonlyArray<Ticket> =>
  Lines.membersOf(ticket).filter(({ key }) => key.isPlace)

/** What a request holds outside. */
export const holdsOf = (ticket: Ticket): ReadonlyArray<ExternalHold> => {
  const holds: Array<ExternalHold> = []
  for (const member of placesOf(ticket)) {
    const shared = Sharing.find(member)
    if (shared !== undefined) holds.push(shared.hold)
  }
  return holds
}

/**
 * Ends the part of a request in what is held outside, and then does `after`, whatever comes of that. It must run
 * uninterruptible: who has left does not leave again.
 */
const leave = <A>(ticket: Ticket, after: () => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.suspend(() => {
    let next = after
    for (const member of placesOf(ticket)) {
      const left = Sharing.leave(member)
      if (left === undefined) continue
      const then = next
      // Others may hold it on; this one is to know whether it was lost until now.
      const { hold } = left.shared
      next = () =>
        Effect.matchCauseEffect(left.shared.unchanging(Effect.suspend(() => left.isLast ? hold.release : hold.check)), {
          onFailure: (cause) => Effect.zipRight(then(), Effect.failCause(cause)),
          onSuccess: then
        })
    }
    return next()
  })

/** The desk at which what is granted is held outside too. */
export const desk = (
  desk: Desk,
  service: ExternalLock,
  beyond: Terms
): Desk<ExternalLockError | AcquireLockFailed> => ({
  acquire: ({ refuse, ticket, use }, restore, enclosing) => {
    let granted = false
    const taking = (ticket: Ticket) => {
      granted = true
      const places = placesOf(ticket).filter((member) => Sharing.find(member) === undefined)
      const giveUp = () => leave(ticket, () => desk.release(ticket, undefined))
      const [first, ...others] = places
      return first === undefined
        ? use(ticket)
        : Effect.matchCauseEffect(
          others.length === 0
            ? take(ticket, first, service, beyond, restore)
            : Effect.forEach(places, (place) => take(ticket, place, service, beyond, restore), { discard: true }),
          {
            onFailure: (cause) => Effect.zipRight(giveUp(), Effect.failCause(cause)),
            onSuccess: () => use(ticket)
          }
        )
    }
    const acquired = desk.acquire(new Asking(ticket, taking, refuse), restore, enclosing)
    // What was granted, and joined what is around it, just as its fiber was interrupted.
    return ticket.reentrant
      ? Effect.onError(acquired, () => granted ? Effect.void : leave(ticket, () => Effect.void))
      : acquired
  },
  // Whatever the service does at the end, the lock of the registry is released.
  release: (ticket, value) => leave(ticket, () => desk.release(ticket, value))
})

/** Takes one place. Who fails or is interrupted holds nothing of it. */
const take = (
  ticket: Ticket,
  member: Ticket,
  service: ExternalLock,
  beyond: Terms,
  restore: Restore
): Effect.Effect<void, ExternalLockError | AcquireLockFailed> => {
  const { key, mode } = member
  const { blocking, timeout } = ticket.patience
  const waits = blocking && timeout === undefined && beyond.retry === undefined
  const request: ExternalRequest = { key: key.origins![0]!, place: key.name, mode, waits }
  // It says how long it has waited, which nobody knows before.
  const failed = (reason: AcquireLockFailed["reason"]) =>
    Effect.suspend(() => Effect.fail(fail(ticket, request, reason)))
  const took = (hold: ExternalHold) => {
    Sharing.add(new Sharing.Shared(hold, member))
    return Effect.void
  }
  return Effect.flatMap(service.tryAcquire(request), (hold) => {
    if (Option.isSome(hold)) return took(hold.value)
    if (!blocking) return failed("Busy")
    const wait = (restore: Restore) =>
      beyond.retry === undefined
        ? service.acquire(request, restore)
        : again(service.tryAcquire(request), beyond.retry, restore, failed)
    return Effect.flatMap(waitFor(wait, ticket, restore, failed("Timeout")), took)
  })
}

const fail = (ticket: Ticket, { key }: ExternalRequest, reason: AcquireLockFailed["reason"]): AcquireLockFailed =>
  new AcquireLockFailed({
    key,
    reason,
    waited: Duration.millis(ticket.waited()),
    holders: [],
    outside: true
  })

/** Asks again whenever the schedule says so. */
const again = <E>(
  ask: Effect.Effect<Option.Option<ExternalHold>, ExternalLockError>,
  retry: Schedule.Schedule<unknown, unknown>,
  restore: Restore,
  exhausted: (reason: "RetriesExhausted") => Effect.Effect<never, E>
): Effect.Effect<ExternalHold, ExternalLockError | E> =>
  Effect.flatMap(Schedule.driver(retry), (driver) => {
    const next: Effect.Effect<ExternalHold, ExternalLockError | E> = Effect.matchEffect(
      restore(driver.next(undefined)),
      {
        onFailure: () => exhausted("RetriesExhausted"),
        onSuccess: () => Effect.flatMap(ask, (hold) => Option.isSome(hold) ? Effect.succeed(hold.value) : next)
      }
    )
    return next
  })

/** Waits until it holds or the deadline of the request has come. */
const waitFor = <E, E2>(
  wait: (restore: Restore) => Effect.Effect<ExternalHold, E>,
  ticket: Ticket,
  restore: Restore,
  expired: Effect.Effect<never, E2>
): Effect.Effect<ExternalHold, E | E2> => {
  const { timeout } = ticket.patience
  if (timeout === undefined) return wait(restore)
  // Daemons, for the reason of the registry's timer.
  return Effect.flatMap(Effect.forkDaemon(wait(Effect.interruptible)), (waiter) => {
    let isLate = false
    const remaining = Duration.millis(Math.max(0, Duration.toMillis(timeout) - ticket.waited()))
    const expire = Effect.ensuring(
      Effect.interruptible(Effect.sleep(remaining)),
      Effect.suspend(() => {
        isLate = true
        return Fiber.interruptFork(waiter)
      })
    )
    return Effect.flatMap(
      Effect.forkDaemon(expire),
      (timer) =>
        Effect.flatMap(Effect.exit(restore(Fiber.await(waiter))), (awaited) => {
          timer.unsafeInterruptAsFork(ticket.fiberId)
          if (Exit.isFailure(awaited)) return Effect.zipRight(discard(waiter), Effect.failCause(awaited.cause))
          const result: Effect.Effect<ExternalHold, E | E2> = awaited.value
          return isLate && Exit.isInterrupted(awaited.value) ? expired : result
        })
    )
  })
}

/** Ends a wait that nobody waits for, and gives back what it got all the same. */
const discard = <E>(waiter: Fiber.Fiber<ExternalHold, E>): Effect.Effect<void> =>
  Effect.flatMap(Fiber.interrupt(waiter), (exit) => Exit.isSuccess(exit) ? exit.value.release : Effect.void)

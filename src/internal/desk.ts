/** Where a request is made and ended, and what else is done on the way. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Enclosing from "./enclosing.ts"
import * as Lines from "./lines.ts"
import * as Log from "./lockLog.ts"
import { Asking, type Registry, type Restore } from "./registry.ts"
import type { Ticket } from "./ticket.ts"

/** `E1` is how it may fail to make a request, besides what the request itself makes of a refusal. */
export interface Desk<E1 = never> {
  readonly acquire: <A, E, R>(
    asking: Asking<A, E, R>,
    restore: Restore,
    enclosing?: Enclosing.Enclosing
  ) => Effect.Effect<A, E | E1, R>
  readonly release: <A>(ticket: Ticket, value: A) => Effect.Effect<A>
}

/** Writes a debug line about everything that is done at `desk`. */
export const logged = <E1>(desk: Desk<E1>, by: string | undefined): Desk<E1> => ({
  acquire: (asking, restore, enclosing) => {
    const log = Log.make(asking.ticket, by)
    return Effect.zipRight(
      log.acquiring,
      desk.acquire(
        new Asking(
          asking.ticket,
          (ticket) => Effect.zipRight(log.acquired, asking.use(ticket)),
          (ticket, refused) => Effect.zipRight(log.refused(refused.reason), asking.refuse(ticket, refused))
        ),
        restore,
        enclosing
      )
    )
  },
  release: (ticket, value) => Effect.zipLeft(desk.release(ticket, value), Log.make(ticket, by).released)
})

/** Asks inside the reentrant holds of the fiber, and has it know of the new one until it ends. */
export const reentrant = <E1>(
  desk: Desk<E1>,
  registry: Registry,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Desk<E1> => ({
  acquire: ({ refuse, ticket, use }, restore) =>
    desk.acquire(
      new Asking(ticket, (ticket) => Effect.zipRight(remember(registry, ticket), use(ticket)), refuse),
      restore,
      fiber.getFiberRef(Enclosing.current)
    ),
  release: (ticket, value) => Effect.zipLeft(desk.release(ticket, value), forget)
})

const remember = (registry: Registry, ticket: Ticket): Effect.Effect<void> =>
  FiberRef.update(Enclosing.current, (enclosing) => Enclosing.add(enclosing, registry, Lines.membersOf(ticket)))

// Not `Effect.locally`: a scoped hold that was made inside the body may outlive it.
const forget = FiberRef.update(Enclosing.current, Enclosing.prune)

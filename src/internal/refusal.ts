/** How a request fails, or dies, that is not going to hold. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { AcquireLockFailed, Deadlock } from "../LockError.ts"
import type { Refused } from "./standing.ts"
import type { Ticket } from "./ticket.ts"

export const refuse = (ticket: Ticket, refused: Refused): Effect.Effect<never, AcquireLockFailed> =>
  refused.reason === "Deadlock"
    ? Effect.die(
      new Deadlock({
        key: refused.cycle[0]!.request.key.asked,
        fiberId: ticket.fiberId,
        cycle: refused.cycle.map(({ hold, request }) => ({
          key: request.key.asked,
          request: request.describe(),
          hold: hold.describe()
        }))
      })
    )
    : Effect.fail(
      new AcquireLockFailed({
        key: refused.key.asked,
        reason: refused.reason,
        waited: Duration.millis(ticket.waited()),
        holders: refused.holders.map((holder) => holder.describe()),
        outside: false
      })
    )

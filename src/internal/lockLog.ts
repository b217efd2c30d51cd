/**
 * The debug lines of one request, as oslo writes them: before the wait, so that
 * a program that hangs says where, then after the grant and after the release.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import { membersOf } from "./lines.ts"
import type { Ticket } from "./ticket.ts"

/** Would a debug line of this fiber reach anybody? */
export const isHeard = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.getFiberRef(FiberRef.currentMinimumLogLevel).ordinal <= LogLevel.Debug.ordinal

// A logger that dies must not cost the lock, nor the outcome of the body.
const debug = (line: () => string): Effect.Effect<unknown> => Effect.exit(Effect.suspend(() => Effect.logDebug(line())))

const seconds = (millis: number) => `${(millis / 1000).toFixed(3)}s`

export const make = (ticket: Ticket, by: string | undefined) => {
  const keys = membersOf(ticket).filter(({ key }) => !key.isPlace).map(({ key }) => String(key))
  const what = `${keys.length === 1 ? "lock" : "locks"} ${keys.join(", ")}${by === undefined ? "" : ` by "${by}"`}`
  return {
    acquiring: debug(() => `Acquiring ${what}`),
    acquired: debug(() => `Acquired ${what} :: waited ${seconds(ticket.waited())}`),
    refused: (reason: string) =>
      debug(() => `Did not acquire ${what} :: ${reason}, waited ${seconds(ticket.waited())}`),
    released: debug(() => `Released ${what} :: held ${seconds(ticket.held())}`)
  }
}

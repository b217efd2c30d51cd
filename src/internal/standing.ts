/**
 * The transaction by which a request comes to stand where it belongs: among the
 * holders, in its lines, or out.
 *
 * A request that begins to wait may close a cycle. If orders alone close it,
 * somebody is let pass; if holds do, the request is refused as a deadlock.
 */
import type { Ledger, Table } from "./ledger.ts"
import * as Line from "./line.ts"
import * as Lines from "./lines.ts"
import type { LockKey } from "./lockKey.ts"
import type { Place } from "./place.ts"
import type { Ticket } from "./ticket.ts"
import * as Waits from "./waits.ts"

/** The lock that a request was not granted, and who holds it. */
export interface Obstacle {
  readonly key: LockKey
  readonly holders: ReadonlyArray<Ticket>
}

/** Why a request is not going to hold. */
export type Refused =
  | Obstacle & { readonly reason: "Busy" | "Timeout" | "QueueFull" | "UpgradeConflict" }
  | { readonly reason: "Deadlock"; readonly cycle: ReadonlyArray<Waits.Wait> }

export type Standing = "granted" | "waiting" | Refused

/** Who holds it. An upgraded hold is told as what it was upgraded to. */
export const holdersOf = (line: Line.Line<Ticket>): ReadonlyArray<Ticket> =>
  Array.from(Line.holders(line)).filter((holder) => !holder.isUpgraded)

export const holders = (lines: Table, key: LockKey): ReadonlyArray<Ticket> => {
  const line = Lines.find(lines, key)
  return line === undefined ? [] : holdersOf(line)
}

/** The first lock of a request that is in its way. */
export const obstacle = (lines: Table, ticket: Ticket): Obstacle => {
  const key = Lines.membersOf(ticket).find((member) => {
    const line = Lines.find(lines, member.key)
    return line !== undefined && !Line.admits(line, member)
  })?.key ?? ticket.key
  return { key, holders: holders(lines, key) }
}

export const stand = (ledger: Ledger, lines: Table, ticket: Ticket): readonly [Standing, Table] => {
  // Within the transaction: a number drawn before it could be overtaken on the way to the line.
  const number = ledger.nextNumber()
  ticket.ticket = number
  if (ticket.members !== undefined) { for (const member of ticket.members) member.ticket = number }
  const admission = ledger.transitions.request(lines, ticket)
  if (admission.granted) {
    ledger.granted(ticket)
    return ["granted", admission.lines]
  }
  ledger.fibers.wait(ticket)
  const [standing, next] = stay(ledger, lines, admission.lines, ticket)
  if (standing === "waiting") ledger.events.emit("Waiting", ticket)
  else ledger.fibers.stopWaiting(ticket)
  return [standing, next]
}

/** May a request that is in line stay there? `before` are the lines without it. */
const stay = (ledger: Ledger, before: Table, lines: Table, ticket: Ticket): readonly [Standing, Table] => {
  const { blocking, maxWaiting } = ticket.patience
  const world = { lines, fibers: ledger.fibers }
  const closing = Waits.canCloseCycle(world, ticket)
  const reason = !blocking
    ? "Busy"
    : maxWaiting !== Infinity && isFull(lines, ticket, maxWaiting)
    ? "QueueFull"
    : undefined
  if (reason !== undefined) {
    // It does not wait: it takes what it is let pass to, or nothing.
    const refused: Refused = { reason, ...obstacle(before, ticket) }
    const passing = closing ? Waits.yielding(world, ticket) : undefined
    const step = passing?.request === ticket ? letPass(ledger, lines, passing) : undefined
    if (step !== undefined && step.granted.length > 0) return ["granted", ledger.grant(step)]
    return [refused, before]
  }
  if (!closing) return ["waiting", lines]
  if (!ticket.timed) {
    const cycle = Waits.deadlock(world, ticket)
    if (cycle !== undefined) return [{ reason: "Deadlock", cycle }, before]
  }
  const next = untie(ledger, lines, ticket)
  return [isWaiting(ledger, ticket) ? "waiting" : "granted", next]
}

const isFull = (lines: Table, ticket: Ticket, most: number): boolean =>
  Lines.membersOf(ticket).some((member) => Line.waiting(Lines.find(lines, member.key)!) > most)

const isWaiting = (ledger: Ledger, ticket: Ticket): boolean => ledger.fibers.waitOf(ticket.fiberId.id) === ticket

const letPass = (ledger: Ledger, lines: Table, { before, request }: Waits.Yield): Lines.Step<Ticket> => {
  const place: Place = { priority: request.priority, arrival: ledger.nextNumber(), before }
  return Lines.move(lines, request, () => {
    for (const member of Lines.membersOf(request)) member.place = place
  })
}

/** Lets pass whom a request that has come to wait elsewhere would now wait for in a cycle. */
export const settle = (ledger: Ledger, lines: Table, ticket: Ticket): Table =>
  isWaiting(ledger, ticket) && Waits.canCloseCycle({ lines, fibers: ledger.fibers }, ticket)
    ? untie(ledger, lines, ticket)
    : lines

/** Lets pass whom `ticket`, which has begun to wait, and others because of it, would now wait for in a cycle. */
const untie = (ledger: Ledger, lines: Table, ticket: Ticket): Table => {
  for (const request of Waits.affected({ lines, fibers: ledger.fibers }, ticket)) {
    while (isWaiting(ledger, request)) {
      const next = Waits.yielding({ lines, fibers: ledger.fibers }, request)
      if (next === undefined) break
      lines = ledger.grant(letPass(ledger, lines, next))
    }
  }
  return lines
}

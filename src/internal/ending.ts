/**
 * The transactions by which a request ends, whether it holds or waits.
 *
 * A reentrant hold keeps its permits for as long as a lock nested in it is held,
 * and so do the holds around it that have ended.
 */
import type { Ledger, Table } from "./ledger.ts"
import * as Line from "./line.ts"
import * as Lines from "./lines.ts"
import { settle } from "./standing.ts"
import type { Ticket } from "./ticket.ts"

/** Gives up: leaves the lines, or passes on what was granted meanwhile. */
export const giveUp = (ledger: Ledger, lines: Table, ticket: Ticket): Table => {
  if (ticket.ended) return lines
  if (!Lines.isWaiting(lines, ticket)) {
    // A hold that was made exclusive stays so: others may have relied on it already.
    return ticket.upgrades === undefined ? end(ledger, lines, ticket) : lines
  }
  ticket.ended = true
  if (ticket.upgrades !== undefined) ticket.upgrades.upgrade = undefined
  ledger.fibers.stopWaiting(ticket)
  ledger.events.emit("Abandoned", ticket)
  return ledger.grant(ledger.transitions.leave(lines, ticket))
}

/** Ends a hold, with what belongs to it. */
export const end = (ledger: Ledger, lines: Table, ticket: Ticket): Table => {
  if (ticket.ended) return lines
  if (ticket.members === undefined) lines = cease(ledger, lines, ticket)
  else for (const member of ticket.members) lines = cease(ledger, lines, member)
  if (ticket.reentrant) {
    return Lines.membersOf(ticket).reduce((lines, member) => endReentrant(ledger, lines, member), lines)
  }
  ledger.events.emit("Released", ticket)
  return ledger.grant(ledger.transitions.release(lines, ticket))
}

/** From here on its holder holds no more of it than what is nested in it. */
const cease = (ledger: Ledger, lines: Table, hold: Ticket): Table => {
  // What is nested in it relies on all that it had, until that is given back.
  if (hold.upgrade !== undefined && !(hold.reentrant && hold.isUpgraded)) lines = endUpgrade(ledger, lines, hold)
  hold.ended = true
  ledger.fibers.release(hold)
  return lines
}

/** Ends the request that makes a shared hold exclusive. */
export const endUpgrade = (ledger: Ledger, lines: Table, hold: Ticket): Table => {
  const upgrade = hold.upgrade!
  const waited = Lines.isWaiting(lines, upgrade)
  if (!waited) {
    hold.upgrade = undefined
    return end(ledger, lines, upgrade)
  }
  lines = giveUp(ledger, lines, upgrade)
  upgrade.open("ended")
  return lines
}

/**
 * Requests inside it that still wait go to where the innermost hold around it that
 * has not ended leads, or to the main line. Those that hold keep it, and so do
 * their upgrades.
 */
const endReentrant = (ledger: Ledger, lines: Table, hold: Ticket): Table => {
  const nested = Lines.find(lines, hold.inside)
  const moved = nested === undefined
    ? []
    : Array.from(Line.waiters(nested), Lines.leader).filter(({ upgrades }) => upgrades === undefined)
  let { key } = hold
  while (key.within !== undefined && key.within.ended) key = key.within.key
  for (const request of moved) {
    lines = ledger.grant(Lines.move(lines, request, () => {
      for (const member of Lines.membersOf(request)) {
        if (member.key.within === hold) member.change({ key: key.cameFrom(member.key) })
      }
    }))
  }
  lines = giveBack(ledger, lines, hold)
  return moved.reduce((lines, request) => settle(ledger, lines, request), lines)
}

/** Gives the permits of a hold that has ended back, unless a lock nested in it is held still. */
const giveBack = (ledger: Ledger, lines: Table, hold: Ticket): Table => {
  if (Lines.find(lines, hold.inside) !== undefined) return lines
  if (hold.upgrade !== undefined) lines = endUpgrade(ledger, lines, hold)
  ledger.events.emitOne("Released", hold)
  lines = ledger.grant(Lines.releaseOne(lines, hold))
  const outer = hold.key.within
  return outer !== undefined && outer.ended ? giveBack(ledger, lines, outer) : lines
}

/**
 * Who holds what outside of this process.
 *
 * A hold is shared by the request that took it and by those granted inside that
 * request, which is reentrant then; the last of them to end gives it back. So a
 * nested request joins within the very transaction that grants it: afterwards the
 * one around it might have ended, and given back what both rely on.
 */
import type { ExternalHold } from "../ExternalLock.ts"
import type { Ticket } from "./ticket.ts"

export class Shared {
  readonly hold: ExternalHold
  /** The request that took it. */
  readonly owner: Ticket
  users = 1
  constructor(hold: ExternalHold, owner: Ticket) {
    this.hold = hold
    this.owner = owner
  }
}

/** By the member that stands for a place. */
const holds = new WeakMap<Ticket, Shared>()

export const find = (member: Ticket): Shared | undefined => holds.get(member)

export const add = (shared: Shared): void => {
  holds.set(shared.owner, shared)
}

/** Has `member`, which is granted inside `outer`, hold what that holds. What is being given back it cannot join. */
export const share = (member: Ticket, outer: Ticket): void => {
  const shared = holds.get(outer)
  if (shared === undefined || shared.users === 0) return
  shared.users++
  holds.set(member, shared)
}

/** Ends the part of `member` in it; gives back what nobody holds any more. */
export const leave = (member: Ticket): Shared | undefined => {
  const shared = holds.get(member)
  if (shared === undefined) return undefined
  holds.delete(member)
  return --shared.users === 0 ? shared : undefined
}

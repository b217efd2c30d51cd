/**
 * Who holds what outside of this process.
 *
 * A hold is shared by the request that took it and by those granted inside that
 * request, which is reentrant then; the last of them to leave gives it back. So a
 * nested request joins within the very transaction that grants it: afterwards the
 * others might have left, and given back what it relies on.
 */
import * as Effect from "effect/Effect"
import type { ExternalHold } from "../ExternalLock.ts"
import type { Ticket } from "./ticket.ts"

export class Shared {
  readonly hold: ExternalHold
  /** The request that took it. */
  readonly owner: Ticket
  readonly users: Set<Ticket>
  private semaphore: Effect.Semaphore | undefined = undefined
  constructor(hold: ExternalHold, owner: Ticket) {
    this.hold = hold
    this.owner = owner
    this.users = new Set([owner])
  }
  /** Runs a change of its mode, one at a time. It must run uninterruptible. */
  changing<A, E>(change: Effect.Effect<A, E>): Effect.Effect<A, E> {
    this.semaphore ??= Effect.unsafeMakeSemaphore(1)
    return this.semaphore.withPermits(1)(change)
  }
  /** Runs `end` when no change is going on. Who changes it afterwards sees that it has ended. */
  unchanging<A, E>(end: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return this.semaphore === undefined ? end : this.changing(end)
  }
}

/** By the member that stands for a place. It stays there when that member has left. */
const holds = new WeakMap<Ticket, Shared>()

export const find = (member: Ticket): Shared | undefined => holds.get(member)

export const add = (shared: Shared): void => {
  holds.set(shared.owner, shared)
}

/**
 * Has `member`, which is granted inside `outer`, hold what that does, even if that
 * has left and others are in it still. What is being given back it cannot join.
 */
export const share = (member: Ticket, outer: Ticket): void => {
  const shared = holds.get(outer)
  if (shared === undefined || shared.users.size === 0) return
  shared.users.add(member)
  holds.set(member, shared)
}

/** Ends the part of `member` in it, and tells whether it was the last. Who has left already leaves nothing. */
export const leave = (member: Ticket): { readonly shared: Shared; readonly isLast: boolean } | undefined => {
  const shared = holds.get(member)
  return shared !== undefined && shared.users.delete(member)
    ? { shared, isLast: shared.users.size === 0 }
    : undefined
}

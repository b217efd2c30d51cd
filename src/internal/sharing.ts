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
  /** Made when there is a second one, which is rare. */
  private users: Set<Ticket> | undefined = undefined
  private isLeft = false
  private semaphore: Effect.Semaphore | undefined = undefined
  constructor(hold: ExternalHold, owner: Ticket) {
    this.hold = hold
    this.owner = owner
  }
  /** Does anybody hold it still? If not, it is being given back. */
  get isHeld(): boolean {
    return this.users === undefined ? !this.isLeft : this.users.size > 0
  }
  isHeldBy(member: Ticket): boolean {
    return this.users === undefined ? !this.isLeft && member === this.owner : this.users.has(member)
  }
  join(member: Ticket): void {
    this.users ??= new Set([this.owner])
    this.users.add(member)
  }
  /** Who has left already leaves nothing. */
  leave(member: Ticket): boolean {
    if (!this.isHeldBy(member)) return false
    if (this.users === undefined) this.isLeft = true
    else this.users.delete(member)
    return true
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

/** What `member`, which stands for a place, holds there or held. */
export const find = (member: Ticket): Shared | undefined => member.outside

export const add = (shared: Shared): void => {
  shared.owner.outside = shared
}

/**
 * Has `member`, which is granted inside `outer`, hold what that does, even if that
 * has left and others are in it still. What is being given back it cannot join.
 */
export const share = (member: Ticket, outer: Ticket): void => {
  const shared = outer.outside
  if (shared === undefined || !shared.isHeld) return
  shared.join(member)
  member.outside = shared
}

/** Ends the part of `member` in it, and tells whether it was the last. */
export const leave = (member: Ticket): { readonly shared: Shared; readonly isLast: boolean } | undefined => {
  const shared = member.outside
  return shared !== undefined && shared.leave(member) ? { shared, isLast: !shared.isHeld } : undefined
}

/** What each fiber holds, and what it waits for: the index by which a cycle of waits is found. */
import type { Ticket } from "./ticket.ts"

export class Fibers {
  /** The newest hold of each fiber; the others are linked to it. */
  private readonly newest = new Map<number, Ticket>()
  /** A fiber waits for one request at a time. */
  private readonly waiting = new Map<number, Ticket>()

  hold(ticket: Ticket): void {
    const { id } = ticket.fiberId
    const older = this.newest.get(id)
    if (older !== undefined) {
      ticket.older = older
      older.newer = ticket
    }
    this.newest.set(id, ticket)
  }

  release(ticket: Ticket): void {
    const { newer, older } = ticket
    if (older !== undefined) older.newer = newer
    if (newer !== undefined) newer.older = older
    else if (older !== undefined) this.newest.set(ticket.fiberId.id, older)
    else this.newest.delete(ticket.fiberId.id)
    ticket.newer = ticket.older = undefined
  }

  wait(ticket: Ticket): void {
    this.waiting.set(ticket.fiberId.id, ticket)
  }

  stopWaiting(ticket: Ticket): void {
    this.waiting.delete(ticket.fiberId.id)
  }

  /** The request that a fiber waits for, if it does. */
  waitOf(fiber: number): Ticket | undefined {
    return this.waiting.get(fiber)
  }

  *holdsOf(fiber: number): Iterable<Ticket> {
    for (let hold = this.newest.get(fiber); hold !== undefined; hold = hold.older) yield hold
  }
}

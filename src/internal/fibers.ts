/**
 * What each fiber holds, and what it waits for: the index by which a cycle of
 * waits is found.
 *
 * Holds are kept in lists, one for all fibers whose ids end in the same bits, and
 * linked through the tickets themselves. A `Map` would do, but it is the hottest
 * thing that every acquisition writes to, and a `Map` that comes and goes by one
 * entry is rebuilt every few of them, and its garbage outlives many collections.
 */
import type { Ticket } from "./ticket.ts"

export class Fibers {
  /** As many as a power of two. */
  private lists: Array<Ticket | undefined> = new Array<Ticket | undefined>(16).fill(undefined)
  private holds = 0
  /** A fiber waits for one request at a time. */
  private readonly waiting = new Map<number, Ticket>()

  private listOf(fiber: number): number {
    return fiber & (this.lists.length - 1)
  }

  hold(ticket: Ticket): void {
    if (++this.holds > this.lists.length) this.grow()
    this.link(ticket)
  }

  private link(ticket: Ticket): void {
    const at = this.listOf(ticket.fiberId.id)
    const older = this.lists[at]
    ticket.older = older
    if (older !== undefined) older.newer = ticket
    this.lists[at] = ticket
  }

  private grow(): void {
    const lists = this.lists
    this.lists = new Array<Ticket | undefined>(lists.length * 2).fill(undefined)
    for (const list of lists) {
      for (let next = list; next !== undefined;) {
        const ticket = next
        next = ticket.older
        ticket.newer = undefined
        this.link(ticket)
      }
    }
  }

  release(ticket: Ticket): void {
    const { newer, older } = ticket
    this.holds--
    if (older !== undefined) older.newer = newer
    if (newer === undefined) this.lists[this.listOf(ticket.fiberId.id)] = older
    else newer.older = older
    ticket.newer = ticket.older = undefined
  }

  *holdsOf(fiber: number): Iterable<Ticket> {
    for (let hold = this.lists[this.listOf(fiber)]; hold !== undefined; hold = hold.older) {
      if (hold.fiberId.id === fiber) yield hold
    }
  }

  isHolding(fiber: number): boolean {
    for (const _ of this.holdsOf(fiber)) return true
    return false
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
}

/**
 * What a registry knows besides its lines: the numbers it gave out, what each
 * fiber holds and awaits, and who listens. It is mutable, and changes only
 * within the transaction that changes the lines, which never retries.
 */
import { Events } from "./events.ts"
import { Fibers } from "./fibers.ts"
import * as Lines from "./lines.ts"
import { share } from "./sharing.ts"
import type { Ticket } from "./ticket.ts"

export type Table = Lines.Lines<Ticket>

/** The steps by which requests come and go. */
export interface Transitions {
  readonly request: (lines: Table, ticket: Ticket) => Lines.Admission<Ticket>
  readonly leave: (lines: Table, ticket: Ticket) => Lines.Step<Ticket>
  readonly release: (lines: Table, ticket: Ticket) => Lines.Step<Ticket>
  /** Lets the fiber of a request go on that holds from now on. */
  readonly call: (ticket: Ticket) => void
}

export const transitions: Transitions = {
  request: Lines.request,
  leave: Lines.leave,
  release: Lines.release,
  call: (ticket) => ticket.open("granted")
}

export class Ledger {
  readonly transitions: Transitions
  readonly fibers = new Fibers()
  readonly events = new Events()
  private numbers = 0

  constructor(steps: Transitions) {
    this.transitions = steps
  }

  nextNumber(): number {
    return ++this.numbers
  }

  /** Takes note that a request holds from now on. */
  granted(ticket: Ticket): void {
    if (ticket.members === undefined) this.fibers.hold(ticket)
    else {
      for (const member of ticket.members) {
        this.fibers.hold(member)
        if (member.key.within !== undefined) share(member, member.key.within)
      }
    }
    this.events.emit("Granted", ticket)
  }

  /** The same of those who waited, and calls them; gives the lines back. */
  grant({ granted, lines }: Lines.Step<Ticket>): Table {
    for (const ticket of granted) {
      this.transitions.call(ticket)
      this.fibers.stopWaiting(ticket)
      this.granted(ticket)
    }
    return lines
  }
}

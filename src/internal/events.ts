/** What happens to the requests of a registry, told to whoever listens. */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { membersOf } from "./lines.ts"
import type { LockKey } from "./lockKey.ts"
import type { Ticket } from "./ticket.ts"

export interface Event {
  readonly _tag: "Waiting" | "Granted" | "Released" | "Abandoned"
  readonly key: LockKey
  readonly request: ReturnType<Ticket["describe"]>
  readonly within: ReturnType<Ticket["describe"]> | undefined
}

export class Events {
  private readonly listeners = new Set<Queue.Queue<Event>>()

  /** In the middle of a transaction, so it can neither wait nor fail. */
  emit(tag: Event["_tag"], ticket: Ticket): void {
    if (this.listeners.size === 0) return
    for (const member of membersOf(ticket)) this.emitOne(tag, member)
  }

  /** The same of one member of a request for several locks. */
  emitOne(tag: Event["_tag"], member: Ticket): void {
    // What happens at a place happens to a key.
    if (this.listeners.size === 0 || member.key.isPlace) return
    const { key } = member
    const event: Event = { _tag: tag, key: key.main, request: member.describe(), within: key.within?.describe() }
    for (const listener of this.listeners) listener.unsafeOffer(event)
  }

  readonly stream: Stream.Stream<Event> = Stream.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(
        Effect.tap(Queue.unbounded<Event>(), (queue) => Effect.sync(() => this.listeners.add(queue))),
        (queue) => Effect.zipRight(Effect.sync(() => this.listeners.delete(queue)), Queue.shutdown(queue))
      ),
      (queue) => Stream.fromQueue(queue)
    )
  )
}

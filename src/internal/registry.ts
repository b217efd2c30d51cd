/**
 * The locks of one registry: a table of lines under one `TRef`, and the
 * protocol by which a fiber comes to hold one.
 *
 * Every change is one transaction that finds the line, steps it, removes it
 * when idle and opens the gates of those it granted. It runs in a single
 * synchronous step, touches one `TRef` and never retries, so nothing can come
 * between looking and acting. (To open a gate is to schedule a fiber: this
 * relies on a `Scheduler` that runs its tasks later, as all of Effect's do.)
 *
 * Invariant: a line is in the table exactly while it is held or awaited.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as STM from "effect/STM"
import * as TRef from "effect/TRef"
import * as Line from "./line.ts"
import type { LockKey } from "./lockKey.ts"
import { everything, type Ticket } from "./ticket.ts"

export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export type Table = HashMap.HashMap<LockKey, Line.Line<Ticket>>

/** Why a request is not going to hold. */
export interface Refused {
  readonly reason: "Busy" | "Timeout" | "SelfDeadlock"
  readonly holders: ReadonlyArray<Ticket>
}

type Requested = "granted" | "waiting" | Refused

/** How long a request is ready to wait: not at all, for a time, or for ever. */
export interface Patience {
  readonly blocking: boolean
  readonly timeout: Duration.Duration | undefined
}

type Transition = (line: Line.Line<Ticket>, ticket: Ticket) => Line.Step<Ticket>

/** The transitions of a line, as the registry uses them. */
export interface Transitions {
  readonly request: Transition
  readonly cancel: Transition
  readonly release: Transition
}

export const transitions: Transitions = { request: Line.request, cancel: Line.cancel, release: Line.release }

export const TypeId = "~effect-locks/LockRegistry"

type Description = ReturnType<Ticket["describe"]>

interface Snapshot {
  readonly key: LockKey
  readonly holders: ReadonlyArray<Description>
  readonly waiters: ReadonlyArray<Description>
}

const describe = ([key, line]: [LockKey, Line.Line<Ticket>]): Snapshot => ({
  key,
  holders: Line.holders(line).map((ticket) => ticket.describe()),
  waiters: Line.waiters(line).map((ticket) => ticket.describe())
})

const unheld = Line.make<Ticket>(everything)

const refusal = (line: Line.Line<Ticket>, ticket: Ticket, patience: Patience): Refused | undefined => {
  if (!patience.blocking) return { reason: "Busy", holders: Line.holders(line) }
  const waitsForItself = patience.timeout === undefined &&
    Line.isHeldBy(line, (holder) => holder.owned && holder.fiberId === ticket.fiberId)
  return waitsForItself ? { reason: "SelfDeadlock", holders: Line.holders(line) } : undefined
}

export class Registry {
  readonly [TypeId] = TypeId
  protected readonly table: TRef.TRef<Table>
  protected readonly transitions: Transitions
  private tickets = 0

  constructor(table: TRef.TRef<Table>, steps: Transitions = transitions) {
    this.table = table
    this.transitions = steps
  }

  /** Steps the line of `key`, in one transaction. */
  protected step<A>(
    key: LockKey,
    f: (line: Line.Line<Ticket>) => readonly [A, Line.Line<Ticket>]
  ): Effect.Effect<A> {
    return STM.commit(TRef.modify(this.table, (table) => {
      let result: A
      const next = HashMap.modifyHash(table, key, key.hash, (found) => {
        const stepped = f(Option.isSome(found) ? found.value : unheld)
        result = stepped[0]
        return Line.isIdle(stepped[1]) ? Option.none() : Option.some(stepped[1])
      })
      return [result!, next]
    }))
  }

  protected open(granted: ReadonlyArray<Ticket>): void {
    for (const ticket of granted) ticket.open("granted")
  }

  /** Takes or enqueues, or refuses at once: one transaction. */
  protected request(ticket: Ticket, patience: Patience): Effect.Effect<Requested> {
    return this.step(ticket.key, (line): readonly [Requested, Line.Line<Ticket>] => {
      // Within the transaction: a ticket drawn before it could be overtaken on the way to the line.
      ticket.ticket = ++this.tickets
      const step = this.transitions.request(line, ticket)
      if (step.granted.length > 0) return ["granted", step.line]
      const refused = refusal(line, ticket, patience)
      return refused === undefined ? ["waiting", step.line] : [refused, line]
    })
  }

  /** Leaves the line, or passes on what was granted meanwhile; says who holds the lock. */
  protected cancel(ticket: Ticket): Effect.Effect<ReadonlyArray<Ticket>> {
    return this.step(ticket.key, (line) => {
      const step = this.transitions.cancel(line, ticket)
      this.open(step.granted)
      return [Line.holders(step.line), step.line]
    })
  }

  /** Ends the hold and hands the permits on; `value` is what the hold was good for. */
  release<A>(ticket: Ticket, value: A): Effect.Effect<A> {
    return this.step(ticket.key, (line) => {
      const step = this.transitions.release(line, ticket)
      this.open(step.granted)
      return [value, step.line]
    })
  }

  /**
   * Waits at the gate of a request that is in line. Any way out of the wait
   * but the grant cancels the request.
   */
  protected wait<A, E, R>(
    ticket: Ticket,
    restore: Restore,
    use: (ticket: Ticket) => Effect.Effect<A, E, R>,
    refuse: (ticket: Ticket, refused: Refused) => Effect.Effect<A, E, R>,
    stop: () => void
  ): Effect.Effect<A, E, R> {
    return Effect.matchCauseEffect(restore(ticket.wait()), {
      onFailure: (cause) => {
        stop()
        return Effect.zipRight(this.cancel(ticket), Effect.failCause(cause))
      },
      onSuccess: (opened) => {
        stop()
        return opened === "granted"
          ? use(ticket)
          : Effect.flatMap(this.cancel(ticket), (holders) => refuse(ticket, { reason: "Timeout", holders }))
      }
    })
  }

  /**
   * Asks for the lock, and goes on with `use` as soon as `ticket` holds it, or
   * with `refuse`. Must run uninterruptible, and so does `use`, which has to
   * see to the release: only the wait runs under `restore`.
   */
  acquire<A, E, R>(
    ticket: Ticket,
    patience: Patience,
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    restore: Restore,
    use: (ticket: Ticket) => Effect.Effect<A, E, R>,
    refuse: (ticket: Ticket, refused: Refused) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.flatMap(this.request(ticket, patience), (requested) => {
      if (requested === "granted") return use(ticket)
      if (requested !== "waiting") return refuse(ticket, requested)
      if (patience.timeout === undefined) {
        return this.wait(ticket, restore, use, refuse, () => {})
      }
      // A daemon: an interruption of the waiter goes to its children too, even while the waiter itself is
      // uninterruptible and has to have its deadline. However the timer ends, nobody waits on without one.
      const expire = Effect.ensuring(
        Effect.interruptible(Effect.sleep(patience.timeout)),
        Effect.sync(() => ticket.open("expired"))
      )
      return Effect.flatMap(
        Effect.forkDaemon(expire),
        (timer) => this.wait(ticket, restore, use, refuse, () => timer.unsafeInterruptAsFork(fiber.id()))
      )
    })
  }

  get snapshot(): Effect.Effect<ReadonlyArray<Snapshot>> {
    return STM.commit(STM.map(TRef.get(this.table), (table) => Array.from(table, describe)))
  }
}

export const make: Effect.Effect<Registry> = STM.commit(
  STM.map(TRef.make<Table>(HashMap.empty()), (table) => new Registry(table))
)

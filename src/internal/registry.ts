/**
 * The locks of one registry: its lines, and the protocol by which a fiber comes
 * to hold one.
 *
 * Every change is one transaction that finds the lines, steps them and opens the
 * gates of those it granted. It is a single synchronous operation, so nothing can
 * come between looking and acting, and what it changes besides (tickets, the
 * ledger) changes with it. (To open a gate is to schedule a fiber: this relies on
 * a `Scheduler` that runs its tasks later, as all of Effect's do.)
 *
 * `STM` would give no more: there is one value to change and nothing to retry. It
 * takes as long again as the whole rest of an uncontended acquisition.
 *
 * Only the wait is interruptible, and any way out of it but the grant gives up
 * the request.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FiberId from "effect/FiberId"
import type { Restore } from "../ExternalLock.ts"
import * as Enclosing from "./enclosing.ts"
import * as Ending from "./ending.ts"
import { Ledger, type Table, type Transitions, transitions } from "./ledger.ts"
import * as Line from "./line.ts"
import * as Lines from "./lines.ts"
import * as Key from "./lockKey.ts"
import { holders, holdersOf, obstacle, type Refused, stand, type Standing } from "./standing.ts"
import type { Ticket } from "./ticket.ts"
import * as Upgrading from "./upgrading.ts"

export type { Restore }

export const TypeId = "~effect-locks/LockRegistry"

/**
 * A request, and how its fiber goes on when it holds and when it does not. (A
 * class for the reason of `lines.ts`.)
 */
export class Asking<A, E, R> {
  readonly ticket: Ticket
  /** Must run uninterruptible, as the request does: it has to see to the release. */
  readonly use: (ticket: Ticket) => Effect.Effect<A, E, R>
  readonly refuse: (ticket: Ticket, refused: Refused) => Effect.Effect<A, E, R>
  constructor(
    ticket: Ticket,
    use: (ticket: Ticket) => Effect.Effect<A, E, R>,
    refuse: (ticket: Ticket, refused: Refused) => Effect.Effect<A, E, R>
  ) {
    this.ticket = ticket
    this.use = use
    this.refuse = refuse
  }
}

export class Registry {
  readonly [TypeId] = TypeId
  protected lines: Table = Lines.empty()
  protected readonly ledger: Ledger

  constructor(steps: Transitions = transitions) {
    this.ledger = new Ledger(steps)
  }

  /** One transaction. What `f` throws is a defect, and the lines stay as they were. */
  protected transact<A>(f: (lines: Table) => readonly [A, Table]): Effect.Effect<A> {
    return Effect.sync(() => {
      const [result, lines] = f(this.lines)
      this.lines = lines
      return result
    })
  }

  /** What `f` makes of the lines, at one moment. */
  look<A>(f: (lines: Table) => A): Effect.Effect<A> {
    return Effect.sync(() => f(this.lines))
  }

  /** Takes or enqueues, or refuses at once: one transaction. */
  protected request(ticket: Ticket, enclosing: Enclosing.Enclosing | undefined): Effect.Effect<Standing> {
    return this.transact((lines) =>
      (ticket.reentrant ? this.nest(lines, ticket, enclosing) : undefined) ?? stand(this.ledger, lines, ticket)
    )
  }

  /** Puts a reentrant request inside the holds of its fiber, if it has such and they allow it. */
  private nest(
    lines: Table,
    ticket: Ticket,
    enclosing: Enclosing.Enclosing | undefined
  ): readonly [Standing, Table] | undefined {
    for (const member of Lines.membersOf(ticket)) {
      const outer = Enclosing.find(enclosing, this, member.key)
      if (outer === undefined) continue
      const { key } = outer
      if (member.mode === "exclusive" && !Upgrading.isExclusive(outer)) {
        return [{ reason: "UpgradeConflict", key, holders: holders(lines, key) }, lines]
      }
      member.change({ key: outer.inside.cameFrom(member.key) })
    }
    return undefined
  }

  /** Gives up a request, granted or not. */
  protected cancel(ticket: Ticket): Effect.Effect<void> {
    return this.transact((lines) => [undefined, Ending.giveUp(this.ledger, lines, ticket)])
  }

  /** Ends the hold and hands the permits on; `value` is what the hold was good for. */
  release<A>(ticket: Ticket, value: A): Effect.Effect<A> {
    return this.transact((lines) => [value, Ending.end(this.ledger, lines, ticket)])
  }

  /** Makes holds shared: all of them, or none and it dies. */
  downgrade(...holds: ReadonlyArray<Ticket>): Effect.Effect<void> {
    return this.transact((lines) => {
      for (const hold of holds) Upgrading.checkDowngrade(lines, hold)
      return [undefined, holds.reduce((lines, hold) => Upgrading.downgrade(this.ledger, lines, hold), lines)]
    })
  }

  /** Says what of `holds` is in the way of their downgrade, by dying; then nothing comes in the way any more. */
  prepareDowngrade(holds: ReadonlyArray<Ticket>): Effect.Effect<void> {
    return this.look((lines) => Upgrading.prepareDowngrade(lines, holds))
  }

  /** Makes holds exclusive by requests that do not wait: all of them or none. */
  upgradeAll(upgrades: ReadonlyArray<Ticket>): Effect.Effect<Refused | undefined> {
    return this.transact((lines) => Upgrading.upgradeAll(this.ledger, lines, upgrades))
  }

  undoUpgrade(upgrades: ReadonlyArray<Ticket>): Effect.Effect<void> {
    return this.transact((lines) => [undefined, Upgrading.undo(this.ledger, lines, upgrades)])
  }

  /** Waits at the gate of a request that is in line; `stop` when the wait is over. */
  protected wait<A, E, R>(
    { refuse, ticket, use }: Asking<A, E, R>,
    restore: Restore,
    stop: () => void
  ): Effect.Effect<A, E, R> {
    return Effect.matchCauseEffect(restore(ticket.wait()), {
      onFailure: (cause) => {
        stop()
        return Effect.zipRight(this.cancel(ticket), Effect.failCause(cause))
      },
      onSuccess: (opened) => {
        stop()
        if (opened === "granted") return use(ticket)
        if (opened === "ended") return Effect.die(Upgrading.ended(ticket))
        return Effect.flatMap(
          Effect.zipRight(this.cancel(ticket), this.look((lines) => obstacle(lines, ticket))),
          (obstacle) => refuse(ticket, { reason: "Timeout", ...obstacle })
        )
      }
    })
  }

  /** Asks for the lock, or the locks. Must run uninterruptible: only the wait runs under `restore`. */
  acquire<A, E, R>(
    asking: Asking<A, E, R>,
    restore: Restore,
    enclosing?: Enclosing.Enclosing
  ): Effect.Effect<A, E, R> {
    return this.follow(this.request(asking.ticket, enclosing), asking, restore)
  }

  private follow<A, E, R>(
    requested: Effect.Effect<Standing>,
    asking: Asking<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E, R> {
    const { refuse, ticket, use } = asking
    return Effect.flatMap(requested, (standing) =>
      standing === "granted"
        ? use(ticket)
        : standing !== "waiting"
        ? refuse(ticket, standing)
        : ticket.timed
        ? this.waitUntil(ticket.patience.timeout!, asking, restore)
        : this.wait(asking, restore, () => {}))
  }

  private waitUntil<A, E, R>(
    timeout: Duration.Duration,
    asking: Asking<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E, R> {
    // A daemon: an interruption of the waiter goes to its children too, even while the waiter itself is
    // uninterruptible and has to have its deadline. However the timer ends, nobody waits on without one.
    const expire = Effect.ensuring(
      Effect.interruptible(Effect.sleep(timeout)),
      Effect.sync(() => asking.ticket.open("expired"))
    )
    return Effect.flatMap(
      Effect.forkDaemon(expire),
      (timer) => this.wait(asking, restore, () => timer.unsafeInterruptAsFork(asking.ticket.fiberId))
    )
  }

  /** Makes the shared `hold` exclusive. Must run uninterruptible: only the wait runs under `restore`. */
  upgrade<A, E, R>(hold: Ticket, asking: Asking<A, E, R>, restore: Restore): Effect.Effect<A, E, R> {
    const requested = this.transact((lines) => Upgrading.upgrade(this.ledger, lines, hold, asking.ticket))
    return this.follow(requested, asking, restore)
  }

  /** Did this fiber take what `key` stands for, and is it held still? */
  isHeldBy(fiberId: FiberId.Runtime, key: Key.LockKey): boolean {
    return Array.from(this.ledger.fibers.holdsOf(fiberId.id)).some((hold) => hold.key.isNamedAs(key))
  }

  /** Places are not told: who holds one, or waits for one, does so by a key. */
  get snapshot(): Effect.Effect<ReadonlyArray<ReturnType<typeof describe>>> {
    return this.look((lines) => Array.from(lines).filter(([key]) => !key.isPlace).map(describe))
  }

  get changes() {
    return this.ledger.events.stream
  }

  isLocked(name: string, options?: { readonly prefix?: string | undefined }): Effect.Effect<boolean> {
    return this.look((lines) => holders(lines, Key.parse(options?.prefix, name)).length > 0)
  }
}

const describe = ([key, line]: [Key.LockKey, Line.Line<Ticket>]) => ({
  key: key.main,
  permits: line.limit === Lines.everything ? Infinity : line.limit,
  holders: holdersOf(line).map((holder) => holder.describe()),
  waiters: Array.from(Line.waiters(line), (waiter, i) => ({ ...waiter.describe(), position: i + 1 })),
  within: key.within?.describe()
})

export const make: Effect.Effect<Registry> = Effect.sync(() => new Registry())

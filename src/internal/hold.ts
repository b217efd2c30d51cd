/** What the holder of a lock can do with it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ExternalHold } from "../ExternalLock.ts"
import { AcquireLockFailed, type ExternalLockError, type LockLost } from "../LockError.ts"
import { placesOf } from "./beyond.ts"
import type { LockKey } from "./lockKey.ts"
import { atOnce, forEver, type Patience } from "./patience.ts"
import { refuse } from "./refusal.ts"
import { Asking, type Registry } from "./registry.ts"
import * as Sharing from "./sharing.ts"
import type { Refused } from "./standing.ts"
import { Demand, type Mode, Ticket } from "./ticket.ts"
import { type AnyFiber, uninterruptibly } from "./uninterruptibly.ts"
import * as Upgrading from "./upgrading.ts"

/** A request for all permits but those that the hold has, before everybody else in the line. */
const upgradeOf = (hold: Ticket, patience: Patience, fiber: AnyFiber): Ticket => {
  const { key, limit, owned, permits } = hold
  const demand = new Demand(key, "exclusive", limit, limit - permits)
  const ticket = new Ticket(demand, { priority: Upgrading.urgent, reentrant: false, patience }, owned, fiber)
  ticket.upgrades = hold
  return ticket
}

/** A hold in this process alone. */
export class Hold {
  readonly key: Ticket["key"]
  private readonly ticket: Ticket
  private readonly registry: Registry
  constructor(ticket: Ticket, registry: Registry) {
    this.key = ticket.key.main
    this.ticket = ticket
    this.registry = registry
  }
  get mode(): Mode {
    return this.ticket.isUpgraded ? "exclusive" : this.ticket.mode
  }
  get upgrade(): Effect.Effect<void, AcquireLockFailed> {
    return uninterruptibly((restore, fiber) =>
      this.registry.upgrade(
        this.ticket,
        new Asking<void, AcquireLockFailed, never>(upgradeOf(this.ticket, forEver, fiber), () => Effect.void, refuse),
        restore
      )
    )
  }
  get downgrade(): Effect.Effect<void> {
    return this.registry.downgrade(this.ticket)
  }
  get lost(): Effect.Effect<never> {
    return Effect.never
  }
}

/** What the holder gets of one member of a granted request. */
export const make = (member: Ticket, registry: Registry, request: Ticket, beyond: boolean): Hold | HoldBeyond =>
  beyond ? new HoldBeyond(member, registry, request) : new Hold(member, registry)

/** A hold outside of this process too. It is exclusive in this process before it is so outside, and longer. */
export class HoldBeyond {
  readonly key: LockKey
  private readonly ticket: Ticket
  private readonly place: Ticket
  private readonly registry: Registry
  private readonly beyond: Sharing.Shared
  constructor(ticket: Ticket, registry: Registry, request: Ticket) {
    this.key = ticket.key.main
    this.ticket = ticket
    this.registry = registry
    this.place = placesOf(request).find(({ key }) => key.origins!.some((origin) => origin.isNamedAs(this.key)))!
    this.beyond = Sharing.find(this.place)!
  }
  get mode(): Mode {
    return this.ticket.isUpgraded ? "exclusive" : this.ticket.mode
  }
  get lost(): Effect.Effect<never, LockLost> {
    return this.beyond.hold.lost
  }
  /** What is held inside of another hold has that one's part outside, which is as exclusive. */
  private get own(): ExternalHold | undefined {
    return this.beyond.owner === this.place ? this.beyond.hold : undefined
  }
  get upgrade(): Effect.Effect<void, AcquireLockFailed | ExternalLockError> {
    return uninterruptibly((restore, fiber) => {
      if (this.mode === "exclusive" && !this.ticket.ended) return Effect.void
      const members = [this.ticket, this.place]
      const inside = Effect.forEach(members, (member) =>
        this.registry.upgrade(
          member,
          new Asking<void, AcquireLockFailed, never>(
            upgradeOf(member, atOnce, fiber),
            () => Effect.void,
            refuseUpgrade
          ),
          restore
        ), { discard: true })
      const { own } = this
      const outside = own === undefined ?
        Effect.void :
        Effect.flatMap(own.tryUpgrade, (upgraded) => upgraded ? Effect.void : Effect.fail(conflict(this.ticket)))
      const undo = Effect.forEach(members, (member) => this.registry.downgrade(member), { discard: true })
      return Effect.catchAllCause(
        Effect.zipRight(inside, outside),
        (cause) => Effect.zipRight(Effect.exit(undo), Effect.failCause(cause))
      )
    })
  }
  get downgrade(): Effect.Effect<void, ExternalLockError> {
    // Other keys may rely on the place.
    const isAlone = this.place.key.origins!.length === 1
    return Effect.uninterruptible(Effect.zipRight(
      this.registry.downgrade(this.ticket),
      isAlone ? Effect.zipRight(this.registry.downgrade(this.place), this.own?.downgrade ?? Effect.void) : Effect.void
    ))
  }
}

/** An upgrade that would have to wait. */
const refuseUpgrade = (ticket: Ticket, refused: Refused): Effect.Effect<never, AcquireLockFailed> =>
  refuse(ticket, refused.reason === "Busy" ? { ...refused, reason: "UpgradeConflict" } : refused)

/** Others read it outside of this process. */
const conflict = (hold: Ticket): AcquireLockFailed =>
  new AcquireLockFailed({
    key: hold.key.main,
    reason: "UpgradeConflict",
    waited: Duration.zero,
    holders: [],
    outside: true
  })

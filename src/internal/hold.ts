/** What the holder of a lock can do with it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ExternalHold } from "../ExternalLock.ts"
import { AcquireLockFailed, type ExternalLockError, type LockLost } from "../LockError.ts"
import { placesOf } from "./beyond.ts"
import { membersOf } from "./lines.ts"
import type { LockKey } from "./lockKey.ts"
import { atOnce, forEver, type Patience } from "./patience.ts"
import { refuse } from "./refusal.ts"
import { Asking, type Registry } from "./registry.ts"
import * as Sharing from "./sharing.ts"
import { holders } from "./standing.ts"
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

/**
 * A hold outside of this process too.
 *
 * Invariant: it is exclusive in this process only while it is so outside. So to
 * upgrade begins outside, and to downgrade ends there.
 */
export class HoldBeyond {
  readonly key: LockKey
  private readonly ticket: Ticket
  private readonly place: Ticket
  private readonly registry: Registry
  private readonly beyond: Sharing.Shared
  /** The other locks of the same request that are kept at the same place. */
  private readonly others: ReadonlyArray<Ticket>
  constructor(ticket: Ticket, registry: Registry, request: Ticket) {
    this.key = ticket.key.main
    this.ticket = ticket
    this.registry = registry
    const leadsTo = (place: Ticket, { key }: Ticket) => place.key.origins!.some((origin) => origin.isNamedAs(key))
    this.place = placesOf(request).find((place) => leadsTo(place, ticket))!
    this.beyond = Sharing.find(this.place)!
    this.others = membersOf(request).filter((member) => member !== ticket && leadsTo(this.place, member))
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
    return uninterruptibly((_, fiber) =>
      this.beyond.changing(Effect.suspend(() => {
        if (this.ticket.ended) return Effect.die(Upgrading.ended(this.ticket))
        // Another lock at this place may have it exclusive already.
        const own = Upgrading.isShared(this.place) ? this.own : undefined
        return Effect.flatMap(own === undefined ? Effect.succeed(true) : own.tryUpgrade, (upgraded) =>
          upgraded
            ? Effect.onError(this.upgradeInside(fiber), () => Effect.ignore(own?.downgrade ?? Effect.void))
            : Effect.flatMap(this.readers, (readers) => Effect.fail(conflict(this.key, readers))))
      }))
    )
  }
  private upgradeInside(fiber: AnyFiber): Effect.Effect<void, AcquireLockFailed> {
    const upgrades = [this.ticket, this.place].map((member) => upgradeOf(member, atOnce, fiber))
    return Effect.flatMap(this.registry.upgradeAll(upgrades), (refused) =>
      refused === undefined
        ? Effect.void
        : refuse(upgrades[0]!, refused.reason === "Busy" ? { ...refused, reason: "UpgradeConflict" } : refused))
  }
  /** Who else of this process reads it. */
  private get readers(): Effect.Effect<ReadonlyArray<Ticket>> {
    return this.registry.look((lines) => holders(lines, this.place.key).filter((holder) => holder !== this.place))
  }
  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return Effect.uninterruptible(this.beyond.changing(Effect.suspend(() => {
      // The other locks may rely on the place.
      if (!this.others.every(Upgrading.isShared)) return this.registry.downgrade(this.ticket)
      return Effect.zipRight(this.registry.downgrade(this.ticket, this.place), this.own?.downgrade ?? Effect.void)
    })))
  }
}

/** Others read it, in this process or outside. */
const conflict = (key: LockKey, readers: ReadonlyArray<Ticket>): AcquireLockFailed =>
  new AcquireLockFailed({
    key,
    reason: "UpgradeConflict",
    waited: Duration.zero,
    holders: readers.map((reader) => reader.describe()),
    outside: readers.length === 0
  })

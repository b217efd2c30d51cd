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
  get token(): undefined {
    return undefined
  }
}

/** What the holder gets of one member of a granted request. */
export const make = (member: Ticket, registry: Registry, request: Ticket, beyond: boolean): Hold | HoldBeyond =>
  beyond ? new HoldBeyond(member, registry, request) : new Hold(member, registry)

/**
 * A hold outside of this process too.
 *
 * It is exclusive in this process before it is so outside, and longer, so that no
 * reader of this process meets it there. But it counts as exclusive, for who asks
 * and for what is nested in it, only while it is so in both.
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
    return Upgrading.isExclusive(this.ticket) ? "exclusive" : "shared"
  }
  get lost(): Effect.Effect<never, LockLost> {
    return this.beyond.hold.lost
  }
  get token(): bigint | undefined {
    return this.beyond.hold.token
  }
  /** What is held inside of another hold has that one's part outside, which is as exclusive. */
  private get own(): ExternalHold | undefined {
    return this.beyond.owner === this.place ? this.beyond.hold : undefined
  }
  get upgrade(): Effect.Effect<void, AcquireLockFailed | ExternalLockError> {
    return this.change("upgraded", (fiber) => {
      // Another lock at this place may have it exclusive already.
      const own = Upgrading.isShared(this.place) ? this.own : undefined
      const upgrades = [this.ticket, this.place].map((member) => upgradeOf(member, atOnce, fiber))
      return Effect.flatMap(this.registry.upgradeAll(upgrades), (refused) =>
        refused !== undefined
          ? refuse(upgrades[0]!, refused.reason === "Busy" ? { ...refused, reason: "UpgradeConflict" } : refused)
          : this.upgradeOutside(own, upgrades))
    })
  }
  private upgradeOutside(
    own: ExternalHold | undefined,
    upgrades: ReadonlyArray<Ticket>
  ): Effect.Effect<void, AcquireLockFailed | ExternalLockError> {
    const undo = this.registry.undoUpgrade(upgrades)
    const outside = own === undefined ? Effect.succeed(true) : Effect.suspend(() => own.tryUpgrade)
    return Effect.matchCauseEffect(outside, {
      onFailure: (cause) => Effect.zipRight(undo, Effect.failCause(cause)),
      onSuccess: (upgraded) =>
        upgraded
          ? Effect.sync(() => Upgrading.confirm(upgrades))
          : Effect.zipRight(undo, Effect.fail(conflict(this.key)))
    })
  }
  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return this.change("downgraded", () => {
      // The other locks may rely on the place.
      const holds = this.others.every(Upgrading.isShared) ? [this.ticket, this.place] : [this.ticket]
      const own = holds.includes(this.place) ? this.own : undefined
      const outside = own === undefined ? Effect.void : Effect.suspend(() => own.downgrade)
      // In this process it is shared then all the same: outside it is more than that, which harms nobody.
      const inside = this.registry.downgrade(...holds)
      return Effect.zipRight(this.registry.prepareDowngrade(holds), Effect.ensuring(outside, inside))
    })
  }
  /** One change at a time, and none when it is being let go of: that waits for a change to be over, and then ends it. */
  private change<A, E>(
    what: "upgraded" | "downgraded",
    f: (fiber: AnyFiber) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return uninterruptibly((_, fiber) =>
      this.beyond.changing(Effect.suspend(() =>
        this.ticket.ended || !this.beyond.isHeldBy(this.place)
          ? Effect.die(Upgrading.notHeld(this.ticket, what))
          : f(fiber)
      ))
    )
  }
}

/** Others read it outside of this process. */
const conflict = (key: LockKey): AcquireLockFailed =>
  new AcquireLockFailed({
    key,
    reason: "UpgradeConflict",
    waited: Duration.zero,
    holders: [],
    outside: true
  })

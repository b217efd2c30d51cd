/**
 * A request of one fiber for one lock, and the gate at which that fiber waits.
 * A request for several locks is one ticket for each, and the gate of the first.
 *
 * The gate opens once. It carries no truth: whether a request was granted is
 * known to its line alone, and a fiber that leaves the gate in any other way
 * than by "granted" asks the line.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import type { Request } from "./lines.ts"
import { inside, type LockKey } from "./lockKey.ts"
import type { Patience } from "./patience.ts"
import type { Place } from "./place.ts"
import type { Shared } from "./sharing.ts"

export type Mode = "exclusive" | "shared"

/** Why a gate opened: `ended` when what was to be upgraded is not held any more. */
export type Opened = "granted" | "expired" | "ended"

const outcomes: { readonly [K in Opened]: Effect.Effect<Opened> } = {
  granted: Effect.succeed("granted"),
  expired: Effect.succeed("expired"),
  ended: Effect.succeed("ended")
}

/** What a request asks for. */
export class Demand {
  readonly key: LockKey
  readonly mode: Mode
  /** How many permits the lock has. */
  readonly limit: number
  /** How many of them are asked for. */
  readonly permits: number
  constructor(key: LockKey, mode: Mode, limit: number, permits: number) {
    this.key = key
    this.mode = mode
    this.limit = limit
    this.permits = permits
  }
}

/** On what terms it asks. */
export interface Terms {
  readonly priority: number
  /** May the holding fiber, and those that it forks, lock the key again inside this hold? */
  readonly reentrant: boolean
  readonly patience: Patience
}

export class Ticket implements Request, Place {
  /** Its number in order of arrival; the registry gives it with the place in line. */
  ticket = 0
  private demand: Demand
  private readonly terms: Terms
  /** Does `fiberId` end the hold before it does anything else? A scoped hold may move to another fiber. */
  readonly owned: boolean
  readonly fiberId: FiberId.Runtime
  members: ReadonlyArray<Ticket> | undefined = undefined
  /** By itself it stands where its priority and its arrival put it. */
  place: Place = this
  /** Its holder has ended it. (While holds inside a reentrant one last, its permits are not back.) */
  ended = false
  /** The request to make this shared hold exclusive, waiting or granted. */
  upgrade: Ticket | undefined = undefined
  /** The hold that this request makes exclusive. */
  upgrades: Ticket | undefined = undefined
  /** Of what stands for a place: what is held there. `sharing.ts` keeps it. */
  outside: Shared | undefined = undefined
  /** Its neighbours in a list of holds, which `fibers.ts` keeps. */
  newer: Ticket | undefined = undefined
  older: Ticket | undefined = undefined
  private readonly clock: Clock.Clock
  private readonly requestedAt: number
  /** When it was granted, if it had to wait. */
  private grantedAt: number | undefined = undefined
  private opened: Opened | undefined = undefined
  private resume: ((outcome: Effect.Effect<Opened>) => void) | undefined = undefined
  private nested: LockKey | undefined = undefined

  /** A request by the running fiber, made now. */
  constructor(demand: Demand, terms: Terms, owned: boolean, fiber: Fiber.RuntimeFiber<unknown, unknown>) {
    this.demand = demand
    this.terms = terms
    this.owned = owned
    this.fiberId = fiber.id()
    this.clock = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)
    this.requestedAt = this.clock.unsafeCurrentTimeMillis()
  }

  get key(): LockKey {
    return this.demand.key
  }

  get mode(): Mode {
    return this.demand.mode
  }

  get limit(): number {
    return this.demand.limit
  }

  get permits(): number {
    return this.demand.permits
  }

  get priority(): number {
    return this.terms.priority
  }

  get reentrant(): boolean {
    return this.terms.reentrant
  }

  get patience(): Patience {
    return this.terms.patience
  }

  /** Will it leave by itself, if it waits too long? */
  get timed(): boolean {
    return this.patience.timeout !== undefined
  }

  get arrival(): number {
    return this.ticket
  }

  get before(): undefined {
    return undefined
  }

  /** From now on it asks for something else, or holds it. */
  change({ key = this.key, mode = this.mode, permits = this.permits }: Partial<Demand>): void {
    this.demand = new Demand(key, mode, this.limit, permits)
  }

  /** The key of the lock that is nested in this hold. */
  get inside(): LockKey {
    return this.nested ??= inside(this.key, this)
  }

  /** Has it been made exclusive? */
  get isUpgraded(): boolean {
    return this.upgrade !== undefined && this.upgrade.isGranted
  }

  get isGranted(): boolean {
    return this.opened === "granted"
  }

  /** Milliseconds since it was requested. */
  waited(): number {
    return this.clock.unsafeCurrentTimeMillis() - this.requestedAt
  }

  /** When it was granted; until then, when it was requested: milliseconds since the epoch. */
  private get since(): number {
    return this.grantedAt ?? this.requestedAt
  }

  /** Milliseconds since it was granted. */
  held(): number {
    return this.clock.unsafeCurrentTimeMillis() - this.since
  }

  describe() {
    const { fiberId, mode, permits, ticket } = this
    const { since } = this.members?.[0] ?? this
    return { ticket, mode, permits: mode === "exclusive" ? Infinity : permits, fiberId, since }
  }

  /** Never fails: the fiber that opens is another one, in the middle of its release. */
  open(outcome: Opened): void {
    if (this.opened !== undefined) return
    this.opened = outcome
    if (outcome === "granted") this.grantedAt = this.now()
    const resume = this.resume
    // It holds on to the fiber that waited, which a scoped hold may outlive.
    this.resume = undefined
    if (resume !== undefined) resume(outcomes[outcome])
  }

  private now(): number | undefined {
    try {
      return this.clock.unsafeCurrentTimeMillis()
    } catch {
      return undefined
    }
  }

  /** Waits at the gate. Interruption leaves the gate, not the line. */
  wait(): Effect.Effect<Opened> {
    return Effect.async((resume) => {
      if (this.opened === undefined) this.resume = resume
      else resume(outcomes[this.opened])
    })
  }
}

/** What a layer knows of one place of the server, and what it has there. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { ExternalHold } from "../ExternalLock.ts"
import type { ExternalLockError, LockKey } from "../LockError.ts"
import { LockLost } from "../LockError.ts"
import type { Session, Tenant } from "./postgresSession.ts"
import type { Mode } from "./ticket.ts"

/** What one session has locked at a place: for one hold, or for several that read. */
export class Grip implements Tenant {
  readonly session: Session
  readonly place: Place
  /** How it is locked there: both, when it was shared and is exclusive now. */
  readonly locked: Set<Mode>
  readonly holds = new Set<PostgresHold>()
  /** Holds to be, which keep it from being unlocked. */
  expected = 0
  isChanging = false
  isEnding = false

  constructor(session: Session, place: Place, mode: Mode) {
    this.session = session
    this.place = place
    this.locked = new Set([mode])
    // It may have ended since it was locked there.
    if (session.ended === undefined) {
      session.hold(this)
      place.grips.add(this)
    } else place.change()
  }
  get mode(): Mode {
    return this.locked.has("exclusive") ? "exclusive" : "shared"
  }
  get isJoinable(): boolean {
    return this.mode === "shared" && !this.isChanging && !this.isEnding && this.session.ended === undefined
  }
  get isWanted(): boolean {
    return this.holds.size + this.expected > 0
  }
  lose(explanation: string): void {
    for (const hold of this.holds) hold.sessionEnded(explanation)
    this.leave()
  }
  /** It is not locked any more. */
  leave(): void {
    this.session.tenants.delete(this)
    this.place.grips.delete(this)
    this.place.change()
  }
}

/** How holds end and change, for all of them. */
export interface Ways {
  readonly release: (hold: PostgresHold) => Effect.Effect<void>
  readonly check: (hold: PostgresHold) => Effect.Effect<void>
  readonly tryUpgrade: (hold: PostgresHold) => Effect.Effect<boolean, ExternalLockError>
  readonly downgrade: (hold: PostgresHold) => Effect.Effect<void, ExternalLockError>
}

export class PostgresHold extends ExternalHold {
  override token: bigint
  readonly grip: Grip
  readonly key: LockKey
  private readonly ways: Ways

  constructor(grip: Grip, key: LockKey, token: string, ways: Ways) {
    super()
    this.grip = grip
    this.key = key
    this.token = BigInt(token)
    this.ways = ways
    grip.holds.add(this)
    const { ended } = grip.session
    if (ended !== undefined) this.sessionEnded(ended)
  }
  get release(): Effect.Effect<void> {
    return this.ways.release(this)
  }
  get tryUpgrade(): Effect.Effect<boolean, ExternalLockError> {
    return this.ways.tryUpgrade(this)
  }
  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return this.ways.downgrade(this)
  }
  get check(): Effect.Effect<void> {
    return this.ways.check(this)
  }
  sessionEnded(explanation: string): void {
    this.loseAs(`its session of PostgreSQL ended: ${explanation}`)
  }
  loseAs(explanation: string): void {
    this.lose(new LockLost({ key: this.key, explanation, completed: false }))
  }
}

/** A place that somebody of this layer has, asks for or waits for. */
export class Place {
  readonly number: string
  /** Is the main session being asked for it? */
  isAsked = false
  /** What sessions have of it, or are giving back. */
  readonly grips = new Set<Grip>()
  /** Those who wait for it together. */
  readers: Readers | undefined = undefined
  private listeners: Array<() => void> = []

  private readonly forget: (place: Place) => void

  constructor(number: string, forget: (place: Place) => void) {
    this.number = number
    this.forget = forget
  }
  /** The main session would be granted again what it has. */
  get isUntouched(): boolean {
    return !this.isAsked && this.grips.size === 0
  }
  /** Is something about to be known or to be over? */
  get isChanging(): boolean {
    return this.isAsked || Array.from(this.grips).some((grip) => grip.isEnding || grip.isChanging)
  }
  get joinable(): Grip | undefined {
    return Array.from(this.grips).find((grip) => grip.isJoinable)
  }
  /** Ends when something has changed. */
  readonly changed: Effect.Effect<void> = Effect.async((resume) => {
    this.listeners.push(() => resume(Effect.void))
  })
  change(): void {
    const { listeners } = this
    this.listeners = []
    for (const listener of listeners) listener()
    if (this.isUntouched && this.readers === undefined) this.forget(this)
  }
}

/** Those of a layer who wait to read one place: in one session, as one. */
export interface Readers {
  readonly place: Place
  readonly waiter: Fiber.Fiber<Grip, ExternalLockError>
  count: number
  /** Once it is granted. */
  grip: Grip | undefined
}

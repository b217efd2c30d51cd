/**
 * A request of one fiber, and the gate at which that fiber waits.
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
import type * as Line from "./line.ts"
import type { LockKey } from "./lockKey.ts"

export type Mode = "exclusive" | "shared"

/** All permits of a named lock: no number of readers comes near it, and V8 keeps it unboxed. */
export const everything = 2 ** 30 - 1

/** Why a gate opened. */
export type Opened = "granted" | "expired"

const outcomes: { readonly [K in Opened]: Effect.Effect<Opened> } = {
  granted: Effect.succeed("granted"),
  expired: Effect.succeed("expired")
}

export class Ticket implements Line.Request {
  /** Its number in order of arrival; the registry gives it with the place in line. */
  ticket = 0
  readonly key: LockKey
  readonly mode: Mode
  readonly permits: number
  readonly fiberId: FiberId.Runtime
  /** Does `fiberId` end the hold before it does anything else? A scoped hold may move to another fiber. */
  readonly owned: boolean
  private readonly clock: Clock.Clock
  /** When it was requested: milliseconds since the epoch. */
  private readonly requestedAt: number
  /** When it was granted; until then, when it was requested. */
  private since: number
  private opened: Opened | undefined = undefined
  private resume: ((outcome: Effect.Effect<Opened>) => void) | undefined = undefined

  /** A request by the running fiber, made now. */
  constructor(key: LockKey, mode: Mode, owned: boolean, fiber: Fiber.RuntimeFiber<unknown, unknown>) {
    this.key = key
    this.mode = mode
    this.permits = mode === "exclusive" ? everything : 1
    this.fiberId = fiber.id()
    this.owned = owned
    this.clock = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)
    this.requestedAt = this.since = this.clock.unsafeCurrentTimeMillis()
  }

  /** Milliseconds since it was requested. */
  waited(): number {
    return this.clock.unsafeCurrentTimeMillis() - this.requestedAt
  }

  /** Milliseconds since it was granted. */
  held(): number {
    return this.clock.unsafeCurrentTimeMillis() - this.since
  }

  describe(): { readonly mode: Mode; readonly fiberId: FiberId.Runtime; readonly since: number } {
    return { mode: this.mode, fiberId: this.fiberId, since: this.since }
  }

  /** Never fails: the fiber that opens is another one, in the middle of its release. */
  open(outcome: Opened): void {
    if (this.opened !== undefined) return
    this.opened = outcome
    if (outcome === "granted") this.since = this.now(this.since)
    const resume = this.resume
    // It holds on to the fiber that waited, which a scoped hold may outlive.
    this.resume = undefined
    if (resume !== undefined) resume(outcomes[outcome])
  }

  private now(otherwise: number): number {
    try {
      return this.clock.unsafeCurrentTimeMillis()
    } catch {
      return otherwise
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

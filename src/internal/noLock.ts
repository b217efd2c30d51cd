/** An external lock that excludes nobody: the lock of the registry is all that is held. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ExternalHold, ExternalLock, TypeId } from "../ExternalLock.ts"
import * as FileName from "./fileName.ts"

class NoHold extends ExternalHold {
  readonly release = Effect.void
  readonly tryUpgrade = Effect.succeed(true)
  readonly downgrade = Effect.void
  readonly check = Effect.void
}

const acquire = () => Effect.sync(() => new NoHold())

/** Names that lead to one file are one lock, as they are where it is locked. */
export const make = (separator: string): ExternalLock =>
  ExternalLock.of({
    [TypeId]: TypeId,
    guarantees: {
      reach: "process",
      excludesWhile: { slow: true, paused: true, cutOff: true },
      freedOnDeath: "at once",
      starvationFree: true,
      arrivalOrder: false,
      fencing: false,
      shared: true,
      lossSeenWithin: Duration.zero
    },
    place: (key) => Effect.succeed(FileName.make(key, separator)),
    acquire,
    tryAcquire: () => Effect.map(acquire(), Option.some)
  })

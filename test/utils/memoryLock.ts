/** An external lock in memory, every step of which lets other fibers run before it. */
import { Duration, Effect, Option } from "effect"
import { ExternalLock } from "effect-locks"
import { ExternalHold, type ExternalRequest, TypeId } from "../../src/ExternalLock.js"

type Mode = ExternalRequest["mode"]

class MemoryHold extends ExternalHold {
  mode: Mode
  releases = 0
  private readonly others: Set<MemoryHold>
  private readonly released: () => void
  constructor(mode: Mode, others: Set<MemoryHold>, released: () => void) {
    super()
    this.mode = mode
    this.others = others
    this.released = released
    others.add(this)
  }
  get release(): Effect.Effect<void> {
    return Effect.map(Effect.yieldNow(), () => {
      this.releases++
      this.others.delete(this)
      this.released()
    })
  }
  get tryUpgrade(): Effect.Effect<boolean> {
    return Effect.map(Effect.yieldNow(), () => {
      if (this.others.size > 1) return false
      this.mode = "exclusive"
      return true
    })
  }
  get downgrade(): Effect.Effect<void> {
    return Effect.map(Effect.yieldNow(), () => {
      this.mode = "shared"
    })
  }
  readonly check = Effect.yieldNow()
}

/** `released` is called whenever a hold has ended. */
export const make = (released: () => void = () => {}) => {
  const places = new Map<string, Set<MemoryHold>>()
  const all: Array<MemoryHold> = []
  const at = (place: string) => {
    const holds = places.get(place) ?? new Set<MemoryHold>()
    places.set(place, holds)
    return holds
  }
  const tryAcquire: ExternalLock["tryAcquire"] = ({ mode, place }) =>
    Effect.map(Effect.yieldNow(), () => {
      const holds = at(place)
      if (Array.from(holds).some((hold) => hold.mode === "exclusive" || mode === "exclusive")) return Option.none()
      const hold = new MemoryHold(mode, holds, released)
      all.push(hold)
      return Option.some(hold)
    })
  const acquire: ExternalLock["acquire"] = (request, restore) =>
    Effect.flatMap(tryAcquire(request), (hold) =>
      Option.isSome(hold)
        ? Effect.succeed(hold.value)
        : Effect.zipRight(restore(Effect.sleep(1)), acquire(request, restore)))
  const service = ExternalLock.of({
    [TypeId]: TypeId,
    guarantees: {
      reach: "host",
      excludesWhile: { slow: true, paused: true, cutOff: true },
      freedOnDeath: "at once",
      starvationFree: false,
      arrivalOrder: false,
      fencing: false,
      shared: true,
      lossSeenWithin: Duration.zero
    },
    place: ({ name, prefix }) =>
      Effect.succeed(`${prefix === undefined ? "" : `${prefix}-`}${name}`.replaceAll("/", "_")),
    acquire,
    tryAcquire
  })
  /** How a place is held. */
  const modes = (place: string): ReadonlyArray<Mode> => Array.from(at(place), (hold) => hold.mode)
  return { service, modes, all }
}

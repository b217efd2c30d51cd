/** The places behind locks, which see for themselves whether a lock did its work. */

interface Room {
  readers: number
  writers: number
  /** The room that a lock nested in the present hold leads to. */
  nested: Room | undefined
}

const room = (): Room => ({ readers: 0, writers: 0, nested: undefined })

/** A way into rooms: the room of each lock that a fiber holds reentrantly, innermost first. */
export interface Inside {
  readonly key: string
  readonly hold: Stay
  readonly outer: Inside | undefined
}

export interface Stay {
  mode: "exclusive" | "shared"
  /** Where locks nested in this hold lead to. */
  readonly nested: Room
}

export class Rooms {
  private readonly rooms = new Map<string, Room>()
  private readonly permits = new Map<string, number>()
  readonly wrong: Array<string> = []

  private at(key: string, enclosing: Stay | undefined): Room {
    if (enclosing !== undefined) return enclosing.nested
    const found = this.rooms.get(key) ?? room()
    this.rooms.set(key, found)
    return found
  }

  private count(place: Room, mode: Stay["mode"], by: 1 | -1): void {
    if (mode === "shared") place.readers += by
    else place.writers += by
  }

  private check(key: string, { readers, writers }: Room): void {
    if (writers > 1 || (writers > 0 && readers > 0)) {
      this.wrong.push(`${writers} writers and ${readers} readers of ${key}`)
    }
  }

  /** Enters the room of `key`, or that of the lock which is nested in `enclosing`. */
  enter(key: string, mode: Stay["mode"], enclosing: Stay | undefined): Stay {
    const place = this.at(key, enclosing)
    this.count(place, mode, 1)
    this.check(key, place)
    return { mode, nested: room() }
  }

  leave(key: string, stay: Stay, enclosing: Stay | undefined): void {
    const place = this.at(key, enclosing)
    this.count(place, stay.mode, -1)
  }

  change(key: string, stay: Stay, mode: Stay["mode"], enclosing: Stay | undefined): void {
    this.leave(key, stay, enclosing)
    stay.mode = mode
    const place = this.at(key, enclosing)
    this.count(place, mode, 1)
    this.check(key, place)
  }

  take(key: string, permits: number, most: number): void {
    const taken = (this.permits.get(key) ?? 0) + permits
    this.permits.set(key, taken)
    if (taken > most) this.wrong.push(`${taken} of ${most} permits of ${key} are taken`)
  }
}

/** The innermost hold of `key`. */
export const innermost = (inside: Inside | undefined, key: string): Stay | undefined => {
  for (let at = inside; at !== undefined; at = at.outer) if (at.key === key) return at.hold
  return undefined
}

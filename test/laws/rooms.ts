/** The places behind locks, which see for themselves whether a lock did its work. */

export interface Stay {
  mode: "exclusive" | "shared"
  /** The stay of the reentrant hold in which this one's lock was asked for, of the same key. */
  readonly outer: Stay | undefined
}

/** A way into rooms: the stay of each lock that a fiber holds reentrantly, innermost first. */
export interface Inside {
  readonly key: string
  readonly stay: Stay
  readonly outer: Inside | undefined
}

/** Was the lock of `stay` asked for inside that of `other`, however deep? */
const isWithin = (stay: Stay, other: Stay): boolean => {
  for (let at = stay.outer; at !== undefined; at = at.outer) if (at === other) return true
  return false
}

/**
 * Two may be in the room of a key when both read, or when one of them came in
 * through the other. (Who came in through one that has left meanwhile is as a
 * stranger to all others.)
 */
const mayMeet = (one: Stay, other: Stay): boolean =>
  one.mode === "shared" && other.mode === "shared" || isWithin(one, other) || isWithin(other, one)

export class Rooms {
  private readonly rooms = new Map<string, Set<Stay>>()
  private readonly permits = new Map<string, number>()
  readonly wrong: Array<string> = []

  private at(key: string): Set<Stay> {
    const room = this.rooms.get(key) ?? new Set()
    this.rooms.set(key, room)
    return room
  }

  private check(key: string, stay: Stay): void {
    for (const other of this.at(key)) {
      if (other !== stay && !mayMeet(stay, other)) this.wrong.push(`${stay.mode} beside ${other.mode} in ${key}`)
    }
  }

  enter(key: string, mode: Stay["mode"], outer: Stay | undefined): Stay {
    const stay: Stay = { mode, outer }
    this.at(key).add(stay)
    this.check(key, stay)
    return stay
  }

  isIn(key: string, stay: Stay): boolean {
    return this.at(key).has(stay)
  }

  leave(key: string, stay: Stay): void {
    this.at(key).delete(stay)
  }

  change(key: string, stay: Stay, mode: Stay["mode"]): void {
    stay.mode = mode
    this.check(key, stay)
  }

  take(key: string, permits: number, most: number): void {
    const taken = (this.permits.get(key) ?? 0) + permits
    this.permits.set(key, taken)
    if (taken > most) this.wrong.push(`${taken} of ${most} permits of ${key} are taken`)
  }
}

/** The innermost stay behind `key`. */
export const innermost = (inside: Inside | undefined, key: string): Stay | undefined => {
  for (let at = inside; at !== undefined; at = at.outer) if (at.key === key) return at.stay
  return undefined
}

/**
 * Which places were held elsewhere a moment ago. Who would be told to wait waits at once, and comes to the line of the
 * server by the time of one answer sooner: before those who ask meanwhile.
 */

/** Milliseconds. */
const moment = 250

const mostPlaces = 1000

export class Contention {
  /** Since when, the longest ago first. */
  private readonly seen = new Map<string, number>()
  add(place: string): void {
    this.seen.delete(place)
    this.seen.set(place, performance.now())
    if (this.seen.size > mostPlaces) this.seen.delete(this.seen.keys().next().value!)
  }
  isRecent(place: string): boolean {
    const since = this.seen.get(place)
    if (since === undefined) return false
    if (performance.now() - since < moment) return true
    this.seen.delete(place)
    return false
  }
}

/** Chance that can be had again from its seed. */
export class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed | 0
  }
  /** From 0 to below 1: mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  between(least: number, most: number): number {
    return least + this.next() * (most - least)
  }
  /** Once in `n` times. */
  once(n: number): boolean {
    return this.next() * n < 1
  }
  pick<A>(from: ReadonlyArray<A>): A {
    return from[Math.floor(this.next() * from.length)]!
  }
  shuffle<A>(list: ReadonlyArray<A>): Array<A> {
    const shuffled = [...list]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = Math.floor(this.next() * (i + 1))
      ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
    }
    return shuffled
  }
}

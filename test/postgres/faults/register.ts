/** What the locks of a test protect: it remembers who was there when, and what they wrote. */
import { Effect, Either } from "effect"
import { Fence } from "effect-locks"

/** Somebody's time as a holder. */
export interface Stay {
  readonly who: string
  readonly key: string
  readonly mode: "exclusive" | "shared"
  readonly token: bigint | undefined
  readonly entered: number
  /** When it had left, or knew that it had lost the lock, or was killed. */
  left: number
}

export interface Overlap {
  readonly before: string
  readonly after: string
  readonly milliseconds: number
}

export class Register {
  readonly stays: Array<Stay> = []
  /** Who wrote, where everybody may. */
  readonly unfenced: Array<string> = []
  /** Who wrote, where old tokens are refused, and who was. */
  readonly fenced: Array<string> = []
  readonly refused: Array<string> = []
  private readonly fences = new Map<string, Fence.Fence>()

  enter(who: string, key: string, mode: Stay["mode"], token: bigint | undefined, entered: number): Stay {
    const stay: Stay = { who, key, mode, token, entered, left: Infinity }
    this.stays.push(stay)
    return stay
  }

  write({ key, token, who }: Stay): void {
    this.unfenced.push(who)
    if (token === undefined) return
    const fence = this.fences.get(key) ?? Effect.runSync(Fence.make)
    this.fences.set(key, fence)
    const isAdmitted = Either.isRight(Effect.runSync(Effect.either(fence.admit(token))))
    const writers = isAdmitted ? this.fenced : this.refused
    writers.push(who)
  }

  private get inOrder(): ReadonlyArray<Stay> {
    return [...this.stays].sort((a, b) => a.entered - b.entered)
  }

  /** Those who were there together, although one of them was to be alone. */
  get overlaps(): ReadonlyArray<Overlap> {
    return this.inOrder.flatMap((before, i, all) =>
      all.slice(i + 1).filter((after) =>
        after.key === before.key && after.entered < before.left &&
        (before.mode === "exclusive" || after.mode === "exclusive")
      ).map((after) => ({
        before: before.who,
        after: after.who,
        milliseconds: Math.min(before.left, after.left) - after.entered
      }))
    )
  }

  /** Those who were alone, and got a token that is not larger than that of somebody before. */
  get backwards(): ReadonlyArray<string> {
    const newest = new Map<string, bigint>()
    return this.inOrder.flatMap(({ key, mode, token, who }) => {
      if (token === undefined || mode === "shared") return []
      const before = newest.get(key)
      if (before !== undefined && token <= before) return [`${who} has ${token} after ${before}`]
      newest.set(key, token)
      return []
    })
  }
}

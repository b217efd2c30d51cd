/**
 * What the locks of a storm protect, twice over.
 *
 * One half lets everybody in, and records who was in together. The other has a
 * fence: it refuses whoever comes with a smaller token than it has seen, and must then
 * never see two at once, nor a change that was made by halves.
 *
 * Who is in says so and waits for the answer, before it goes on to write and before it
 * lets go of the lock: so the order here is that of the holds.
 */
export type Mode = "exclusive" | "shared"

/** One lock of a grant. A body that is not told its token has no part in the fenced half. */
export interface Part {
  readonly key: string
  readonly mode: Mode
  readonly token: string | undefined
}

/** `lost`: it was told so. `interrupted`: it was inside just as its fiber was interrupted, and so was told of nothing. */
export type Outcome = "kept" | "lost" | "interrupted" | "killed"

export interface Grant {
  readonly id: string
  readonly parts: ReadonlyArray<Part>
  readonly at: number
  outcome: Outcome | undefined
  isRefused: boolean
  /** What the admitted parts have seen. */
  readonly seen: Map<string, number>
}

export interface Overlap {
  readonly key: string
  /** Who was in, and who came. */
  readonly grants: readonly [Grant, Grant]
}

interface Fenced {
  newestWriter: bigint
  newest: bigint
  /** How often it was written, and by whom it is being written. */
  version: number
  writer: Grant | undefined
  /** The tokens of writers, in the order in which they were admitted. */
  readonly admitted: Array<bigint>
}

export class Register {
  readonly grants = new Map<string, Grant>()
  readonly overlaps: Array<Overlap> = []
  /** What must never be seen, whatever happens to the locks. */
  readonly broken: Array<string> = []
  refusals = 0
  writes = 0
  private readonly inside = new Map<string, Set<Grant>>()
  private readonly fenced = new Map<string, Fenced>()
  private readonly tokens = new Set<string>()

  /** The first half of a change. A grant of a process that was killed has left before it came. */
  enter(id: string, parts: ReadonlyArray<Part>, isDead: boolean): void {
    const grant: Grant = {
      id,
      parts,
      at: performance.now(),
      outcome: isDead ? "killed" : undefined,
      isRefused: false,
      seen: new Map()
    }
    this.grants.set(id, grant)
    for (const part of parts) {
      if (!isDead) this.comeIn(grant, part)
      this.admit(grant, part)
    }
  }

  /** The second half. */
  write(id: string): void {
    const grant = this.grants.get(id)!
    for (const part of grant.parts) this.change(grant, part)
  }

  leave(id: string): void {
    const grant = this.grants.get(id)
    if (grant === undefined) return
    for (const { key } of grant.parts) this.inside.get(key)?.delete(grant)
  }

  ended(id: string, outcome: Outcome): void {
    const grant = this.grants.get(id)
    if (grant !== undefined) grant.outcome ??= outcome
  }

  /** All that are in and belong to a process: it does nothing any more. */
  killed(isOf: (id: string) => boolean): void {
    for (const grant of this.grants.values()) {
      if (grant.outcome !== undefined || !isOf(grant.id)) continue
      grant.outcome = "killed"
      this.leave(grant.id)
    }
  }

  /** Who is in. */
  holders(): ReadonlyArray<string> {
    return Array.from(this.inside).flatMap(([key, grants]) =>
      Array.from(grants, ({ at, id, parts }) => {
        const { mode, token } = parts.find((part) => part.key === key)!
        return `${key}: ${id} (${mode}, token ${token}) for ${Math.round(performance.now() - at)} ms`
      })
    )
  }

  /** The tokens of writers, in order of admission. */
  admitted(): ReadonlyMap<string, ReadonlyArray<bigint>> {
    return new Map(Array.from(this.fenced, ([key, { admitted }]) => [key, admitted]))
  }

  private comeIn(grant: Grant, { key, mode }: Part): void {
    const inside = this.inside.get(key) ?? new Set()
    this.inside.set(key, inside)
    for (const other of inside) {
      const isAlone = mode === "exclusive" || other.parts.some((part) => part.key === key && part.mode === "exclusive")
      if (isAlone) this.overlaps.push({ key, grants: [other, grant] })
    }
    inside.add(grant)
  }

  private at(key: string): Fenced {
    const known = this.fenced.get(key)
    if (known !== undefined) return known
    const made: Fenced = { newestWriter: 0n, newest: 0n, version: 0, writer: undefined, admitted: [] }
    this.fenced.set(key, made)
    return made
  }

  /** Readers do not exclude each other, so neither do their tokens. */
  private isStale({ key, mode }: Part, token: bigint): boolean {
    const fenced = this.at(key)
    return token < (mode === "exclusive" ? fenced.newest : fenced.newestWriter)
  }

  private refuse(grant: Grant): void {
    grant.isRefused = true
    this.refusals++
  }

  private admit(grant: Grant, part: Part): void {
    if (part.token === undefined) return
    const { key, mode } = part
    const token = BigInt(part.token)
    if (this.tokens.has(part.token)) this.broken.push(`token ${token} of ${key} was given twice: ${grant.id}`)
    this.tokens.add(part.token)
    if (this.isStale(part, token)) return this.refuse(grant)
    const fenced = this.at(key)
    grant.seen.set(key, fenced.version)
    if (token > fenced.newest) fenced.newest = token
    if (mode === "shared") return
    fenced.newestWriter = token
    fenced.writer = grant
    fenced.admitted.push(token)
  }

  private change(grant: Grant, part: Part): void {
    const { key, mode } = part
    const seen = grant.seen.get(key)
    if (part.token === undefined || seen === undefined) return
    if (this.isStale(part, BigInt(part.token))) return this.refuse(grant)
    const fenced = this.at(key)
    if (fenced.version !== seen) {
      this.broken.push(`${grant.id} (${mode}, ${part.token}) saw version ${seen} of ${key}, which is ${fenced.version}`)
    }
    if (mode === "shared") return
    if (fenced.writer !== grant) {
      this.broken.push(`${grant.id} writes ${key}, and ${fenced.writer?.id} was admitted since`)
    }
    // Once: what it writes later is the same change again.
    fenced.version++
    grant.seen.delete(key)
    this.writes++
  }
}

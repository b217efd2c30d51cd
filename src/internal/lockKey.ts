/**
 * What identifies a lock: its prefix and its name.
 *
 * The hash is taken once, when the key is made: a name may be a megabyte long,
 * and one acquisition looks its key up twice.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"

// Messages quote the key; nobody reads more of it than this.
const quotedLength = 80

export class LockKey implements Equal.Equal {
  readonly prefix: string | undefined
  readonly name: string
  readonly hash: number
  constructor(prefix: string | undefined, name: string) {
    this.prefix = prefix
    this.name = name
    this.hash = prefix === undefined ? Hash.string(name) : Hash.combine(Hash.string(prefix))(Hash.string(name))
  }
  [Hash.symbol](): number {
    return this.hash
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof LockKey && this.name === that.name && this.prefix === that.prefix
  }
  /** The key in quotes, as messages show it. */
  toString(): string {
    const text = this.prefix === undefined ? this.name : `${this.prefix}-${this.name}`
    return JSON.stringify(text.length > quotedLength ? `${text.slice(0, quotedLength)}…` : text)
  }
}

/**
 * One trailing hyphen of the prefix is dropped, and an empty prefix is none, as in oslo
 * (`_get_lock_path`), where `nova` and `nova-` name the same file.
 */
export const make = (prefix: string | undefined, name: string): LockKey =>
  new LockKey(
    prefix === undefined || prefix === "" ? undefined : prefix.endsWith("-") ? prefix.slice(0, -1) : prefix,
    name
  )

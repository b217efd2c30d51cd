/**
 * What identifies a lock: its prefix and its name, and the reentrant hold in
 * which it is nested, if it is.
 *
 * The hash is taken once, when the key is made: a name may be a megabyte long,
 * and one acquisition looks its key up twice.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import type { Ticket } from "./ticket.ts"

// Messages quote the key; nobody reads more of it than this.
const quotedLength = 80

export class LockKey implements Equal.Equal {
  readonly prefix: string | undefined
  readonly name: string
  readonly within: Ticket | undefined
  readonly hash: number
  constructor(prefix: string | undefined, name: string, within: Ticket | undefined, hash: number) {
    this.prefix = prefix
    this.name = name
    this.within = within
    this.hash = hash
  }
  [Hash.symbol](): number {
    return this.hash
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof LockKey && this.within === that.within && this.isNamedAs(that)
  }
  /** Is it the same lock, or one nested in it? */
  isNamedAs(that: LockKey): boolean {
    return this.name === that.name && this.prefix === that.prefix
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
export const make = (prefix: string | undefined, name: string): LockKey => {
  if (prefix === undefined || prefix === "") return new LockKey(undefined, name, undefined, Hash.string(name))
  const short = prefix.endsWith("-") ? prefix.slice(0, -1) : prefix
  return new LockKey(short, name, undefined, Hash.combine(Hash.string(short))(Hash.string(name)))
}

/** The key of the lock that is nested in a hold of `key`. */
export const inside = (key: LockKey, hold: Ticket): LockKey =>
  new LockKey(key.prefix, key.name, hold, Hash.optimize(key.hash ^ Hash.number(hold.ticket)))

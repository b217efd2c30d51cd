/**
 * What identifies a lock: its prefix and its name, and the reentrant hold in
 * which it is nested, if it is. Or the place outside of this process where an
 * external lock is kept: several keys may lead to one place.
 *
 * The hash is taken once, when the key is made: a name may be a megabyte long,
 * and one acquisition looks its key up twice.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import { misuse, show } from "./misuse.ts"
import type { Ticket } from "./ticket.ts"

// Messages quote the key; nobody reads more of it than this.
const quotedLength = 80

export class LockKey implements Equal.Equal {
  readonly prefix: string | undefined
  readonly name: string
  readonly within: Ticket | undefined
  /** The key without the hold that it is nested in: equal for all locks of one name, as programs see it. */
  readonly main: LockKey
  readonly hash: number
  /** Of a place: the keys that led to it. */
  readonly origins: ReadonlyArray<LockKey> | undefined
  constructor(
    prefix: string | undefined,
    name: string,
    within: Ticket | undefined,
    hash: number,
    origins: ReadonlyArray<LockKey> | undefined = undefined
  ) {
    this.prefix = prefix
    this.name = name
    this.within = within
    this.main = within === undefined ? this : within.key.main
    this.hash = hash
    this.origins = origins
  }
  get isPlace(): boolean {
    return this.origins !== undefined
  }
  /** The same place, as a request came to it that has `that` as its own. */
  cameFrom({ origins }: LockKey): LockKey {
    return this.origins === origins ? this : new LockKey(this.prefix, this.name, this.within, this.hash, origins)
  }
  /** What programs know it as: of a place, the key that led to it. */
  get asked(): LockKey {
    return this.origins?.[0] ?? this.main
  }
  [Hash.symbol](): number {
    return this.hash
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof LockKey && this.within === that.within && this.isNamedAs(that)
  }
  /** Is it the same lock, or one nested in it? */
  isNamedAs(that: LockKey): boolean {
    return this.name === that.name && this.prefix === that.prefix && this.isPlace === that.isPlace
  }
  toJSON() {
    const { name, prefix } = this
    return { prefix, name }
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

/** The place where the external locks of `origins` are kept. */
export const place = (place: string, origins: ReadonlyArray<LockKey>): LockKey =>
  new LockKey(undefined, place, undefined, Hash.combine(Hash.string("place"))(Hash.string(place)), origins)

export const checkName = (name: unknown): string => {
  if (typeof name === "string") return name
  throw misuse(`the name of a lock must be a string, not ${show(name)}`)
}

/** The same of what a program wrote. */
export const parse = (prefix: unknown, name: unknown): LockKey => {
  const text = checkName(name)
  if (prefix === undefined || typeof prefix === "string") return make(prefix, text)
  throw misuse(`lock ${make(undefined, text)}: the prefix must be a string, not ${show(prefix)}`)
}

/** The key of the lock that is nested in a hold of `key`. */
export const inside = (key: LockKey, hold: Ticket): LockKey =>
  new LockKey(key.prefix, key.name, hold, Hash.optimize(key.main.hash ^ Hash.number(hold.ticket)), key.origins)

/**
 * The reentrant holds inside which a fiber runs: its own, and those inside which
 * it was forked. The innermost comes first.
 *
 * A fiber inherits them when it is forked, and gives nothing back when it is
 * joined: who joins a fiber does not come to hold what that fiber holds. The list
 * may name a hold that is over (in a captured runtime, in a layer, in a fiber that
 * outlived the body); only a hold that is not `ended` is good for anything.
 */
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import { globalValue } from "effect/GlobalValue"
import type { LockKey } from "./lockKey.ts"
import type { Ticket } from "./ticket.ts"

export interface Enclosing {
  /** The registry that the hold is in. */
  readonly registry: object
  readonly hold: Ticket
  readonly outer: Enclosing | undefined
}

export const current: FiberRef.FiberRef<Enclosing | undefined> = globalValue(
  "effect-locks/enclosing",
  () => FiberRef.unsafeMake<Enclosing | undefined>(undefined, { fork: identity, join: identity })
)

/** The innermost live hold of `key`. */
export const find = (from: Enclosing | undefined, registry: object, key: LockKey): Ticket | undefined => {
  for (let at = from; at !== undefined; at = at.outer) {
    if (at.registry === registry && !at.hold.ended && at.hold.key.isNamedAs(key)) return at.hold
  }
  return undefined
}

/** With `holds` as the innermost. */
export const add = (
  enclosing: Enclosing | undefined,
  registry: object,
  holds: ReadonlyArray<Ticket>
): Enclosing | undefined => holds.reduce<Enclosing | undefined>((outer, hold) => ({ registry, hold, outer }), enclosing)

/** Without the holds that are over. Mostly that is the innermost, and holds may be many thousands deep. */
export const prune = (from: Enclosing | undefined): Enclosing | undefined => {
  let inner = from
  while (inner !== undefined && inner.hold.ended) inner = inner.outer
  if (inner !== from || inner === undefined) return inner
  const all: Array<Enclosing> = []
  for (let at: Enclosing | undefined = from; at !== undefined; at = at.outer) if (!at.hold.ended) all.push(at)
  return all.reduceRight<Enclosing | undefined>((outer, { hold, registry }) => ({ registry, hold, outer }), undefined)
}

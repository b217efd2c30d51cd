/**
 * Who comes first. All lines of a registry are sorted by one order, so two lines
 * never disagree about it, and requests that wait for several locks at once
 * cannot wait for each other's places in a cycle.
 *
 * The order is priority, then arrival. A request that was let pass stands
 * directly before the one that let it: its place is "before" the other's, at
 * whatever depth. A request for several locks has one and the same place in all
 * lines, so a place is told by its identity.
 */
export interface Place {
  /** The larger goes first. */
  readonly priority: number
  /** Unique in its registry; ascends with time. */
  readonly arrival: number
  /** It stands directly before this place, behind those who came to stand there earlier. */
  readonly before: Place | undefined
}

const depth = (place: Place): number => {
  let steps = 0
  for (let next = place.before; next !== undefined; next = next.before) steps++
  return steps
}

const ascend = (place: Place, steps: number): Place => {
  while (steps-- > 0) place = place.before!
  return place
}

const siblings = (a: Place, b: Place): -1 | 0 | 1 =>
  a.priority !== b.priority
    ? (a.priority > b.priority ? -1 : 1)
    : a.arrival < b.arrival
    ? -1
    : a.arrival > b.arrival
    ? 1
    : 0

export const order = (a: Place, b: Place): -1 | 0 | 1 => {
  if (a.before === b.before) return siblings(a, b)
  const [deepA, deepB] = [depth(a), depth(b)]
  let x = ascend(a, deepA - deepB)
  let y = ascend(b, deepB - deepA)
  // One stands before the other: the deeper is the one that was let pass.
  if (x === y) return deepA > deepB ? -1 : 1
  while (x.before !== y.before) {
    x = x.before!
    y = y.before!
  }
  return siblings(x, y)
}

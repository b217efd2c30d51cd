/**
 * Who waits for whom, decided by reduction: assume that every fiber which does
 * not wait finishes and gives back what it holds, take whoever can then go on to
 * finish too, and repeat. Who is left can never go on.
 *
 * Two questions are asked of a request that has just begun to wait.
 *
 * - *Is it a deadlock?* (`deadlock`) Orders may yield, timed waiters leave, and
 *   scoped holds may be closed by anybody, so only owned holds of untimed
 *   waiters count. Who is left even so waits for itself, and no time helps.
 * - *Which order must yield?* (`yielding`) Nobody passes anybody. When the new
 *   request is left, to honour some order would close a cycle of waits, and
 *   somebody has to pass.
 *
 * Only a request that begins to wait can close a cycle. To let one pass adds none:
 * it goes on, whatever those whom it passes do.
 */
import type { Fibers } from "./fibers.ts"
import * as Line from "./line.ts"
import * as Lines from "./lines.ts"
import { order, type Place } from "./place.ts"
import type { Ticket } from "./ticket.ts"

/** All that is known at one moment; the request in question waits already. */
export interface World {
  readonly lines: Lines.Lines<Ticket>
  readonly fibers: Fibers
}

type Requests = Set<Ticket>

const lineOf = (world: World, member: Ticket): Line.Line<Ticket> => Lines.find(world.lines, member.key)!

/**
 * The holds that must end before the permits of `hold` are back: itself, and those
 * nested in it. An upgrade ends with what it upgraded, whoever asked for it.
 */
function* keepers(world: World, hold: Ticket): Iterable<Ticket> {
  const holds = [hold.upgrades ?? hold]
  for (const one of holds) {
    if (!one.ended) yield one
    const nested = one.reentrant ? Lines.find(world.lines, one.inside) : undefined
    if (nested !== undefined) { for (const inner of Line.holders(nested)) holds.push(inner.upgrades ?? inner) }
  }
}

const waitOf = (world: World, keeper: Ticket): Ticket | undefined => world.fibers.waitOf(keeper.fiberId.id)

/** The requests by which those wait who hold the line. */
function* waitsOfHolders(world: World, line: Line.Line<Ticket>): Iterable<Ticket> {
  for (const hold of Line.holders(line)) {
    for (const keeper of keepers(world, hold)) {
      const waits = waitOf(world, keeper)
      if (waits !== undefined) yield waits
    }
  }
}

const isCertain = (keeper: Ticket): boolean => keeper.owned
const isAny = (): boolean => true

/** The keeper of `hold` that never ends it, if its fiber is among the stuck. */
const stuckKeeper = (world: World, hold: Ticket, stuck: Requests, counts: (keeper: Ticket) => boolean) => {
  for (const keeper of keepers(world, hold)) {
    const waits = waitOf(world, keeper)
    if (waits !== undefined && stuck.has(waits) && counts(keeper)) return keeper
  }
  return undefined
}

/** Are there permits for `member`, once all have finished who are not stuck? */
const fits = (world: World, member: Ticket, stuck: Requests, counts: (keeper: Ticket) => boolean): boolean => {
  const line = lineOf(world, member)
  let available = line.limit
  for (const hold of Line.holders(line)) {
    // An upgrade keeps the hold that it is for.
    if (hold === member.upgrades || stuckKeeper(world, hold, stuck, counts) !== undefined) available -= hold.permits
  }
  return member.permits <= available
}

/** `request`, and the requests by which the holders of what it needs wait, and so on: nearest first. */
const holdChain = (world: World, request: Ticket): Requests => {
  const chain: Requests = new Set([request])
  for (const waiting of chain) {
    for (const member of Lines.membersOf(waiting)) {
      for (const waits of waitsOfHolders(world, lineOf(world, member))) chain.add(waits)
    }
  }
  return chain
}

/**
 * Can it close a cycle? Somebody must wait for its fiber, or have been put behind
 * it. Who has been put behind a request for one lock waited for all before it
 * already, so then it must need more of its holders, one of whom waits. Most
 * requests are told apart by this alone.
 */
export const canCloseCycle = (world: World, request: Ticket): boolean => {
  for (const hold of world.fibers.holdsOf(request.fiberId.id)) {
    for (let at: Ticket | undefined = hold; at !== undefined; at = at.key.within) {
      const line = Lines.find(world.lines, at.key)
      if (line !== undefined && Line.waiting(line) > 0) return true
    }
  }
  if (Lines.membersOf(request).every((member) => Line.isLast(lineOf(world, member), member))) return false
  return request.members !== undefined || isHolderWaiting(world, lineOf(world, request))
}

const isHolderWaiting = (world: World, line: Line.Line<Ticket>): boolean => {
  for (const _ of waitsOfHolders(world, line)) return true
  return false
}

/**
 * Those who may need somebody to pass because `request` has begun to wait: it, and
 * all who counted on the permits that its fiber holds of a semaphore. They had been
 * sure to get theirs from one holder or another. (Who waits for a lock waits for
 * all its holders, and has not counted on one of them.) Whoever holds nothing
 * himself is waited for by nobody.
 */
export const affected = (world: World, request: Ticket): ReadonlyArray<Ticket> => {
  const requests: Requests = new Set([request])
  for (const waiting of requests) {
    for (const hold of world.fibers.holdsOf(waiting.fiberId.id)) {
      const line = hold.limit === Lines.everything ? undefined : Lines.find(world.lines, hold.key)
      if (line === undefined) continue
      for (const waiter of Line.waiters(line)) if (world.fibers.isHolding(waiter.fiberId.id)) requests.add(waiter)
    }
  }
  return Array.from(requests)
}

/** One wait of a deadlock: the request for one lock, and a hold that will never end. */
export interface Wait {
  readonly request: Ticket
  readonly hold: Ticket
}

/** The cycle of holds that `request` closes, if no time can open it. */
export const deadlock = (world: World, request: Ticket): ReadonlyArray<Wait> | undefined => {
  const stuck: Requests = new Set()
  for (const waiting of holdChain(world, request)) if (!waiting.timed) stuck.add(waiting)
  for (let before = -1; before !== stuck.size;) {
    before = stuck.size
    for (const waiting of stuck) {
      if (Lines.membersOf(waiting).every((member) => fits(world, member, stuck, isCertain))) stuck.delete(waiting)
    }
  }
  return stuck.has(request) ? cycle(world, request, stuck) : undefined
}

/** The shortest way from `request` through stuck holds back to its own fiber. */
const cycle = (world: World, request: Ticket, stuck: Requests): ReadonlyArray<Wait> => {
  const ways = new Map<Ticket, ReadonlyArray<Wait>>([[request, []]])
  for (const [waiting, way] of ways) {
    for (const member of Lines.membersOf(waiting)) {
      if (fits(world, member, stuck, isCertain)) continue
      for (const holder of Line.holders(lineOf(world, member))) {
        const hold = stuckKeeper(world, holder, stuck, isCertain)
        if (hold === undefined) continue
        const longer = [...way, { request: member, hold }]
        if (hold.fiberId.id === request.fiberId.id) return longer
        const next = waitOf(world, hold)!
        if (!ways.has(next)) ways.set(next, longer)
      }
    }
  }
  // Every stuck set that `request` is in leads back to it, for it is the one that closed it.
  return []
}

/** The requests that `request` may depend on, if every order is honoured, and the lines in which they stand. */
const surroundings = (world: World, request: Ticket) => {
  const requests: Requests = new Set([request])
  const lines = new Set<Line.Line<Ticket>>()
  for (const waiting of requests) {
    for (const member of Lines.membersOf(waiting)) {
      const line = lineOf(world, member)
      if (lines.has(line)) continue
      lines.add(line)
      for (const waiter of Line.waiters(line)) requests.add(Lines.leader(waiter))
      for (const waits of waitsOfHolders(world, line)) requests.add(waits)
    }
  }
  return { requests, lines }
}

/** Who of the `requests` is left when every order among them is honoured. */
const honoured = (
  world: World,
  requests: Requests,
  lines: ReadonlySet<Line.Line<Ticket>>,
  counts: (keeper: Ticket) => boolean
): Requests => {
  const stuck = new Set(requests)
  // The stuck become fewer and never more, so the first of them in a line only moves backwards.
  const rests = new Map(Array.from(lines, (line) => {
    const rest = Line.waiters(line)[Symbol.iterator]()
    return [line, { rest, first: rest.next() }]
  }))
  const first = (line: Line.Line<Ticket>): Ticket | undefined => {
    const at = rests.get(line)!
    while (at.first.done !== true && !stuck.has(Lines.leader(at.first.value))) at.first = at.rest.next()
    return at.first.done === true ? undefined : at.first.value
  }
  const canGo = (member: Ticket) => {
    const line = lineOf(world, member)
    return first(line) === member && fits(world, member, stuck, counts)
  }
  for (let before = -1; before !== stuck.size;) {
    before = stuck.size
    for (const line of lines) {
      for (let next = first(line); next !== undefined; next = first(line)) {
        if (!Lines.membersOf(next).every(canGo)) break
        stuck.delete(Lines.leader(next))
      }
    }
  }
  return stuck
}

/** Who has to pass, and before whom it is to stand. */
export interface Yield {
  readonly request: Ticket
  readonly before: Place
}

/** The first of the stuck that there are permits for, and the first of the stuck that stands before it. */
const passing = (
  world: World,
  request: Ticket,
  stuck: Requests,
  counts: (keeper: Ticket) => boolean
): Yield | undefined => {
  for (const candidate of holdChain(world, request)) {
    if (!stuck.has(candidate)) continue
    const members = Lines.membersOf(candidate)
    if (!members.every((member) => fits(world, member, stuck, counts))) continue
    let before: Place | undefined
    for (const member of members) {
      for (const waiter of Line.waiters(lineOf(world, member))) {
        if (waiter === member) break
        if (!stuck.has(Lines.leader(waiter))) continue
        if (before === undefined || order(waiter.place, before) < 0) before = waiter.place
        break
      }
    }
    if (before !== undefined) return { request: candidate, before }
  }
  return undefined
}

/**
 * The next yield that `request` needs in order to be served, if it needs one and
 * one helps.
 *
 * A cycle of holds hides those of orders behind it: nobody in it has permits, so
 * nobody can pass. But it opens when a timed waiter leaves or a scoped hold is
 * closed, and no request begins to wait then. So it is asked three times, with
 * ever more faith in the others.
 */
export const yielding = (world: World, request: Ticket): Yield | undefined => {
  const { lines, requests } = surroundings(world, request)
  const untimed = new Set(Array.from(requests).filter((waiting) => !waiting.timed))
  for (const [waiting, counts] of [[requests, isAny], [untimed, isAny], [untimed, isCertain]] as const) {
    const stuck = honoured(world, waiting, lines, counts)
    // Every later question has fewer stuck.
    if (!stuck.has(request)) return undefined
    const found = passing(world, request, stuck, counts)
    if (found !== undefined) return found
  }
  return undefined
}

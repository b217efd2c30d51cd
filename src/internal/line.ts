/**
 * One lock as a pure value: who holds it, and who waits for it in what order.
 *
 * A lock has `limit` permits. An exclusive request takes all of them, a shared
 * one takes one, a counting one as many as it asked for: three kinds of lock,
 * one weighted line.
 *
 * Order is strict: a release hands the permits to the head of the line, and
 * nobody passes a waiting request, not even one that would fit. So a heavy
 * request is never starved by light ones, nor a writer by readers.
 *
 * Invariant (`violation` checks it): the permits held and the free ones add up
 * to `limit`, and the head of a non-empty line does not fit in the free ones.
 * Permits are neither lost nor invented, and nobody waits for what is free.
 */
import * as Number from "effect/Number"
import * as Option from "effect/Option"
import * as RedBlackTree from "effect/RedBlackTree"

/** A wish to hold the lock. `ticket` is unique and ascends in arrival order. */
export interface Request {
  readonly ticket: number
  readonly permits: number
}

type ByTicket<R> = RedBlackTree.RedBlackTree<number, R>

export interface Line<R extends Request> {
  readonly limit: number
  readonly free: number
  readonly holding: ByTicket<R>
  readonly waiting: ByTicket<R>
}

/** The next line, and the requests that hold from now on. */
export interface Step<R extends Request> {
  readonly line: Line<R>
  readonly granted: ReadonlyArray<R>
}

// Spelled out, not spread: a spread costs a tenth of an uncontended acquisition.
const next = <R extends Request>(
  limit: number,
  free: number,
  holding: ByTicket<R>,
  waiting: ByTicket<R>
): Line<R> => ({ limit, free, holding, waiting })

const noRequests: ByTicket<never> = RedBlackTree.empty(Number.Order)

export const make = <R extends Request>(limit: number): Line<R> => next<R>(limit, limit, noRequests, noRequests)

/** Nobody holds it and nobody waits, so it need not exist. */
export const isIdle = <R extends Request>(line: Line<R>): boolean =>
  line.free === line.limit && RedBlackTree.size(line.waiting) === 0

/** Would `request` be granted on arrival? */
export const isFreeFor = <R extends Request>(line: Line<R>, request: Request): boolean =>
  request.permits <= line.free && RedBlackTree.size(line.waiting) === 0

const head = <R extends Request>(line: Line<R>): R | undefined => {
  if (RedBlackTree.size(line.waiting) === 0) return undefined
  const first = RedBlackTree.first(line.waiting)
  return Option.isSome(first) ? first.value[1] : undefined
}

const hold = <R extends Request>(line: Line<R>, request: R): Line<R> =>
  next(
    line.limit,
    line.free - request.permits,
    RedBlackTree.insert(line.holding, request.ticket, request),
    line.waiting
  )

const leave = <R extends Request>(line: Line<R>, request: R): Line<R> =>
  next(line.limit, line.free, line.holding, RedBlackTree.removeFirst(line.waiting, request.ticket))

const nobody: ReadonlyArray<never> = []

/** Grants the head for as long as it fits. */
const settle = <R extends Request>(line: Line<R>): Step<R> => {
  let first = head(line)
  if (first === undefined || first.permits > line.free) return { line, granted: nobody }
  const granted: Array<R> = []
  while (first !== undefined && first.permits <= line.free) {
    line = hold(leave(line, first), first)
    granted.push(first)
    first = head(line)
  }
  return { line, granted }
}

/** Grants `request` if it fits and nobody waits, else puts it at the end of the line. */
export const request = <R extends Request>(line: Line<R>, request: R): Step<R> =>
  isFreeFor(line, request)
    ? { line: hold(line, request), granted: [request] }
    : {
      line: next(
        line.limit,
        line.free,
        line.holding,
        RedBlackTree.insert(line.waiting, request.ticket, request)
      ),
      granted: nobody
    }

/** Ends a hold. A request that holds nothing changes nothing, so to release twice is harmless. */
export const release = <R extends Request>(line: Line<R>, request: R): Step<R> => {
  const holding = RedBlackTree.removeFirst(line.holding, request.ticket)
  return holding === line.holding
    ? { line, granted: nobody }
    : settle(next(line.limit, line.free + request.permits, holding, line.waiting))
}

/** Gives up: leaves the line, or passes on what was granted before giving up was noticed. */
export const cancel = <R extends Request>(line: Line<R>, request: R): Step<R> =>
  RedBlackTree.has(line.waiting, request.ticket) ? settle(leave(line, request)) : release(line, request)

/** Does a holder satisfy `predicate`? */
export const isHeldBy = <R extends Request>(line: Line<R>, predicate: (request: R) => boolean): boolean => {
  let found = false
  RedBlackTree.forEach(line.holding, (_, request) => found ||= predicate(request))
  return found
}

export const holders = <R extends Request>(line: Line<R>): ReadonlyArray<R> =>
  Array.from(RedBlackTree.values(line.holding))

/** In the order in which they will be served. */
export const waiters = <R extends Request>(line: Line<R>): ReadonlyArray<R> =>
  Array.from(RedBlackTree.values(line.waiting))

/** How the line breaks its invariant, if it does. */
export const violation = <R extends Request>(line: Line<R>): string | undefined => {
  const held = holders(line).reduce((sum, request) => sum + request.permits, 0)
  const first = head(line)
  if (line.free < 0) return `${-line.free} more permits are held than there are`
  if (held + line.free !== line.limit) return `${held} held and ${line.free} free are not ${line.limit}`
  if (waiters(line).some((request) => RedBlackTree.has(line.holding, request.ticket))) return "a holder waits"
  if (first !== undefined && first.permits <= line.free) return "the head fits and was not granted"
  return undefined
}

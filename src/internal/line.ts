/**
 * One lock as a pure value: who holds it, and who waits for it in what order.
 *
 * A lock has `limit` permits. An exclusive request takes all of them, a shared
 * one takes one, a counting one as many as it asked for: three kinds of lock,
 * one weighted line.
 *
 * Order is strict: only the head of the line may be granted, not even a request
 * that would fit may pass it. So a heavy request is never starved by light
 * ones, nor a writer by readers.
 *
 * Invariant (`violation` checks it): the permits held and the free ones add up
 * to `limit`, and nobody holds and waits. Permits are neither lost nor invented.
 * (That nobody waits who could hold is the invariant of all lines together.)
 */
import * as Number from "effect/Number"
import * as Option from "effect/Option"
import * as RedBlackTree from "effect/RedBlackTree"
import { order, type Place } from "./place.ts"

/** A wish to hold the lock. What it says may change only while it is in no line. */
export interface Request {
  /** Unique in its line. */
  readonly ticket: number
  readonly permits: number
  readonly place: Place
}

export interface Line<R extends Request> {
  readonly limit: number
  readonly free: number
  readonly holding: RedBlackTree.RedBlackTree<number, R>
  readonly waiting: RedBlackTree.RedBlackTree<Place, R>
}

// Spelled out, not spread: a spread costs a tenth of an uncontended acquisition.
const next = <R extends Request>(
  limit: number,
  free: number,
  holding: RedBlackTree.RedBlackTree<number, R>,
  waiting: RedBlackTree.RedBlackTree<Place, R>
): Line<R> => ({ limit, free, holding, waiting })

const noHolders: RedBlackTree.RedBlackTree<number, never> = RedBlackTree.empty(Number.Order)
const noWaiters: RedBlackTree.RedBlackTree<Place, never> = RedBlackTree.empty(order)

export const make = <R extends Request>(limit: number): Line<R> => next<R>(limit, limit, noHolders, noWaiters)

/** Nobody holds it and nobody waits, so it need not exist. */
export const isIdle = <R extends Request>(line: Line<R>): boolean =>
  line.free === line.limit && RedBlackTree.size(line.waiting) === 0

/** The first in line, whether it fits or not. */
export const head = <R extends Request>(line: Line<R>): R | undefined => {
  if (RedBlackTree.size(line.waiting) === 0) return undefined
  const first = RedBlackTree.first(line.waiting)
  return Option.isSome(first) ? first.value[1] : undefined
}

/** The first in line, if there are permits for it. */
export const fitting = <R extends Request>(line: Line<R>): R | undefined => {
  const first = head(line)
  return first !== undefined && first.permits <= line.free ? first : undefined
}

/** Would `request` be the head of the line, and fit? */
export const admits = <R extends Request>(line: Line<R>, request: Request): boolean => {
  if (request.permits > line.free) return false
  const first = head(line)
  return first === undefined || order(request.place, first.place) < 0
}

export const hold = <R extends Request>(line: Line<R>, request: R): Line<R> =>
  next(
    line.limit,
    line.free - request.permits,
    RedBlackTree.insert(line.holding, request.ticket, request),
    line.waiting
  )

export const enter = <R extends Request>(line: Line<R>, request: R): Line<R> =>
  next(line.limit, line.free, line.holding, RedBlackTree.insert(line.waiting, request.place, request))

export const leave = <R extends Request>(line: Line<R>, request: R): Line<R> =>
  next(line.limit, line.free, line.holding, RedBlackTree.removeFirst(line.waiting, request.place))

/** Ends a hold. A request that holds nothing changes nothing, so to release twice is harmless. */
export const release = <R extends Request>(line: Line<R>, request: R): Line<R> => {
  const holding = RedBlackTree.removeFirst(line.holding, request.ticket)
  return holding === line.holding ? line : next(line.limit, line.free + request.permits, holding, line.waiting)
}

/** Gives back some permits of a hold. */
export const lighten = <R extends Request>(line: Line<R>, permits: number): Line<R> =>
  next(line.limit, line.free + permits, line.holding, line.waiting)

export const holds = <R extends Request>(line: Line<R>, request: R): boolean =>
  RedBlackTree.has(line.holding, request.ticket)

export const awaits = <R extends Request>(line: Line<R>, request: R): boolean =>
  RedBlackTree.has(line.waiting, request.place)

/** How many wait. */
export const waiting = <R extends Request>(line: Line<R>): number => RedBlackTree.size(line.waiting)

export const isLast = <R extends Request>(line: Line<R>, request: Request): boolean => {
  const last = RedBlackTree.last(line.waiting)
  return Option.isNone(last) || order(last.value[0], request.place) <= 0
}

export const holders = <R extends Request>(line: Line<R>): Iterable<R> => RedBlackTree.values(line.holding)

/** In the order in which they will be served. */
export const waiters = <R extends Request>(line: Line<R>): Iterable<R> => RedBlackTree.values(line.waiting)

/** How the line breaks its invariant, if it does. */
export const violation = <R extends Request>(line: Line<R>): string | undefined => {
  const held = Array.from(holders(line)).reduce((sum, request) => sum + request.permits, 0)
  if (line.free < 0) return `${-line.free} more permits are held than there are`
  if (held + line.free !== line.limit) return `${held} held and ${line.free} free are not ${line.limit}`
  if (Array.from(waiters(line)).some((request) => holds(line, request))) return "a holder waits"
  return undefined
}

/**
 * One lock as a pure value: who holds it and who waits for it.
 *
 * A lock has `limit` permits. An exclusive request takes all of them, a shared
 * request one, a counting request as many as it asked for; so the three are one
 * weighted line. Every transition returns the next line and the requests to
 * tell about it: `granted` now hold, `woken` may try again.
 *
 * A fair request is served strictly in arrival order: a release hands the
 * permits to it. Handing over is what keeps order, but a busy lock then pays a
 * change of fibers for every acquisition (a convoy). So while only plain
 * requests wait, a release merely wakes the head, and whoever comes first takes
 * the permits; after the head was passed `maxPasses` times they are handed to
 * it. No request ever passes a waiting fair one.
 *
 * Invariant (`violation` checks it): permits are neither lost nor invented, and
 * a head that fits in the free permits is plain, woken and not yet passed too
 * often; no one waits whom nobody will wake.
 */
import * as Order from "effect/Number"
import * as Option from "effect/Option"
import * as RedBlackTree from "effect/RedBlackTree"

/** A wish to hold the lock. `ticket` is unique and tells arrival order. */
export interface Request {
  readonly ticket: number
  readonly permits: number
  readonly fair: boolean
}

type ByTicket<R> = RedBlackTree.RedBlackTree<number, R>

export interface Line<R extends Request> {
  readonly limit: number
  readonly free: number
  readonly holding: ByTicket<R>
  readonly waiting: ByTicket<R>
  /** How many of the waiting are fair. */
  readonly fair: number
  /** How often the present head was passed. */
  readonly passed: number
  /** The head was told to try again and has not done so yet. */
  readonly woken: boolean
}

export interface Step<R extends Request> {
  readonly line: Line<R>
  readonly granted: ReadonlyArray<R>
  readonly woken: ReadonlyArray<R>
}

/** How often newcomers may pass a plain head before the lock is handed to it. */
export const maxPasses = 16

export const make = <R extends Request>(limit: number): Line<R> => ({
  limit,
  free: limit,
  holding: RedBlackTree.empty(Order.Order),
  waiting: RedBlackTree.empty(Order.Order),
  fair: 0,
  passed: 0,
  woken: false
})

const none: ReadonlyArray<never> = []
const mk = (limit: number, free: number, holding: any, waiting: any, fair: number, passed: number, woken: boolean): any => ({ limit, free, holding, waiting, fair, passed, woken })


const head = <R extends Request>(line: Line<R>): R | undefined => {
  const first = RedBlackTree.first(line.waiting)
  return Option.isSome(first) ? first.value[1] : undefined
}

export const isHolding = <R extends Request>(line: Line<R>, request: R): boolean =>
  RedBlackTree.has(line.holding, request.ticket)

export const isWaiting = <R extends Request>(line: Line<R>, request: R): boolean =>
  RedBlackTree.has(line.waiting, request.ticket)

/** Nobody holds it and nobody waits: the line need not exist. */
export const isIdle = <R extends Request>(line: Line<R>): boolean =>
  line.free === line.limit && RedBlackTree.size(line.waiting) === 0

const hold = <R extends Request>(line: Line<R>, request: R): Line<R> => mk(line.limit, line.free - request.permits, RedBlackTree.insert(line.holding, request.ticket, request), line.waiting, line.fair, line.passed, line.woken)

const leave = <R extends Request>(line: Line<R>, request: R): Line<R> => {
  const wasHead = head(line) === request
  return mk(line.limit, line.free, line.holding, RedBlackTree.removeFirst(line.waiting, request.ticket), request.fair ? line.fair - 1 : line.fair, wasHead ? 0 : line.passed, wasHead ? false : line.woken)
}

/** Serves the head while it fits: grants it when it must not be passed, else wakes it. */
const settle = <R extends Request>(line: Line<R>): Step<R> => {
  let granted: Array<R> | undefined
  let first = head(line)
  while (first !== undefined && first.permits <= line.free) {
    if (line.fair === 0 && line.passed < maxPasses) {
      if (line.woken) break
      return { line: { ...line, woken: true }, granted: granted ?? none, woken: [first] }
    }
    line = hold(leave(line, first), first)
    ;(granted ??= []).push(first)
    first = head(line)
  }
  return { line, granted: granted ?? none, woken: none }
}

/** May `request` be granted on arrival? */
const fits = <R extends Request>(line: Line<R>, request: Request): boolean =>
  request.permits <= line.free && (
    RedBlackTree.size(line.waiting) === 0 ||
    (!request.fair && line.fair === 0 && line.passed < maxPasses)
  )

/** Grants `request` on arrival, or returns `undefined`: it would have to wait. */
export const attempt = <R extends Request>(line: Line<R>, request: R): Line<R> | undefined => {
  if (!fits(line, request)) return undefined
  const next = hold(line, request)
  return RedBlackTree.size(line.waiting) === 0 ? next : { ...next, passed: line.passed + 1 }
}

/** Puts a request that `attempt` did not grant at the end of the line. */
export const enqueue = <R extends Request>(line: Line<R>, request: R): Step<R> =>
  settle(mk(line.limit, line.free, line.holding, RedBlackTree.insert(line.waiting, request.ticket, request), request.fair ? line.fair + 1 : line.fair, line.passed, line.woken))

/** A woken request tries to take what is free now; it keeps its place if that is not enough. */
export const retry = <R extends Request>(line: Line<R>, request: R): Step<R> => {
  if (head(line) !== request) return { line, granted: none, woken: none }
  if (request.permits > line.free) return { line: { ...line, woken: false }, granted: none, woken: none }
  const { granted, line: next, woken } = settle(hold(leave(line, request), request))
  return { line: next, granted: [request, ...granted], woken }
}

/** Ends a hold. A request that holds nothing has nothing to release. */
export const release = <R extends Request>(line: Line<R>, request: R): Step<R> =>
  isHolding(line, request)
    ? settle(mk(line.limit, line.free + request.permits, RedBlackTree.removeFirst(line.holding, request.ticket), line.waiting, line.fair, line.passed, line.woken))
    : { line, granted: none, woken: none }

/** Gives up: leaves the line, or passes on what was granted meanwhile. */
export const cancel = <R extends Request>(line: Line<R>, request: R): Step<R> =>
  isWaiting(line, request) ? settle(leave(line, request)) : release(line, request)

/** What is wrong with the line, if anything is. */
export const violation = <R extends Request>(line: Line<R>): string | undefined => {
  const holding = Array.from(RedBlackTree.values(line.holding))
  const waiting = Array.from(RedBlackTree.values(line.waiting))
  const held = holding.reduce((sum, request) => sum + request.permits, 0)
  const first = waiting[0]
  if (line.free < 0) return `${-line.free} more permits held than there are`
  if (held + line.free !== line.limit) return `${held} held and ${line.free} free of ${line.limit}`
  if (line.fair !== waiting.filter((request) => request.fair).length) return `${line.fair} fair requests counted`
  if (first === undefined) return line.passed > 0 || line.woken ? "passed or woke nobody" : undefined
  if (waiting.some((request) => RedBlackTree.has(line.holding, request.ticket))) return "a holder waits"
  if (first.permits > line.free) return undefined
  if (line.fair > 0 || line.passed >= maxPasses) return "the head fits and was not granted"
  return line.woken ? undefined : "the head fits and nobody woke it"
}

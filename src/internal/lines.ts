/**
 * All the lines of a registry as one pure value, and the transitions of a
 * request, which may stand in one line or in several at once.
 *
 * A request for several locks has one member for each, all of one ticket. It
 * waits in every line and holds in none, until it can hold in all.
 *
 * Invariant (`violation` checks it): no request waits that could hold, which is
 * one that is at the head of each of its lines and fits in each. And a line is
 * in the table exactly while it is held or awaited.
 */
import { identity } from "effect/Function"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Line from "./line.ts"
import type { LockKey } from "./lockKey.ts"
import { misuse } from "./misuse.ts"

/** A wish to hold one lock, or one member of a wish to hold several. */
export interface Request extends Line.Request {
  readonly key: LockKey
  /** How many permits the lock has; it must be the same for all who use it. */
  readonly limit: number
  /** The members of a request for several locks; the first of them stands for all. */
  readonly members: ReadonlyArray<Request> | undefined
}

export type Lines<R extends Request> = HashMap.HashMap<LockKey, Line.Line<R>>

const nobody: ReadonlyArray<never> = []

// Classes, not literals: V8 may come to allocate a literal as if it lived long, and so may its garbage then.

/** The next lines, and the requests that hold from now on. */
export class Step<R extends Request> {
  readonly lines: Lines<R>
  readonly granted: ReadonlyArray<R>
  constructor(lines: Lines<R>, granted: ReadonlyArray<R>) {
    this.lines = lines
    this.granted = granted
  }
}

/** The next lines, and whether a new request holds from now on or waits. */
export class Admission<R extends Request> {
  readonly lines: Lines<R>
  readonly granted: boolean
  constructor(lines: Lines<R>, granted: boolean) {
    this.lines = lines
    this.granted = granted
  }
}

export const empty = <R extends Request>(): Lines<R> => HashMap.empty()

// The members of a request are of its own kind.
const others = <R extends Request>(request: R): ReadonlyArray<R> | undefined =>
  request.members as ReadonlyArray<R> | undefined

export const membersOf = <R extends Request>(request: R): ReadonlyArray<R> => others(request) ?? [request]

/** The one member that stands for a request. */
export const leader = <R extends Request>(request: R): R => others(request)?.[0] ?? request

export const find = <R extends Request>(lines: Lines<R>, key: LockKey): Line.Line<R> | undefined => {
  const found = HashMap.getHash(lines, key, key.hash)
  return Option.isSome(found) ? found.value : undefined
}

/** All permits of a lock: no number of readers comes near it, and V8 keeps it unboxed. */
export const everything = 2 ** 30 - 1

const lineOf = <R extends Request>(lines: Lines<R>, request: R): Line.Line<R> =>
  find(lines, request.key) ?? Line.make(request.limit)

const kindOf = (limit: number): string => limit === everything ? "a lock" : `a semaphore of ${limit} permits`

/** A line is of one kind for as long as it is in use. */
const check = <R extends Request>(line: Line.Line<R>, request: R): Line.Line<R> => {
  if (line.limit === request.limit) return line
  throw misuse(
    `${request.key} is in use as ${kindOf(line.limit)} and was asked for as ${kindOf(request.limit)}; ` +
      `every use of a name must give the same number of permits`
  )
}

const put = <R extends Request>(lines: Lines<R>, key: LockKey, line: Line.Line<R>): Lines<R> =>
  HashMap.modifyHash(lines, key, key.hash, () => Line.isIdle(line) ? Option.none() : Option.some(line))

const update = <R extends Request>(
  lines: Lines<R>,
  members: ReadonlyArray<R>,
  f: (line: Line.Line<R>, member: R) => Line.Line<R>
): Lines<R> => {
  for (const member of members) lines = put(lines, member.key, f(lineOf(lines, member), member))
  return lines
}

const grant = <R extends Request>(line: Line.Line<R>, request: R): Line.Line<R> =>
  Line.hold(Line.leave(line, request), request)

const isHead = <R extends Request>(lines: Lines<R>, member: R): boolean => {
  const line = find(lines, member.key)
  return line !== undefined && Line.fitting(line) === member
}

/** Steps the line of `key`, and grants whoever can hold then. */
const step = <R extends Request>(
  lines: Lines<R>,
  request: R,
  f: (line: Line.Line<R>, request: R) => Line.Line<R>
): Step<R> => {
  const { key, limit } = request
  let granted: Array<R> | undefined
  let head: R | undefined
  const next = HashMap.modifyHash(lines, key, key.hash, (found) => {
    let line = f(Option.isSome(found) ? found.value : Line.make(limit), request)
    // Grants the head for as long as it fits and waits for this lock alone.
    for (head = Line.fitting(line); head !== undefined && head.members === undefined; head = Line.fitting(line)) {
      line = grant(line, head)
      if (granted === undefined) granted = [head]
      else granted.push(head)
    }
    return Line.isIdle(line) ? Option.none() : Option.some(line)
  })
  return head === undefined ? new Step(next, granted ?? nobody) : settleAll(next, head, granted ?? [])
}

/** Grants a request for several locks, which is the head of one of its lines, if it is that of all. */
const settleAll = <R extends Request>(lines: Lines<R>, head: R, granted: Array<R>): Step<R> => {
  const members = membersOf(head)
  if (!members.every((member) => isHead(lines, member))) return new Step(lines, granted)
  granted.push(members[0]!)
  // In each of them somebody behind may fit now, such as one more reader.
  return stepAll(update(lines, members, grant), members, identity, granted)
}

const stepAll = <R extends Request>(
  lines: Lines<R>,
  requests: ReadonlyArray<R>,
  f: (line: Line.Line<R>, request: R) => Line.Line<R>,
  granted: Array<R>
): Step<R> => {
  for (const request of requests) {
    const next = step(lines, request, f)
    lines = next.lines
    granted.push(...next.granted)
  }
  return new Step(lines, granted)
}

const stepEach = <R extends Request>(
  lines: Lines<R>,
  request: R,
  f: (line: Line.Line<R>, member: R) => Line.Line<R>
): Step<R> => {
  const members = others(request)
  return members === undefined ? step(lines, request, f) : stepAll(update(lines, members, f), members, identity, [])
}

/** Holds at once if nobody stands before it and it fits, in every line; else waits in all of them. */
export const request = <R extends Request>(lines: Lines<R>, request: R): Admission<R> => {
  const members = others(request)
  if (members !== undefined) return requestAll(lines, members)
  const { key } = request
  let granted = false
  const next = HashMap.modifyHash(lines, key, key.hash, (found) => {
    const line = check(Option.isSome(found) ? found.value : Line.make<R>(request.limit), request)
    granted = Line.admits(line, request)
    return Option.some(granted ? Line.hold(line, request) : Line.enter(line, request))
  })
  return new Admission(next, granted)
}

const requestAll = <R extends Request>(lines: Lines<R>, members: ReadonlyArray<R>): Admission<R> => {
  // Every line is looked at, for one may be of another kind.
  const barred = members.filter((member) => !Line.admits(check(lineOf(lines, member), member), member))
  const granted = barred.length === 0
  return new Admission(update(lines, members, granted ? Line.hold : Line.enter), granted)
}

export const isWaiting = <R extends Request>(lines: Lines<R>, request: R): boolean => {
  const line = find(lines, request.key)
  return line !== undefined && Line.awaits(line, request)
}

/** Ends a hold: of the one lock, or of all members at once. */
export const release = <R extends Request>(lines: Lines<R>, request: R): Step<R> =>
  stepEach(lines, request, Line.release)

/** Ends the hold of one member alone. */
export const releaseOne = <R extends Request>(lines: Lines<R>, member: R): Step<R> => step(lines, member, Line.release)

/** Gives up waiting, in every line. Who does not wait leaves nothing. */
export const leave = <R extends Request>(lines: Lines<R>, request: R): Step<R> => stepEach(lines, request, Line.leave)

/** Gives back some permits of a hold. */
export const lighten = <R extends Request>(lines: Lines<R>, member: R, permits: number): Step<R> =>
  step(lines, member, (line) => Line.lighten(line, permits))

/** Takes a waiting request to where `change` says that it belongs now. */
export const move = <R extends Request>(lines: Lines<R>, request: R, change: () => void): Step<R> => {
  const members = membersOf(request)
  lines = update(lines, members, Line.leave)
  change()
  return stepEach(lines, request, Line.enter)
}

/** How the lines break the invariant, if they do. */
export const violation = <R extends Request>(lines: Lines<R>): string | undefined => {
  for (const [key, line] of lines) {
    const broken = Line.violation(line)
    if (broken !== undefined) return `${key}: ${broken}`
    if (Line.isIdle(line)) return `${key}: an idle line is kept`
    const first = Line.fitting(line)
    if (first !== undefined && membersOf(first).every((member) => isHead(lines, member))) {
      return `${key}: the head could hold and was not granted`
    }
    for (const waiter of Line.waiters(line)) {
      const missing = membersOf(waiter).find((member) => !isWaiting(lines, member))
      if (missing !== undefined) return `${missing.key}: a request waits in other lines, and not in this one`
    }
  }
  return undefined
}

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

/** The next lines, and the requests that hold from now on. */
export interface Step<R extends Request> {
  readonly lines: Lines<R>
  readonly granted: ReadonlyArray<R>
}

const nobody: ReadonlyArray<never> = []

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

/** Grants the head for as long as it fits and waits for this lock alone. */
const settleOne = <R extends Request>(line: Line.Line<R>, granted: Array<R>): Line.Line<R> => {
  for (let head = Line.fitting(line); head !== undefined; head = Line.fitting(line)) {
    if (head.members !== undefined) break
    line = grant(line, head)
    granted.push(head)
  }
  return line
}

/** Steps the line of `key`, and grants whoever can hold then. */
const step = <R extends Request>(
  lines: Lines<R>,
  request: R,
  f: (line: Line.Line<R>, request: R) => Line.Line<R>
): Step<R> => {
  const { key, limit } = request
  const granted: Array<R> = []
  let head: R | undefined
  lines = HashMap.modifyHash(lines, key, key.hash, (found) => {
    const line = settleOne(f(Option.isSome(found) ? found.value : Line.make(limit), request), granted)
    head = Line.fitting(line)
    return Line.isIdle(line) ? Option.none() : Option.some(line)
  })
  if (head === undefined) return { lines, granted }
  // It waits for several locks, and this is one of them.
  const members = others(head)!
  if (!members.every((member) => isHead(lines, member))) return { lines, granted }
  granted.push(members[0]!)
  lines = update(lines, members, grant)
  // In each of them somebody behind may fit now, such as one more reader.
  return stepAll(lines, members, identity, granted)
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
  return { lines, granted }
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
export const request = <R extends Request>(lines: Lines<R>, request: R): Step<R> => {
  const members = others(request)
  if (members === undefined) {
    const { key } = request
    let granted: ReadonlyArray<R> = nobody
    lines = HashMap.modifyHash(lines, key, key.hash, (found) => {
      const line = check(Option.isSome(found) ? found.value : Line.make<R>(request.limit), request)
      if (!Line.admits(line, request)) return Option.some(Line.enter(line, request))
      granted = [request]
      return Option.some(Line.hold(line, request))
    })
    return { lines, granted }
  }
  // Every line is looked at, for one may be of another kind.
  return members.filter((member) => !Line.admits(check(lineOf(lines, member), member), member)).length === 0
    ? { lines: update(lines, members, Line.hold), granted: [members[0]!] }
    : { lines: update(lines, members, Line.enter), granted: nobody }
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
    for (const holder of Line.holders(line)) {
      const missing = membersOf(holder).find((member) => isWaiting(lines, member))
      if (missing !== undefined) return `${missing.key}: a request holds a part of what it waits for`
    }
  }
  return undefined
}

/** From what a program wrote to what the registry is asked: checked, with every default filled in. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { everything } from "./lines.ts"
import * as Key from "./lockKey.ts"
import { misuse, show } from "./misuse.ts"
import { forEver } from "./patience.ts"
import * as internal from "./registry.ts"
import { Demand, type Mode, type Terms } from "./ticket.ts"

/** Options as they come from JavaScript: of any type. */
export type Given = { readonly [option: string]: unknown } | undefined

/** What else there is to a request. */
export interface Settings extends Terms {
  readonly registry: internal.Registry | undefined
  readonly log: boolean
  /** Something when the lock is external. */
  readonly beyond: Beyond | undefined
}

/** How to hold a lock beyond this process. */
export interface Beyond {
  readonly lockPath: string | undefined
  readonly retry: Schedule.Schedule<unknown, unknown> | undefined
}

/** What is asked for, and how. */
export class Spec {
  readonly demand: Demand
  readonly settings: Settings
  /** What is asked for at the same time: other keys. */
  readonly others: ReadonlyArray<Demand>
  constructor(demand: Demand, settings: Settings, others: ReadonlyArray<Demand> = []) {
    this.demand = demand
    this.settings = settings
    this.others = others
  }
}

/** The lock, or the locks, that a message is about. It is asked for its text only when there is one to write. */
interface About {
  readonly toString: () => string
}

/** A timeout as a duration; an infinite one is none. */
const deadline = (about: About, timeout: unknown): Duration.Duration | undefined => {
  if (timeout === undefined) return undefined
  const duration = Duration.decodeUnknown(timeout)
  if (Option.isNone(duration) || Number.isNaN(timeout)) {
    throw misuse(
      `lock ${about}: the timeout ${show(timeout)} is not a duration; give milliseconds or a text such as "2 seconds"`
    )
  }
  return Duration.isFinite(duration.value) ? duration.value : undefined
}

const implementation = (about: About, registry: unknown): internal.Registry | undefined => {
  if (registry === undefined || registry instanceof internal.Registry) return registry
  throw misuse(
    `lock ${about}: the registry must come from LockRegistry.make or the LockRegistry service, not ${show(registry)}`
  )
}

const priorityOf = (about: About, priority: unknown): number => {
  if (priority === undefined) return 0
  if (typeof priority === "number" && Number.isFinite(priority)) return priority
  throw misuse(`lock ${about}: the priority must be a finite number, not ${show(priority)}`)
}

const mostWaiting = (about: About, maxWaiting: unknown): number => {
  if (maxWaiting === undefined) return Infinity
  if (typeof maxWaiting === "number" && maxWaiting >= 0) return maxWaiting
  throw misuse(`lock ${about}: maxWaiting must be a number of requests, 0 or more, not ${show(maxWaiting)}`)
}

const checkOptions = (about: About, options: unknown): NonNullable<Given> => {
  if (options === undefined || options === null) return none
  if (typeof options === "object") return options as NonNullable<Given>
  throw misuse(`lock ${about}: the options must be an object, not ${show(options)}`)
}

const none: NonNullable<Given> = {}

const modeOf = (about: About, mode: unknown): Mode => {
  if (mode === undefined) return "exclusive"
  if (mode === "exclusive" || mode === "shared") return mode
  throw misuse(`lock ${about}: the mode must be "exclusive" or "shared", not ${show(mode)}`)
}

const beyondOf = (about: About, { lockPath, retry }: NonNullable<Given>): Beyond => {
  if (lockPath !== undefined && typeof lockPath !== "string") {
    throw misuse(`lock ${about}: the lockPath must be a string, not ${show(lockPath)}`)
  }
  if (retry !== undefined && !Schedule.isSchedule(retry)) {
    throw misuse(`lock ${about}: retry must be a Schedule, not ${show(retry)}`)
  }
  return { lockPath, retry: retry as Beyond["retry"] }
}

const settingsOf = (about: About, given: NonNullable<Given>): Settings => ({
  priority: priorityOf(about, given.priority),
  reentrant: given.reentrant === true,
  patience: {
    blocking: given.blocking !== false,
    timeout: deadline(about, given.timeout),
    maxWaiting: mostWaiting(about, given.maxWaiting)
  },
  registry: implementation(about, given.registry),
  log: given.log !== false,
  beyond: given.external === true ? beyondOf(about, given) : undefined
})

/** What no options ask for, which is the most frequent case. */
const plain: Settings = {
  priority: 0,
  reentrant: false,
  patience: forEver,
  registry: undefined,
  log: true,
  beyond: undefined
}

const demand = (key: Key.LockKey, mode: Mode): Demand =>
  new Demand(key, mode, everything, mode === "exclusive" ? everything : 1)

/** The name in quotes, before there is a key. */
const quoted = (name: string): About => ({ toString: () => String(Key.make(undefined, name)) })

export const forLock = (name: unknown, options: unknown): Spec => {
  const text = Key.checkName(name)
  if (options === undefined) return new Spec(demand(Key.make(undefined, text), "exclusive"), plain)
  const given = checkOptions(quoted(text), options)
  const key = Key.parse(given.prefix, text)
  return new Spec(demand(key, modeOf(key, given.mode)), settingsOf(key, given))
}

const permitsOf = (about: About, permits: unknown): number => {
  if (typeof permits === "number" && Number.isInteger(permits) && permits > 0 && permits < everything) return permits
  throw misuse(
    `semaphore ${about}: the permits must be a whole number from 1 to ${everything - 1}, not ${show(permits)}`
  )
}

export const forSemaphore = (name: unknown, options: unknown): Spec => {
  const text = Key.checkName(name)
  const given = checkOptions(quoted(text), options)
  const key = Key.parse(given.prefix, text)
  const limit = permitsOf(key, given.permits)
  if (given.external === true) {
    throw misuse(`semaphore ${key}: a semaphore cannot be external; only locks can, exclusive or shared`)
  }
  const { take = 1 } = given
  if (typeof take !== "number" || !Number.isInteger(take) || take < 1) {
    throw misuse(`semaphore ${key}: take must be a whole number of permits, 1 or more, not ${show(take)}`)
  }
  if (take > limit) {
    throw misuse(`semaphore ${key}: ${take} permits can never be taken of ${limit}; take fewer, or give it more`)
  }
  return new Spec(new Demand(key, "shared", limit, take), settingsOf(key, { ...given, reentrant: false }))
}

/**
 * Each key once, in the strongest mode that was asked for, and where each name of
 * `names` is among them; nothing when there are no names.
 */
export const forAll = (
  names: unknown,
  options: unknown
): { readonly spec: Spec; readonly at: ReadonlyArray<number> } | undefined => {
  if (!Array.isArray(names)) throw misuse(`lockAll takes an array of names, not ${show(names)}`)
  const demands: Array<Demand> = []
  const about: About = { toString: () => demands.map(({ key }) => key).join(", ") }
  const given = checkOptions(about, options)
  // They share one prefix, so the name alone tells them apart.
  const places = new Map<string, number>()
  const at = names.map((one: unknown) => {
    const { mode, name } = typeof one === "object" && one !== null
      ? one as { readonly name?: unknown; readonly mode?: unknown }
      : { name: one, mode: undefined }
    const text = Key.checkName(name)
    const key = Key.parse(given.prefix, text)
    const wanted = demand(key, modeOf(key, mode ?? given.mode))
    const found = places.get(text)
    if (found === undefined) {
      places.set(text, demands.length)
      return demands.push(wanted) - 1
    }
    if (wanted.mode === "exclusive") demands[found] = wanted
    return found
  })
  const settings = settingsOf(about, given)
  const [first, ...others] = demands
  return first === undefined ? undefined : { spec: new Spec(first, settings, others), at }
}

// Misuse dies when the effect runs, where the fiber's trace tells who ran it.
export const resolved = <S, A, E, R>(
  resolve: () => S,
  f: (spec: S) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  let spec: S
  try {
    spec = resolve()
  } catch (defect) {
    return Effect.die(defect)
  }
  return f(spec)
}

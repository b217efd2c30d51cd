/** Several locks at once: philosophers, and names that overlap. */
import AsyncLock from "async-lock"
import { Effect, type Scope, TSemaphore } from "effect"
import { lock, lockAll, type LockRegistry, withLock, withLockAll } from "effect-locks"
import * as Contestants from "./contestants.js"
import type { Contest, Contestant } from "./harness.js"

type Held = <A>(body: Effect.Effect<A, unknown, LockRegistry>, at: number) => Effect.Effect<A, unknown, LockRegistry>

const count = (n: number) => Array.from({ length: n }, (_, i) => i)

/** Locks in a ring: fiber `i` takes some neighbours, from its own place on. */
const ring = (size: number, taken: number) => {
  const names = count(size).map((at) => `ring ${at}`)
  const semaphores = names.map(() => Effect.unsafeMakeSemaphore(1))
  const tSemaphores = names.map(() => TSemaphore.unsafeMake(1))
  const asyncLock = new AsyncLock({ maxPending: Number.POSITIVE_INFINITY })
  const places = names.map((_, place) => count(taken).map((j) => (place + j) % size))
  const neighbours = places.map((place) => place.map((at) => names[at]!))
  // Those who take one lock after the other need an order that all keep, or they wait for each other for ever.
  const sorted = places.map((place) => place.slice().sort((a, b) => a - b))
  const sortedNames = sorted.map((place) => place.map((at) => names[at]!))
  const nested = (one: Held): Contestants.Guard => (body, i) =>
    sorted[i % size]!.reduceRight<Effect.Effect<any, unknown, LockRegistry>>(one, body)
  const guards: Readonly<Record<string, Contestants.Guard>> = {
    "withLockAll": (body, i) => withLockAll(body, neighbours[i % size]!),
    "nested withLock": nested((body, at) => withLock(body, names[at]!)),
    "nested Effect.Semaphore": nested((body, at) => semaphores[at]!.withPermits(1)(body)),
    "nested TSemaphore": nested((body, at) => TSemaphore.withPermit(body, tSemaphores[at]!))
  }
  // It takes its keys one after the other, too.
  const asyncGuard: Contestants.AsyncGuard = (body, i) => asyncLock.acquire(sortedNames[i % size]!, body)
  return { guards, asyncGuard }
}

/** Each takes the forks to its left and right for so many meals, which yield. */
export const philosophers = (seats: number, meals: number): Contest => {
  const { asyncGuard, guards } = ring(seats, 2)
  return {
    section: `${seats} dining philosophers`,
    reference: "nested withLock",
    contestants: {
      ...Contestants.mapValues(guards, (guard) => Contestants.loops(seats, guard, Effect.yieldNow())),
      "async-lock": Contestants.asyncLoops(seats, asyncGuard, Contestants.tick)
    },
    size: seats * meals,
    budget: 1500,
    cutOff: 4000
  }
}

/** Each fiber once, with 5 of 20 names. */
export const overlapping = (fibers: number): Contest => {
  const { asyncGuard, guards } = ring(20, 5)
  return {
    section: `${fibers} fibers, 5 of 20 locks at once`,
    reference: "nested withLock",
    contestants: {
      ...Contestants.mapValues(guards, Contestants.fibers),
      "async-lock": Contestants.promises(asyncGuard)
    },
    size: fibers,
    rounds: Math.max(1, 2000 / fibers),
    budget: 1500,
    cutOff: 4000
  }
}

export const uncontended = (k: number): Contest => {
  const names = count(k).map((i) => `name ${i}`)
  return {
    section: `withLockAll of ${k} names, uncontended`,
    reference: `${k} nested withLock`,
    contestants: Contestants.mapValues({
      "withLockAll": (body) => withLockAll(body, names),
      [`${k} nested withLock`]: (body) =>
        names.reduceRight<Effect.Effect<any, never, LockRegistry>>((body, name) => withLock(body, name), body)
    }, Contestants.alone),
    size: 1000,
    budget: 1500
  }
}

export const scoped = (k: number): Contest => {
  const names = count(k).map((i) => `name ${i}`)
  const oneByOne = () => names.map((name) => lock(name)).reduce((before, next) => Effect.zipRight(before, next))
  const repeated = (make: () => Effect.Effect<unknown, never, LockRegistry | Scope.Scope>): Contestant => (n) =>
    Contestants.run(Contestants.repeat(n, () => Effect.scoped(make())))
  return {
    section: `scoped lockAll of ${k} names, uncontended`,
    reference: `${k} scoped locks`,
    contestants: {
      "Effect.scoped(lockAll)": repeated(() => lockAll(names)),
      [`${k} scoped locks`]: repeated(oneByOne)
    },
    size: 1000,
    budget: 1500
  }
}

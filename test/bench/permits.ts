/** Semaphores of which each takes several permits. */
import { Semaphore } from "async-mutex"
import { Effect, TSemaphore } from "effect"
import { withSemaphore } from "effect-locks"
import * as Contestants from "./contestants.js"
import type { Contest } from "./harness.js"

const permits = 8
const semaphore = Effect.unsafeMakeSemaphore(permits)
const tSemaphore = TSemaphore.unsafeMake(permits)
const asyncSemaphore = new Semaphore(permits)

const guards = (take: (i: number) => number): Readonly<Record<string, Contestants.Guard>> => ({
  "withSemaphore": (body, i) => withSemaphore(body, "permits", { permits, take: take(i) }),
  "Effect.Semaphore": (body, i) => semaphore.withPermits(take(i))(body),
  "TSemaphore": (body, i) => TSemaphore.withPermits(body, tSemaphore, take(i))
})

const asyncGuard = (take: (i: number) => number): Contestants.AsyncGuard => (body, i) =>
  asyncSemaphore.runExclusive(body, take(i))

export const uncontended: Contest = {
  section: `3 of ${permits} permits, uncontended`,
  reference: "Effect.Semaphore",
  contestants: {
    ...Contestants.mapValues(guards(() => 3), Contestants.alone),
    "async-mutex": Contestants.aloneAsync(asyncGuard(() => 3))
  },
  size: 2000,
  budget: 1500
}

/** 1 to 4, in turn. */
const weight = (i: number) => 1 + i % 4

export const weighted = (fibers: number): Contest => ({
  section: `${fibers.toLocaleString("en")} fibers, 1 to 4 of ${permits} permits`,
  reference: "no lock",
  contestants: {
    "no lock": Contestants.fibers((body) => body),
    ...Contestants.mapValues(guards(weight), Contestants.fibers),
    "async-mutex": Contestants.promises(asyncGuard(weight))
  },
  size: fibers,
  rounds: Math.max(1, 2000 / fibers),
  budget: 1500,
  cutOff: 4000
})

/** Readers that share a lock, alone and beside a writer. */
import { Effect, STM, TReentrantLock } from "effect"
import { ReaderWriterLock, withLock } from "effect-locks"
import * as Contestants from "./contestants.js"
import type { Contest } from "./harness.js"

const readerWriterLock = Effect.runSync(ReaderWriterLock.make)
const reentrantLock = Effect.runSync(STM.commit(TReentrantLock.make))

export const uncontended: Contest = {
  section: "shared lock, uncontended",
  reference: "exclusive withLock",
  contestants: Contestants.mapValues({
    "shared withLock": (body) => withLock(body, "k", { mode: "shared" }),
    "exclusive withLock": (body) => withLock(body, "k", { mode: "exclusive" }),
    "ReaderWriterLock, reading": (body) => readerWriterLock.withReadLock(body),
    "TReentrantLock, reading": (body) => TReentrantLock.withReadLock(body, reentrantLock)
  }, Contestants.alone),
  size: 2000,
  budget: 1500
}

// Fiber 0 is the writer.
const guards: Readonly<Record<string, Contestants.Guard>> = {
  "withLock": (body, i) => withLock(body, "k", { mode: i === 0 ? "exclusive" : "shared" }),
  "withLock, readers exclusive too": (body) => withLock(body, "k", { mode: "exclusive" }),
  "ReaderWriterLock": (body, i) => i === 0 ? readerWriterLock.withWriteLock(body) : readerWriterLock.withReadLock(body),
  "TReentrantLock": (body, i) =>
    i === 0 ? TReentrantLock.withWriteLock(body, reentrantLock) : TReentrantLock.withReadLock(body, reentrantLock)
}

/** Each makes so many passes, the writer as many as a reader, with bodies that yield. */
export const writing = (readers: number, passes: number): Contest => ({
  section: `${readers.toLocaleString("en")} readers and a writer in a loop`,
  reference: "TReentrantLock",
  contestants: Contestants.mapValues(guards, (guard) => Contestants.loops(readers + 1, guard, Effect.yieldNow())),
  size: (readers + 1) * passes,
  budget: 1500,
  cutOff: 4000
})

/**
 * A reader/writer lock without a name, as fasteners has it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Acquire from "./internal/acquire.ts"
import * as Enclosing from "./internal/enclosing.ts"
import type { Table } from "./internal/ledger.ts"
import * as Line from "./internal/line.ts"
import * as Lines from "./internal/lines.ts"
import * as Key from "./internal/lockKey.ts"
import * as Options from "./internal/options.ts"
import * as internal from "./internal/registry.ts"
import type { Ticket } from "./internal/ticket.ts"
import type { AcquireLockFailed } from "./LockError.ts"

/**
 * Many readers or one writer, over the same line as every other lock here:
 * strict order of arrival, a waiting writer is not overtaken by readers that
 * came later, and the readers behind it enter together.
 *
 * It is owned as with `reentrant: true`: by the fiber that holds it and by those
 * that it forks while it holds, so that `Effect.timeout`, `Effect.race` and
 * `Effect.all` inside a hold work. An owner may read and write again inside its
 * hold; several that do so at once exclude each other as readers and writers do.
 *
 * - *write, then read or write*: legal. Not *write, then read, then write*, since
 *   others may read beside the inner read.
 * - *read, then read*: legal, also while a writer waits.
 * - *read, then write*: fails at once with `AcquireLockFailed` (reason
 *   `UpgradeConflict`) and keeps the read lock. Two readers that became writers
 *   would wait for each other.
 *
 * Every wait is interruptible, and interrupting it leaves nothing behind. A cycle
 * of waits between such locks dies with `Deadlock`, as between named ones; a cycle
 * of which a named lock is part is not seen.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReaderWriterLock {
  /** Holds as a reader until the scope closes. */
  readonly readLock: Effect.Effect<void, never, Scope.Scope>
  /** Holds as the writer until the scope closes. */
  readonly writeLock: Effect.Effect<void, AcquireLockFailed, Scope.Scope>
  /** Runs an effect as a reader. */
  readonly withReadLock: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs an effect as the writer. */
  readonly withWriteLock: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>
  /** Who holds the lock, whichever fiber asks: a writer, readers, or nobody. */
  readonly owner: Effect.Effect<Option.Option<"reader" | "writer">>
  /** Does the fiber that asks hold it as a reader? */
  readonly isReader: Effect.Effect<boolean>
  /**
   * Does the fiber that asks hold it as the writer, or, unless `checkPending` is
   * `false`, does it wait to? (A fiber that waits runs nothing, so this can differ
   * only for code that others run in its name, such as a `Clock`.)
   */
  readonly isWriter: (options?: { readonly checkPending?: boolean | undefined }) => Effect.Effect<boolean>
  /** Does a writer wait? */
  readonly hasPendingWriters: Effect.Effect<boolean>
}

// All of them are in one registry, so that cycles of waits between them are seen.
const shared = () =>
  globalValue("effect-locks/ReaderWriterLock", () => ({ registry: Effect.runSync(internal.make), made: 0 }))

const isWriting = (hold: Ticket): boolean => hold.mode === "exclusive"

const isNested = (hold: Ticket, mode: Ticket["mode"]): boolean => {
  for (let at: Ticket | undefined = hold; at !== undefined; at = at.key.within) {
    if (!at.ended && at.mode === mode) return true
  }
  return false
}

/** The line of `key`, and those nested in its holds. */
function* linesOf(lines: Table, key: Key.LockKey): Iterable<Line.Line<Ticket>> {
  const line = Lines.find(lines, key)
  if (line === undefined) return
  yield line
  for (const hold of Line.holders(line)) yield* linesOf(lines, hold.inside)
}

const fromKey = (registry: internal.Registry, key: Key.LockKey): ReaderWriterLock => {
  const spec = (mode: "exclusive" | "shared") =>
    Options.forLock(key.name, { mode, registry, prefix: key.prefix, reentrant: true, log: false })
  const read = spec("shared")
  const write = spec("exclusive")
  const pending = (predicate: (waiter: Ticket) => boolean) =>
    registry.look((lines) => {
      for (const line of linesOf(lines, key)) {
        for (const waiter of Line.waiters(line)) if (isWriting(waiter) && predicate(waiter)) return true
      }
      return false
    })
  const holds = (mode: Ticket["mode"]) =>
    Effect.map(FiberRef.get(Enclosing.current), (enclosing) => {
      const hold = Enclosing.find(enclosing, registry, key)
      return hold !== undefined && isNested(hold, mode)
    })
  // A reader is never refused: there is no deadline, and to read inside any hold is legal.
  const granted = <A, E, R>(effect: Effect.Effect<A, AcquireLockFailed | E, R>) => effect as Effect.Effect<A, E, R>
  return {
    readLock: granted<void, never, Scope.Scope>(Acquire.scoped(read, () => {})),
    writeLock: Acquire.scoped(write, () => {}),
    withReadLock: (self) => granted(Acquire.guard(self, read)),
    withWriteLock: (self) => Acquire.guard(self, write),
    owner: registry.look((lines) => {
      const line = Lines.find(lines, key)
      const first = line === undefined ? undefined : Array.from(Line.holders(line))[0]
      return first === undefined ? Option.none() : Option.some(isWriting(first) ? "writer" : "reader")
    }),
    isReader: holds("shared"),
    isWriter: (options) =>
      Effect.flatMap(holds("exclusive"), (isWriter) =>
        isWriter || options?.checkPending === false
          ? Effect.succeed(isWriter)
          : Effect.withFiberRuntime<boolean>((fiber) => pending((waiter) => waiter.fiberId.id === fiber.id().id))),
    hasPendingWriters: pending(() => true)
  }
}

/**
 * Makes reader/writer locks.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * import { Effect } from "effect"
 * import { ReaderWriterLock } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const lock = yield* ReaderWriterLock.make
 *   let page = "draft"
 *   const read = Effect.sync(() => page).pipe(lock.withReadLock)
 *   const write = Effect.sync(() => page = "final").pipe(lock.withWriteLock)
 *   yield* Effect.all([read, read, write], { concurrency: "unbounded" })
 * })
 *
 * Effect.runPromise(program)
 */
export const ReaderWriterLock: {
  /** A lock of its own, which nobody holds. */
  readonly make: Effect.Effect<ReaderWriterLock>
} = {
  make: Effect.sync(() => {
    const all = shared()
    return fromKey(all.registry, Key.make("ReaderWriterLock", String(++all.made)))
  })
}

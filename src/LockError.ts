/**
 * What can go wrong with a lock: `AcquireLockFailed`, and `ExternalLockError` and
 * `LockLost` of a lock that reaches beyond the process, are errors that a program
 * is expected to handle, `Deadlock` is a defect that it is expected to mend.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as FiberId from "effect/FiberId"

/**
 * What identifies a lock: two locks exclude each other when both parts are
 * equal. `prefix` has lost one trailing hyphen, so `nova` and `nova-` are one
 * prefix, as in oslo.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockKey {
  readonly prefix: string | undefined
  readonly name: string
  readonly toJSON: () => { readonly prefix: string | undefined; readonly name: string }
  /** The key in quotes, shortened when it is long, as messages show it. */
  readonly toString: () => string
}

/**
 * One fiber's part in a lock: a hold, or a wait for one.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockRequest {
  /**
   * Its number in order of arrival, unique in its registry; a request for several
   * locks has one number for all of them.
   */
  readonly ticket: number
  /** A hold of a semaphore is `"shared"`. */
  readonly mode: "exclusive" | "shared"
  /** How many permits it takes: `Infinity`, all there are, when it is exclusive. */
  readonly permits: number
  /** The fiber that asked. A scoped hold may since have passed to another. */
  readonly fiberId: FiberId.Runtime
  /** When the hold was granted or the wait began: milliseconds since the epoch, on Effect's `Clock`. */
  readonly since: number
}

const list = (requests: ReadonlyArray<LockRequest>): string =>
  requests.length === 0 ? "nobody" : requests.map((request) => FiberId.threadName(request.fiberId)).join(", ")

/**
 * The lock was not acquired, and nothing was taken: what the fiber held before
 * it still holds.
 *
 * - `Busy`: with `blocking: false`, it was not free at once.
 * - `Timeout`: it was not granted within `timeout`.
 * - `QueueFull`: `maxWaiting` requests waited already.
 * - `RetriesExhausted`: the schedule of `retry` ended before it was free.
 * - `UpgradeConflict`: a shared hold cannot become exclusive, because another
 *   reader waits for the same, or because it is nested in a shared hold. A hold
 *   that reaches beyond the process does not wait for other readers at all.
 *
 * Of several locks, `key` is the first that was in the way. `holders` are those
 * of this process who held it at the moment of failing: nobody, when it came free
 * just as the request gave up, or when it was `outside` of this process that
 * somebody held it.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * import { Effect } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 *
 * const backup = Effect.succeed("backed up").pipe(
 *   withLock("backup", { blocking: false }),
 *   Effect.catchTag("AcquireLockFailed", ({ key, reason }) => Effect.succeed(`${key}: ${reason}`))
 * )
 *
 * const program = Effect.map(Effect.all([backup, withLock(backup, "backup")]), (outcomes) => {
 *   if (outcomes.join() !== `backed up,"backup": Busy`) throw new Error(outcomes.join())
 * })
 *
 * Effect.runSync(Effect.provide(program, LockRegistry.layer))
 */
export class AcquireLockFailed extends Data.TaggedError("AcquireLockFailed")<{
  readonly key: LockKey
  readonly reason: "Busy" | "Timeout" | "QueueFull" | "RetriesExhausted" | "UpgradeConflict"
  readonly waited: Duration.Duration
  readonly holders: ReadonlyArray<LockRequest>
  /** Was it somebody outside of this process who held it? */
  readonly outside: boolean
}> {
  override get message(): string {
    const who = this.outside ? "another process, or another registry" : list(this.holders)
    return `lock ${this.key} ${explain(this.reason, this.waited)}: held by ${who}`
  }
}

const explain = (reason: AcquireLockFailed["reason"], waited: Duration.Duration): string => {
  switch (reason) {
    case "Busy":
      return "is busy"
    case "Timeout":
      return `was not free within ${Duration.format(waited)}`
    case "QueueFull":
      return "has as many waiting as maxWaiting allows"
    case "RetriesExhausted":
      return "was not free at any time that the retry schedule tried"
    case "UpgradeConflict":
      return "cannot be made exclusive while other readers hold it for as long; let go of the shared hold first"
  }
}

/**
 * One wait of a deadlock: a request, and a hold that it waits for.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeadlockWait {
  readonly key: LockKey
  readonly request: LockRequest
  readonly hold: LockRequest
}

/**
 * A request that can never be granted, as a defect: it waits for a hold of
 * `withLock`, `withLockAll`, `withSemaphore` or `synchronized` whose fiber waits,
 * through as many others as `cycle` tells, for a hold of the very fiber that asks.
 * The request that closes such a cycle dies, at once.
 *
 * There is no false alarm. A request dies only when it would still wait if every
 * fiber that does not wait finished, everybody who waits with a `timeout` left,
 * every scoped hold was closed and nobody stood before it in the line.
 *
 * What is not seen waits for ever: a cycle through a scoped `lock`, through
 * `Fiber.join` or `Effect.all` (a parent that waits for its child), or through
 * locks of two registries. And a request inside an `Effect.timeout` of the
 * program dies although the timeout would have ended it: use the `timeout` option.
 *
 * Nothing was taken by the request, and whatever the fiber holds is released as
 * the defect leaves it, so the others of the cycle go on.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * import { Cause, Effect, Exit, Option } from "effect"
 * import { Deadlock, LockRegistry, withLock } from "effect-locks"
 *
 * const itself = Effect.void.pipe(withLock("x"), withLock("x"))
 *
 * const exit = Effect.runSyncExit(Effect.provide(itself, LockRegistry.layer))
 * const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
 * if (!(defect instanceof Deadlock) || defect.cycle.length !== 1) throw new Error("it was not seen")
 */
export class Deadlock extends Data.TaggedError("Deadlock")<{
  readonly key: LockKey
  /** The fiber that asked last, and closed the cycle. */
  readonly fiberId: FiberId.Runtime
  /** Each request waits for a hold of the fiber of the next, the last for one of the first. */
  readonly cycle: ReadonlyArray<DeadlockWait>
}> {
  override get message(): string {
    const who = FiberId.threadName(this.fiberId)
    if (this.cycle.length === 1) {
      return `lock ${this.key} is already held by ${who}, which asks for it again inside that hold ` +
        `(${
          this.cycle.map(tell).join("")
        }) and would wait for ever. Take it once, in the outermost place that needs it, ` +
        `or ask with "blocking: false" or "timeout" to get an AcquireLockFailed instead; a lock, unlike a semaphore, ` +
        `can be taken again with "reentrant: true" in both places.`
    }
    return `lock ${this.key} can never be granted to ${who}: ${this.cycle.map(tell).join("; ")}. ` +
      `Take the locks in one order everywhere, or all at once with lockAll.`
  }
}

const tell = ({ hold, key, request }: DeadlockWait): string =>
  `${FiberId.threadName(request.fiberId)} waits for lock ${key} (${request.mode}), ` +
  `which ${FiberId.threadName(hold.fiberId)} holds (${hold.mode}) since ${time(hold.since)}`

/** A clock may show what is no date. */
const time = (millis: number): string => {
  const date = new Date(millis)
  return Number.isNaN(date.getTime()) ? `${millis} ms` : date.toISOString()
}

/**
 * A lock that reaches beyond the process could not be asked for at all. Nothing
 * was taken: what the fiber held before it still holds.
 *
 * - `Misconfigured`: what the lock is kept in is missing, or not fit for it, such
 *   as a lock path that is a file or that anybody may write to.
 * - `UnsafeName`: the name cannot be kept there.
 * - `PermissionDenied`: this process may not.
 * - `Exhausted`: the disk is full, or too many files are open.
 * - `Unsupported`: there are no such locks here.
 * - `Unavailable`: anything else; `cause` tells.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { FileLock, LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.succeed("done").pipe(
 *   withLock("..", { external: true }),
 *   Effect.catchTag("ExternalLockError", ({ reason }) => Effect.succeed(reason)),
 *   Effect.map((outcome) => {
 *     if (outcome !== "UnsafeName") throw new Error(outcome)
 *   })
 * )
 *
 * const locks = Layer.merge(LockRegistry.layer, FileLock.layerTemp).pipe(Layer.provide(NodeContext.layer))
 *
 * Effect.runPromise(Effect.provide(program, locks))
 */
export class ExternalLockError extends Data.TaggedError("ExternalLockError")<{
  readonly reason: "Misconfigured" | "UnsafeName" | "PermissionDenied" | "Exhausted" | "Unsupported" | "Unavailable"
  /** The lock that was asked for, if it was one. */
  readonly key: LockKey | undefined
  /** Where it is kept, such as the path of a file, as far as that is known. */
  readonly place: string | undefined
  /** What is wrong, and what to do. */
  readonly explanation: string
  readonly cause?: unknown
}> {
  /**
   * The same, asked for as `key`.
   *
   * @since 0.1.0
   */
  of(key: LockKey): ExternalLockError {
    const { cause, explanation, place, reason } = this
    return new ExternalLockError({ reason, key, place, explanation, cause })
  }
  override get message(): string {
    return this.key === undefined ? this.explanation : `lock ${this.key}: ${this.explanation}`
  }
}

/**
 * A lock that reaches beyond the process was lost while it was held: somebody
 * else may hold it since, and may have changed what it protects.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * import { FileSystem } from "@effect/platform"
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { FileLock, LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const fs = yield* FileSystem.FileSystem
 *   const files = yield* FileLock
 *   // Somebody removes the lock file without asking.
 *   const outcome = yield* Effect.flatMap(files.path("report"), fs.remove).pipe(
 *     withLock("report", { external: true }),
 *     Effect.catchTag("LockLost", ({ completed }) => Effect.succeed(completed ? "ran to its end" : "interrupted"))
 *   )
 *   if (outcome !== "ran to its end") throw new Error("it was not seen")
 * })
 *
 * const locks = Layer.merge(LockRegistry.layer, FileLock.layerTemp).pipe(Layer.provideMerge(NodeContext.layer))
 *
 * Effect.runPromise(Effect.provide(program, locks))
 */
export class LockLost extends Data.TaggedError("LockLost")<{
  readonly key: LockKey
  /** How it was lost, and what to do. */
  readonly explanation: string
  /** Did the effect that held it succeed, all the same? */
  readonly completed: boolean
}> {
  override get message(): string {
    const end = this.completed ? "the effect that held it ran to its end" : "the effect that held it was interrupted"
    return `lock ${this.key} was lost: ${this.explanation}; ${end}`
  }
}

/**
 * Who came with this token holds the lock no more: somebody with a larger one, who
 * got it later, was there already. Nothing was done.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * import { Effect } from "effect"
 * import { Fence } from "effect-locks"
 *
 * const program = Effect.gen(function*() {
 *   const fence = yield* Fence.make
 *   yield* fence.admit(2n)
 *   const newest = yield* fence.admit(1n).pipe(
 *     Effect.as(0n),
 *     Effect.catchTag("StaleToken", ({ newest }) => Effect.succeed(newest))
 *   )
 *   if (newest !== 2n) throw new Error(String(newest))
 * })
 *
 * Effect.runPromise(program)
 */
export class StaleToken extends Data.TaggedError("StaleToken")<{
  readonly token: bigint
  /** The largest that was seen. */
  readonly newest: bigint
}> {
  override get message(): string {
    return `token ${this.token} is stale: ${this.newest} was here, so the lock has passed on`
  }
}

/**
 * What can go wrong with a lock: `AcquireLockFailed` is an error that a program
 * is expected to handle, `Deadlock` a defect that it is expected to mend.
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
  readonly mode: "exclusive" | "shared"
  /** The fiber that asked. A scoped hold may since have passed to another. */
  readonly fiberId: FiberId.Runtime
  /** When the hold was granted or the wait began: milliseconds since the epoch, on Effect's `Clock`. */
  readonly since: number
}

const list = (requests: ReadonlyArray<LockRequest>): string =>
  requests.length === 0 ? "nobody" : requests.map((request) => FiberId.threadName(request.fiberId)).join(", ")

/**
 * The lock was not acquired, and nothing is held.
 *
 * - `Busy`: with `blocking: false`, it was not free at once.
 * - `Timeout`: it was not granted within `timeout`.
 *
 * `holders` are those who held it at the moment of failing: nobody, when it
 * came free just as the request gave up.
 *
 * @since 0.1.0
 * @category errors
 */
export class AcquireLockFailed extends Data.TaggedError("AcquireLockFailed")<{
  readonly key: LockKey
  readonly reason: "Busy" | "Timeout"
  readonly waited: Duration.Duration
  readonly holders: ReadonlyArray<LockRequest>
}> {
  override get message(): string {
    const what = this.reason === "Busy" ? "is busy" : `was not free within ${Duration.format(this.waited)}`
    return `lock ${this.key} ${what}: held by ${list(this.holders)}`
  }
}

/**
 * A request that can never be granted, as a defect: its fiber already holds
 * the lock through `withLock` or `synchronized`, and would wait for itself.
 *
 * @since 0.1.0
 * @category errors
 */
export class Deadlock extends Data.TaggedError("Deadlock")<{
  readonly key: LockKey
  readonly fiberId: FiberId.Runtime
  readonly holders: ReadonlyArray<LockRequest>
}> {
  override get message(): string {
    return `lock ${this.key} is already held by ${FiberId.threadName(this.fiberId)}, which asks for it again ` +
      `inside its own withLock or synchronized and would wait for ever. Take the lock once, in the outermost place ` +
      `that needs it, or ask with "blocking: false" or "timeout" to get an AcquireLockFailed instead.`
  }
}

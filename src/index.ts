/**
 * @since 0.1.0
 */

/**
 * `lock`, `withLock` and `synchronized`.
 *
 * @since 0.1.0
 */
export * from "./Lock.ts"

/**
 * `lockAll` and `withLockAll`.
 *
 * @since 0.1.0
 */
export * from "./LockAll.ts"

/**
 * What can go wrong with a lock.
 *
 * @since 0.1.0
 */
export * from "./LockError.ts"

/**
 * How to take a lock, and what the types make of it.
 *
 * @since 0.1.0
 */
export * from "./LockOptions.ts"

export {
  /**
   * What a lock that reaches beyond the process must do.
   *
   * @since 0.1.0
   */
  ExternalLock
} from "./ExternalLock.ts"

export {
  /**
   * External locks by lock files.
   *
   * @since 0.1.0
   */
  FileLock
} from "./FileLock.ts"

/**
 * What refuses those whose lock has passed on.
 *
 * @since 0.1.0
 */
export * as Fence from "./Fence.ts"

/**
 * The locks of one prefix.
 *
 * @since 0.1.0
 */
export * from "./LockPrefix.ts"

export {
  /**
   * What happened to a request.
   *
   * @since 0.1.0
   */
  type LockEvent,
  /**
   * What else belongs to the key of a lock.
   *
   * @since 0.1.0
   */
  type LockName,
  /**
   * The named locks of one process.
   *
   * @since 0.1.0
   */
  LockRegistry,
  /**
   * One lock at the moment of the snapshot.
   *
   * @since 0.1.0
   */
  type LockSnapshot,
  /**
   * A request that waits.
   *
   * @since 0.1.0
   */
  type LockWaiter
} from "./LockRegistry.ts"

/**
 * `semaphore` and `withSemaphore`.
 *
 * @since 0.1.0
 */
export * from "./LockSemaphore.ts"

/**
 * A reader/writer lock without a name.
 *
 * @since 0.1.0
 */
export * from "./ReaderWriterLock.ts"

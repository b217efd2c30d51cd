/**
 * @since 0.1.0
 */

/**
 * `lock`, `withLock`, `synchronized` and their options.
 *
 * @since 0.1.0
 */
export * from "./Lock.ts"

/**
 * What can go wrong with a lock.
 *
 * @since 0.1.0
 */
export * from "./LockError.ts"

export {
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
  type LockSnapshot
} from "./LockRegistry.ts"

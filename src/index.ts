/**
 * @since 0.1.0
 */
export * from "./Lock.ts"
export * from "./LockError.ts"
export { LockRegistry, type LockSnapshot } from "./LockRegistry.ts"

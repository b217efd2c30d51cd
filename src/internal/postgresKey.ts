/**
 * Where PostgreSQL keeps the lock of a key: at a number of 64 bits. Two keys of one
 * number are one lock, which costs a wait and nothing else. Among a million names
 * that happens once in 37 million programs.
 */
import { createHash } from "node:crypto"
import { ExternalLockError, type LockKey } from "../LockError.ts"

/** Prefixes and namespaces have no NUL, so no two keys make one text. */
const separator = "\0"

export const hasSeparator = (text: string): boolean => text.includes(separator)

export const numberOf = (namespace: string, { name, prefix = "" }: Pick<LockKey, "name" | "prefix">): bigint =>
  createHash("sha256").update([namespace, prefix, name].join(separator)).digest().readBigInt64BE()

/** Why the lock of a key cannot be kept. */
export const objection = (key: LockKey, lockPath: string | undefined): ExternalLockError | undefined =>
  lockPath !== undefined
    ? new ExternalLockError({
      reason: "Unsupported",
      key,
      place: undefined,
      explanation: `a database has no lock path, and lockPath is ${JSON.stringify(lockPath)}; leave it out, or use ` +
        `FileLock for locks that are files`
    })
    : key.prefix !== undefined && hasSeparator(key.prefix)
    ? new ExternalLockError({
      reason: "UnsafeName",
      key,
      place: undefined,
      explanation: "the prefix has a NUL in it; use another prefix"
    })
    : undefined

/** From what the system says to what a program can do about it. */
import { ExternalLockError, type LockKey } from "../LockError.ts"

export const portable =
  "use FileLock.layerPortable for all processes that use this lock path, or another lock path on a local disk"

/** The code of the system, such as `ENOSPC`, of an error of node:fs or of a PlatformError around one. */
const codeOf = (error: unknown): string | undefined => {
  for (let at = error; typeof at === "object" && at !== null; at = Reflect.get(at, "cause")) {
    const code: unknown = Reflect.get(at, "code")
    if (typeof code === "string") return code
  }
  return undefined
}

interface Advice {
  readonly reason: ExternalLockError["reason"]
  readonly explanation: string
}

const advice = (code: string | undefined): Advice => {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return {
        reason: "PermissionDenied",
        explanation: "this process may not use it; give it the permission, or use a lock path of its own"
      }
    case "EROFS":
      return {
        reason: "PermissionDenied",
        explanation: "its file system is read-only; use a lock path that can be written to"
      }
    case "ENOSPC":
    case "EDQUOT":
      return { reason: "Exhausted", explanation: "the disk is full; free some space" }
    case "EMFILE":
    case "ENFILE":
      return {
        reason: "Exhausted",
        explanation: "too many files are open (each hold keeps one open); hold fewer locks at once, or raise the limit"
      }
    case "ENAMETOOLONG":
      return { reason: "UnsafeName", explanation: "the path is too long; give the lock a shorter name" }
    case "ENOTDIR":
    case "EISDIR":
    case "ELOOP":
    case "EEXIST":
      return {
        reason: "Misconfigured",
        explanation:
          "something else is where a directory, or the file of the lock, should be; move it, or use another lock path"
      }
    case "ENOENT":
      return { reason: "Misconfigured", explanation: "the lock path is gone; make the directory again" }
    case "ENOLCK":
    case "EINVAL":
    case "ENOSYS":
    case "ENOTSUP":
    case "EOPNOTSUPP":
      return { reason: "Unsupported", explanation: `its file system has no locks (${code}); ${portable}` }
    default:
      return { reason: "Unavailable", explanation: `the system says ${code ?? "no more than the cause of this error"}` }
  }
}

export const make = (path: string, cause: unknown, key?: LockKey): ExternalLockError => {
  const { explanation, reason } = advice(codeOf(cause))
  return new ExternalLockError({ reason, key, place: path, explanation: `${path}: ${explanation}`, cause })
}

/** Is it that something is not there? */
export const isMissing = (error: unknown): boolean => codeOf(error) === "ENOENT"

/** Is it that something is there already? */
export const isThere = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === "EEXIST" || code === "ENOTEMPTY"
}

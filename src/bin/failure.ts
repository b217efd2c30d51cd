/** From what goes wrong to what is said about it, and to the exit code. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import { isValidationError } from "@effect/cli/ValidationError"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { AcquireLockFailed, ExternalLockError, LockLost } from "../LockError.ts"
import * as Code from "./exitCode.ts"
import { plain, say } from "./output.ts"

/** The end of the program with an exit code that is not 0. */
export class Ended extends Data.TaggedError("Ended")<{
  readonly code: number
  /** What to say, if there is something to say. */
  readonly text: string | undefined
}> {}

export const ended = (code: number, text?: string): Ended => new Ended({ code, text })

export const complain = (text: string): void => say(`effect-locks: ${text}`)

const hint = `run "effect-locks --help", or --help of a command, to see how it is called`

export const misused = (text: string): Ended => ended(Code.usage, `${text}\n${hint}`)

const ofLock = (error: ExternalLockError): number => {
  switch (error.reason) {
    case "UnsafeName":
      return Code.usage
    case "PermissionDenied":
      return Code.denied
    case "Misconfigured":
      return Code.misconfigured
    case "Exhausted":
    case "Unavailable":
    case "Unsupported":
      return Code.cannotLock
  }
}

const notAcquired = ({ key, reason, waited }: AcquireLockFailed): string => {
  const how = reason === "Timeout" ? `was not free within ${Duration.format(waited)}` : "is busy"
  return `lock ${key} ${how}: another process holds it; "effect-locks status" tells which`
}

/** Of a program that was not interrupted. */
export const of = (cause: Cause.Cause<unknown>): Ended => {
  const error = Cause.squash(cause)
  if (error instanceof Ended) return error
  if (error instanceof AcquireLockFailed) return ended(Code.notAcquired, notAcquired(error))
  if (error instanceof ExternalLockError) return ended(ofLock(error), error.message)
  if (error instanceof LockLost) return ended(Code.lost, error.message)
  if (isValidationError(error)) return misused(plain(HelpDoc.toAnsiText(error.error)).trim())
  return ended(Code.bug, `this is a mistake in the program: ${Cause.pretty(cause)}`)
}

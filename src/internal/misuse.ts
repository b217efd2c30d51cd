/** Defects of a caller who asks for what cannot be: the message says what to change. */
import * as Cause from "effect/Cause"

export const misuse = (message: string): Cause.IllegalArgumentException => new Cause.IllegalArgumentException(message)

/** Any value in a message. `String` alone fails for an object that has no prototype. */
export const show = (value: unknown): string => {
  try {
    return String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

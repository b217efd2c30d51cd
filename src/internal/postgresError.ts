/** From what a server or a connection says to what a program can do about it. */
import { ExternalLockError } from "../LockError.ts"

interface Advice {
  readonly reason: ExternalLockError["reason"]
  readonly explanation: string
}

const textOf = (cause: unknown): string =>
  cause instanceof AggregateError && cause.message === ""
    ? cause.errors.map(textOf).join(", ")
    : cause instanceof Error
    ? cause.message
    : String(cause)

/** SQLSTATE, or the code of the system, such as ECONNREFUSED. */
const codeOf = (cause: unknown): string | undefined => {
  const code: unknown = typeof cause === "object" && cause !== null ? Reflect.get(cause, "code") : undefined
  return typeof code === "string" ? code : undefined
}

const advice = (code: string | undefined, text: string): Advice => {
  // What the client itself refuses in the handshake has no code.
  if (code === "28P01" || code === "28000" || text.startsWith("SASL")) {
    return { reason: "PermissionDenied", explanation: "give PgClient the right user and password" }
  }
  switch (code) {
    case "42501":
      return {
        reason: "PermissionDenied",
        explanation: "run PostgresLock.migration as a user who may, or grant this one what docs/distributed.md lists"
      }
    case "25006":
      return {
        reason: "Misconfigured",
        explanation: "it is read-only; connect to the primary, as a user whose transactions may write"
      }
    case "3D000":
      return { reason: "Misconfigured", explanation: "create the database, or name another" }
    case "3F000":
    case "42P01":
      return {
        reason: "Misconfigured",
        explanation: "what the locks need is not in the database; run PostgresLock.migration, or let the layer do so"
      }
    case "42883":
      return { reason: "Unsupported", explanation: "this is not PostgreSQL 14 or later" }
    case "53300":
      return {
        reason: "Exhausted",
        explanation: "it has no connection left (each lock that is waited for takes one); raise max_connections, or " +
          "wait for fewer locks at once"
      }
    case "53200":
      return {
        reason: "Exhausted",
        explanation: "its table of locks is full; raise max_locks_per_transaction, or hold fewer locks at once"
      }
    case "57014":
      return { reason: "Unavailable", explanation: "somebody cancelled it on the server; ask again" }
    case "55P03":
      return { reason: "Unavailable", explanation: "somebody changes what the locks need in the database; ask again" }
    default:
      return { reason: "Unavailable", explanation: "try again when it can be reached" }
  }
}

/** `what` was being done. */
export const make = (what: string, cause: unknown): ExternalLockError => {
  const text = textOf(cause)
  const { explanation, reason } = advice(codeOf(cause), text)
  return new ExternalLockError({
    reason,
    key: undefined,
    place: undefined,
    explanation: `PostgreSQL ${what}: ${text}; ${explanation}`,
    cause
  })
}

/** The same of what is not an error of the server. */
export const refuse = (reason: ExternalLockError["reason"], explanation: string): ExternalLockError =>
  new ExternalLockError({ reason, key: undefined, place: undefined, explanation: `PostgreSQL ${explanation}` })

/** Does the session go on after it? It has an SQLSTATE then, unlike EPIPE, and none of those with which sessions end. */
export const isOfStatement = (cause: unknown): boolean => /^(?!08|57P|E)[0-9A-Z]{5}$/.test(codeOf(cause) ?? "")

export { textOf }

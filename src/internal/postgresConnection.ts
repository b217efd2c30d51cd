/** How to come to a server: as PgClient does, but with connections of one's own. */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Pg from "pg"
import type { ExternalLockError } from "../LockError.ts"
import * as PostgresError from "./postgresError.ts"

/** PostgreSQL cuts longer names. */
const longestName = 63

const optionsOf = (config: PgClientConfig): Pg.ClientConfig => {
  const { applicationName, database, host, password, port, ssl, stream, url, username } = config
  return {
    ...(url !== undefined && { connectionString: Redacted.value(url) }),
    ...(username !== undefined && { user: username }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(database !== undefined && { database }),
    ...(password !== undefined && { password: Redacted.value(password) }),
    ...(ssl !== undefined && { ssl }),
    ...(stream !== undefined && { stream }),
    application_name: applicationName === undefined
      ? "effect-locks"
      : `${applicationName.slice(0, longestName - " (locks)".length)} (locks)`,
    keepAlive: true
  }
}

const patienceOf = ({ connectTimeout }: PgClientConfig) => Duration.toMillis(connectTimeout ?? "5 seconds")

const destroy = (client: Pg.Client): void => {
  client.connection.stream.destroy()
}

/** Connects, and asks `statement`, which tells whether the server will do. `accept` gets the connection, interrupted or not; that takes `longest` milliseconds at most. */
export const open = <A>(
  config: PgClientConfig,
  statement: (client: Pg.Client) => string,
  accept: (client: Pg.Client, answer: ReadonlyArray<string>) => Effect.Effect<A, ExternalLockError>,
  longest: number = Infinity
): Effect.Effect<A, ExternalLockError> =>
  Effect.async((resume) => {
    const patience = Math.min(patienceOf(config), longest)
    const client = new Pg.Client(optionsOf(config))
    let isAccepted = false
    const fail = (cause: unknown) => {
      clearTimeout(timer)
      destroy(client)
      resume(Effect.fail(PostgresError.make("cannot be asked for locks", cause)))
    }
    const timer = setTimeout(() => fail(new Error(`it did not answer within ${patience} ms`)), patience)
    // It stays: a connection may end before anybody else listens, which would end the process.
    client.on("error", fail)
    client.connect((error: unknown) => {
      if (error !== null && error !== undefined) return fail(error)
      client.query({ text: statement(client), rowMode: "array" }, (error, result) => {
        if (error) return fail(error)
        clearTimeout(timer)
        isAccepted = true
        resume(accept(client, result.rows[0] as ReadonlyArray<string>))
      })
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      // It may have been given on.
      if (!isAccepted) destroy(client)
    })
  })

/** What pg's connections have and its types leave out. */
interface Wire extends Pg.Connection {
  readonly connect: (port: number, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processId: number, secretKey: number) => void
}

interface Addressed extends Omit<Pg.Client, "ssl"> {
  readonly processID: number
  readonly secretKey: number
  readonly ssl: Pg.ConnectionConfig["ssl"]
}

/** The process of the server that the client was told it talks to. */
export const processOf = (client: Pg.Client): number => (client as unknown as Addressed).processID

/**
 * Asks the server to cancel what `client` waits for, through a connection of its own,
 * which takes no slot of a session. `done` is called once, when it is too late
 * for the server to cancel something else for it: it closes the connection after it
 * has passed it on.
 */
export const cancel = (client: Pg.Client, stream: PgClientConfig["stream"], done: () => void): () => void => {
  const { host, port, processID, secretKey, ssl } = client as unknown as Addressed
  const wire = new Pg.Connection({
    ...(ssl !== undefined && { ssl }),
    ...(stream !== undefined && { stream: stream as never })
  }) as Wire
  const say = () => wire.cancel(processID, secretKey)
  wire.on("error", () => wire.stream.destroy())
  wire.on("end", done)
  wire.once("connect", ssl ? () => wire.requestSsl() : say)
  wire.once("sslconnect", say)
  if (host.startsWith("/")) wire.connect(`${host}/.s.PGSQL.${port}` as never)
  else wire.connect(port, host)
  return () => wire.stream.destroy()
}

/** How long it may take to say goodbye: milliseconds. */
const goodbye = 1000

/** Closes the connection, at once when a statement is under way. */
export const end = (client: Pg.Client, isIdle: boolean): void => {
  if (!isIdle) return destroy(client)
  const timer = setTimeout(() => destroy(client), goodbye)
  client.end(() => clearTimeout(timer))
}

/** Runs statements that answer nothing. */
export const run = (client: Pg.Client, statements: string): Effect.Effect<void, ExternalLockError> =>
  Effect.async((resume) => {
    client.query(
      statements,
      (error) => resume(error ? Effect.fail(PostgresError.make("cannot be prepared for locks", error)) : Effect.void)
    )
  })

/** What the locks need in a database, and how a session is to be set. */
import type * as Pg from "pg"
import type { ExternalLockError } from "../LockError.ts"
import * as PostgresConnection from "./postgresConnection.ts"
import * as PostgresError from "./postgresError.ts"
import type { Silence } from "./postgresSilence.ts"

export const defaultSchema = "effect_locks"

const quoted = (name: string): string => `"${name.replaceAll(`"`, `""`)}"`
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

export const sequenceOf = (schema: string): string => `${quoted(schema)}.fencing`
export const tableOf = (schema: string): string => `${quoted(schema)}.lease`

/** Of the lock that those who make the schema take, as IF NOT EXISTS fails for two who come at once. */
const migrating = "x'eff1ec710c5'::bigint"

/**
 * Makes what is not there, and changes nothing of what is. Sent at once it is one transaction, or part of one. The cache of a sequence is
 * what a session draws ahead: with one, tokens would not grow from session to session.
 */
export const migration = (schema: string): string =>
  `SELECT pg_advisory_xact_lock(${migrating});
CREATE SCHEMA IF NOT EXISTS ${quoted(schema)};
CREATE SEQUENCE IF NOT EXISTS ${sequenceOf(schema)} AS bigint CACHE 1 NO CYCLE;
CREATE TABLE IF NOT EXISTS ${tableOf(schema)} (
  key bigint NOT NULL,
  holder uuid NOT NULL PRIMARY KEY,
  mode text NOT NULL CHECK (mode IN ('exclusive', 'shared')),
  token bigint NOT NULL,
  expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS lease_key ON ${tableOf(schema)} (key);`

/** The settings that the locks rely on, whatever the database, the role or the server have. */
const settingsOf = ({ patience, server }: Silence): Readonly<Record<string, string>> => {
  const probes = 5
  const seconds = Math.ceil(server / 1000)
  const between = Math.max(1, Math.floor(seconds / 2 / probes))
  return {
    // The server's patience with a client that cannot be heard of; where it has no such timeout, probes take as long.
    tcp_user_timeout: `${server}ms`,
    tcp_keepalives_idle: String(seconds - between * probes > 0 ? seconds - between * probes : 1),
    tcp_keepalives_interval: String(between),
    tcp_keepalives_count: String(probes),
    // Who waits and is gone is noticed while it waits, and not when its turn has come.
    client_connection_check_interval: "1s",
    statement_timeout: "0",
    // Nothing but who waits for a lock does so without a limit: others would wait with it for an answer.
    lock_timeout: `${Math.round(patience / 2)}ms`,
    transaction_timeout: "0",
    idle_session_timeout: "0",
    idle_in_transaction_session_timeout: "0",
    // Functions of this name that somebody has made elsewhere are not what is meant.
    search_path: "pg_catalog"
  }
}

/**
 * Asks who is there, and sets the session. Nothing is set through a pooler, whose
 * sessions are not ours; nor is what this version of the server does not have.
 */
export const settingUp = (schema: string, silence: Silence) => (client: Pg.Client): string => {
  const values = Object.entries(settingsOf(silence)).map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
  return `SELECT pg_backend_pid()::text, pg_is_in_recovery()::text, current_setting('server_version_num'),
(to_regclass(${literal(sequenceOf(schema))}) IS NOT NULL AND to_regclass(${
    literal(tableOf(schema))
  }) IS NOT NULL)::text,
CASE WHEN pg_backend_pid() = ${PostgresConnection.processOf(client)} THEN
  CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
    THEN set_config('synchronous_commit', 'on', false) END
END,
(SELECT count(CASE WHEN current_setting(name, true) IS NOT NULL THEN set_config(name, value, false) END)
  FROM (VALUES ${values.join(", ")}) AS wanted(name, value)
  WHERE pg_backend_pid() = ${PostgresConnection.processOf(client)}
    -- Where the system cannot tell, the server refuses it.
    AND (name <> 'client_connection_check_interval' OR version() ~* 'linux'))::text,
current_setting('transaction_read_only')`
}

const oldest = 14

/** Why a server is not fit for locks. */
export const objection = (
  answer: ReadonlyArray<string>,
  client: Pg.Client,
  mayBePooled: boolean
): ExternalLockError | undefined => {
  const [process, isInRecovery, version] = answer
  const isReadOnly = answer.at(-1)
  if (!mayBePooled && Number(process) !== PostgresConnection.processOf(client)) {
    return PostgresError.refuse(
      "Unsupported",
      "is reached through a pooler, which may give one session to several clients, and so one lock; connect to the " +
        "server itself, or use PostgresLock.layerLease"
    )
  }
  if (isInRecovery === "true") {
    return PostgresError.refuse(
      "Misconfigured",
      "is a replica, whose locks exclude nobody on the primary; connect to the primary"
    )
  }
  if (isReadOnly === "on") {
    return PostgresError.refuse(
      "Misconfigured",
      "has read-only transactions for this user, and each grant draws a token; set default_transaction_read_only off"
    )
  }
  if (Number(version) < oldest * 10_000) {
    return PostgresError.refuse(
      "Unsupported",
      `is of version ${Math.floor(Number(version) / 10_000)}, and locks need ${oldest} or later; upgrade the server`
    )
  }
  return undefined
}

export const isThere = (answer: ReadonlyArray<string>): boolean => answer[3] === "true"

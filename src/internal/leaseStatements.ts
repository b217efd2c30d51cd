/**
 * Leases in SQL. A lease is a row; a row whose time is over is nobody's.
 *
 * Who takes or upgrades a lease holds the place's lock of the transaction meanwhile, so they
 * come one after the other, and each statement sees what was committed before it
 * (READ COMMITTED). All of a transaction goes to the server at once: none waits for a
 * client, and a pooler gives it one session. Times are those of the database's clock.
 */
import type { Mode } from "./ticket.ts"

/** Who has what: all of it is digits, or a UUID of ours. */
export interface Lease {
  readonly key: string
  readonly holder: string
}

/** Apart from the locks of sessions, which have one number of 64 bits: these have two of 32. */
const space = 0x1ea5e

/** Of the results of a transaction, the one that says what came of it. */
export interface Transaction {
  readonly text: string
  readonly result: number
}

const transaction = (...statements: ReadonlyArray<string>): Transaction => {
  const before = [
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    // What a crash takes back would be held by nobody, and by whoever renewed it.
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) " +
    "WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
  ]
  return { text: [...before, ...statements, "COMMIT"].join(";\n"), result: before.length + statements.length - 1 }
}

const now = "pg_catalog.clock_timestamp()"

export const make = (table: string, sequence: string, milliseconds: number) => {
  const until = `${now} + interval '${milliseconds} milliseconds'`
  const token = `pg_catalog.nextval('${sequence.replaceAll("'", "''")}')`
  const alone = (key: string) =>
    `SELECT pg_catalog.pg_advisory_xact_lock(${space}, ${Number(BigInt.asIntN(32, BigInt(key)))})`
  const listed = (holders: Iterable<string>) => Array.from(holders, (holder) => `'${holder}'`).join(", ")
  return {
    /** Its token, or no row. */
    take: ({ holder, key }: Lease, mode: Mode) =>
      transaction(
        alone(key),
        `DELETE FROM ${table} WHERE key = ${key} AND expires <= ${now}`,
        `INSERT INTO ${table} (key, holder, mode, token, expires) SELECT ${key}, '${holder}', '${mode}', ${token}, ${until} ` +
          `WHERE NOT EXISTS (SELECT FROM ${table} WHERE key = ${key}` +
          `${mode === "exclusive" ? "" : " AND mode = 'exclusive'"}) RETURNING token::text`
      ),
    /** The holders whose leases are renewed. */
    renew: (holders: Iterable<string>) =>
      transaction(
        `UPDATE ${table} SET expires = ${until} WHERE holder IN (${listed(holders)}) AND expires > ${now} ` +
          `RETURNING holder::text`
      ),
    /** Its new token, or no row when others read. */
    upgrade: ({ holder, key }: Lease) =>
      transaction(
        alone(key),
        // So that who had one is told that it was gone.
        `DELETE FROM ${table} WHERE key = ${key} AND holder <> '${holder}' AND expires <= ${now}`,
        `UPDATE ${table} SET mode = 'exclusive', token = ${token} WHERE holder = '${holder}' AND expires > ${now} ` +
          `AND NOT EXISTS (SELECT FROM ${table} AS other WHERE other.key = ${key} AND other.holder <> '${holder}') ` +
          `RETURNING token::text`
      ),
    /** A row if it was held until now. */
    downgrade: ({ holder }: Lease) =>
      transaction(`UPDATE ${table} SET mode = 'shared' WHERE holder = '${holder}' RETURNING holder::text`),
    /** Deletes what has been nobody's for long. */
    sweep: transaction(`DELETE FROM ${table} WHERE expires < ${now} - interval '1 hour'`),
    /** The holders that had a lease until now. */
    end: (holders: Iterable<string>) =>
      transaction(`DELETE FROM ${table} WHERE holder IN (${listed(holders)}) RETURNING holder::text`)
  }
}

export type Statements = ReturnType<typeof make>

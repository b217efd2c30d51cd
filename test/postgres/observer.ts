/** What a server knows of its sessions and their locks. */
import pg from "pg"

/** An advisory lock that is held or waited for. */
export interface Advisory {
  readonly pid: number
  readonly application: string
  readonly database: string
  /** A signed bigint. */
  readonly key: string
  readonly mode: string
  readonly granted: boolean
}

export interface Session {
  readonly pid: number
  readonly application: string
  readonly database: string
  /** Such as `idle in transaction`. */
  readonly state: string
  /** Such as `advisory`. */
  readonly waitsFor: string | null
  readonly query: string
}

const application = "harness"

export class Observer {
  private readonly address: () => { readonly host: string; readonly port: number }
  private pool: pg.Pool | undefined

  /** Of the server at the address, which may change when it is started again. */
  constructor(address: () => { readonly host: string; readonly port: number }) {
    this.address = address
  }

  /** What a client connects to. The name of the user may have a password after a colon. */
  url(database = "postgres", userName = "postgres"): string {
    const { host, port } = this.address()
    return `postgres://${userName}@${host}:${port}/${encodeURIComponent(database)}`
  }

  /** Each by a connection of its own, so that no lock, setting or transaction outlives it. */
  async query<R extends pg.QueryResultRow = Record<string, any>>(
    sql: string,
    values: Array<unknown> = [],
    database?: string
  ): Promise<Array<R>> {
    return this.connected(async (client) => (await client.query<R>(sql, values)).rows, database)
  }

  /** The advisory locks, those that are waited for as well: of all databases, or of one. */
  advisory(database = "%"): Promise<Array<Advisory>> {
    return this.watch<Advisory & pg.QueryResultRow>(
      `SELECT pid, coalesce(application_name, '') AS application, d.datname AS database,
        ((classid::bigint << 32) | objid::bigint)::text AS key, mode, granted
      FROM pg_locks l JOIN pg_database d ON d.oid = l.database LEFT JOIN pg_stat_activity a USING (pid)
      WHERE locktype = 'advisory' AND d.datname LIKE $1 ORDER BY granted DESC, key, pid`,
      [database]
    )
  }

  /** The sessions of clients whose application name is LIKE this, but for those of observers, the oldest first. */
  sessions(name = "%", database = "%"): Promise<Array<Session>> {
    return this.watch<Session & pg.QueryResultRow>(
      `SELECT pid, application_name AS application, datname AS database, state, wait_event AS "waitsFor", query
      FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND application_name LIKE $1 AND datname LIKE $2 AND application_name <> $3
      ORDER BY backend_start, pid`,
      [name, database, application]
    )
  }

  /** A new database, and its URL. */
  async createDatabase(name: string): Promise<string> {
    await this.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`)
    return this.url(name)
  }

  /** It may be used again. */
  async close(): Promise<void> {
    const { pool } = this
    this.pool = undefined
    await pool?.end()
  }

  protected async connected<A>(body: (client: pg.Client) => Promise<A>, database?: string): Promise<A> {
    const client = new pg.Client(this.configFor(database))
    // The query tells it as well.
    client.on("error", () => {})
    await client.connect()
    try {
      return await body(client)
    } finally {
      await client.end().catch(() => {})
    }
  }

  protected configFor(database = "postgres"): pg.ClientConfig {
    const { host, port } = this.address()
    return { host, port, user: "postgres", database, application_name: application }
  }

  /** By a connection that is kept, as a test may look often. */
  private async watch<R extends pg.QueryResultRow>(sql: string, values: Array<unknown>): Promise<Array<R>> {
    if (this.pool === undefined) {
      this.pool = new pg.Pool({ ...this.configFor(), max: 2, allowExitOnIdle: true })
      this.pool.on("error", () => {})
    }
    return (await this.pool.query<R>(sql, values)).rows
  }
}

/** Of the server that a URL leads to. */
export const observer = (url: string): Observer => {
  const { hostname, port } = new URL(url)
  return new Observer(() => ({ host: hostname, port: Number(port) }))
}

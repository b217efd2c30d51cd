/** A database of its own for the tests of a file, the hosts that use it for locks, and how to know when it is at rest. */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { ExternalLock } from "effect-locks"
import type * as PostgresLock from "effect-locks/PostgresLock"
import pg from "pg"
import { afterAll, inject } from "vitest"

const postgres = inject("postgres")

/** Why there is none. */
export const missing = "missing" in postgres ? postgres.missing : undefined

const name = `test_${process.pid}_${Math.random().toString(36).slice(2)}`

const urlOf = (database: string) => {
  const url = new URL("missing" in postgres ? "postgres://nowhere" : postgres.url)
  url.pathname = `/${database}`
  return url.href
}

export const url = urlOf(name)

const connect = async (database: string) => {
  const client = new pg.Client({ connectionString: urlOf(database), application_name: "test" })
  await client.connect()
  return client
}

/** Statements and connections under way, but those that wait for a lock. */
let underWay = 0
let waits = 0

const isWait = (query: unknown): boolean =>
  typeof query === "object" && query !== null &&
  /^effect_locks_lock(_shared)?$/.test(Reflect.get(query, "name") as string)

type Callback = (...given: Array<unknown>) => unknown

/** Counts what is under way from the call to its callback. */
const counting = (original: Callback, count: (call: ReadonlyArray<unknown>, by: 1 | -1) => void): Callback =>
  function(this: unknown, ...call) {
    const callback = call.at(-1)
    if (typeof callback !== "function") return original.apply(this, call)
    count(call, 1)
    let isCounted = true
    return original.apply(this, [
      ...call.slice(0, -1),
      (...given: ReadonlyArray<unknown>) => {
        if (isCounted) count(call, -1)
        isCounted = false
        return callback(...given)
      }
    ])
  }

const observe = (): void => {
  const { prototype } = pg.Client
  const set = (method: "connect" | "query" | "end", count: (call: ReadonlyArray<unknown>, by: 1 | -1) => void) =>
    Reflect.set(prototype, method, counting(Reflect.get(prototype, method) as Callback, count))
  const { connect } = prototype
  Reflect.set(prototype, "connect", function(this: pg.Client, ...call: Array<unknown>) {
    connections.push(this)
    return Reflect.apply(connect, this, call)
  })
  set("connect", (_, by) => underWay += by)
  set("end", (_, by) => underWay += by)
  set("query", ([query], by) => {
    if (isWait(query)) waits += by
    else underWay += by
  })
}

/** All connections that were made, ours too. */
export const connections: Array<pg.Client> = []

let observer: pg.Client | undefined

if (missing === undefined) {
  const server = await connect("postgres")
  await server.query(`CREATE DATABASE ${name}`)
  observer = await connect(name)
  observe()
  afterAll(async () => {
    await observer!.end()
    const made = await server.query("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", [name])
    for (const { datname } of made.rows) await server.query(`DROP DATABASE ${datname} WITH (FORCE)`)
    await server.end()
  })
}

const rows = async (sql: string): Promise<ReadonlyArray<Record<string, unknown>>> => (await observer!.query(sql)).rows

/** The locks that sessions have, or wait for. */
export const advisory = Effect.promise(() =>
  rows(
    "SELECT pid, mode, granted FROM pg_locks WHERE locktype = 'advisory' AND database = " +
      "(SELECT oid FROM pg_database WHERE datname = current_database())"
  )
)

/** The leases that there are. */
export const leases = Effect.promise(() => rows("SELECT * FROM effect_locks.lease"))

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** All have answered, but for the locks that they are known to wait for. */
const isAtRest = Effect.gen(function*() {
  for (let i = 0; i < 3; i++) {
    if (underWay > 0) return false
    yield* turn
  }
  if (waits === 0) return underWay === 0
  const waiting = (yield* advisory).filter(({ granted }) => granted === false)
  return underWay === 0 && waiting.length === waits
})

export const rest: Effect.Effect<void> = Effect.suspend(() =>
  Effect.flatMap(isAtRest, (yes) => yes ? Effect.void : Effect.zipRight(turn, rest))
)

type Make = typeof PostgresLock.layer

/** A host: what a process of its own would have, until its scope closes. */
export const scopedHost = (make: Make, options: PostgresLock.PostgresLockOptions = {}, of = url) =>
  Effect.orDie(Effect.map(
    Layer.build(Layer.provide(make(options), PgClient.layer({ url: Redacted.make(of), maxConnections: 1 }))),
    (services) => Context.get(services, ExternalLock)
  ))

/** One until the tests are over. */
export const host = (make: Make, options?: PostgresLock.PostgresLockOptions): Promise<ExternalLock> => {
  const scope = Effect.runSync(Scope.make())
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(Scope.extend(scopedHost(make, options), scope))
}

/** Another database, for tests that spoil what the locks need. */
export const another = Effect.promise(async () => {
  const made = `${name}_${Math.random().toString(36).slice(2)}`
  await observer!.query(`CREATE DATABASE ${made}`)
  return urlOf(made)
})

/** A connection of somebody else, which may have a transaction open. */
export const somebody = (of = url) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new pg.Client({ connectionString: of, application_name: "test" })
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    ),
    (client) => (sql: string) => Effect.promise(() => client.query<Record<string, unknown>>(sql))
  )

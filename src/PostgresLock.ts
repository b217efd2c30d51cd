/**
 * External locks by PostgreSQL: `lock(name, { external: true })` excludes all hosts that use one database.
 *
 * Needs `pg` and `@effect/sql-pg`.
 *
 * @since 0.1.0
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ExternalLock } from "./ExternalLock.ts"
import * as Key from "./internal/lockKey.ts"
import * as PostgresKey from "./internal/postgresKey.ts"
import * as PostgresLayers from "./internal/postgresLayers.ts"
import * as PostgresSchema from "./internal/postgresSchema.ts"
import type { ExternalLockError } from "./LockError.ts"

/**
 * How to use a database for locks.
 *
 * @since 0.1.0
 * @category models
 */
export interface PostgresLockOptions {
  /**
   * Programs that use one database and one namespace share their locks, others do
   * not meet. It must not contain a NUL.
   * @default "effect-locks"
   */
  readonly namespace?: string | undefined
  /**
   * How long nothing may be heard of a holder before its lock is given to others:
   * 2 seconds or more. A holder is told earlier, after 0.8 of it at most.
   *
   * Of `layer` it is what the server waits for when a machine or the way to it is gone
   * without a word; a holder that is merely slow or stopped keeps its lock. Of
   * `layerLease` it is the lease: whoever cannot renew it in time loses it.
   * @default "10 seconds"
   */
  readonly silence?: Duration.DurationInput | undefined
  /**
   * The schema of the sequence and the table that `migration` makes.
   * @default "effect_locks"
   */
  readonly schema?: string | undefined
  /**
   * Runs `migration` when something is missing. `false` fails instead: for users who may not create.
   * @default true
   */
  readonly migrate?: boolean | undefined
}

/**
 * Locks of PostgreSQL sessions. The holder of a free lock shares one session with all
 * others of this layer; who must wait does so in a session of its own, and has
 * the lock there. They are opened as the `PgClient` is configured, and never taken from its pool.
 *
 * - **Exclusion**: as long as the server sees the session of the holder, nobody else
 *   gets in, however slow the holder is. When a process dies its locks are free in
 *   milliseconds; when a machine or the network is gone, after `silence`.
 * - **Order**: strict arrival order among all processes; a shared and an exclusive
 *   request keep it too. Waiting needs no polling. Readers of one process that wait for one lock wait as one.
 * - **Fencing**: each grant has a `token`, which grows from grant to grant.
 * - **Loss**: when a session ends, all that is held in it is lost, and told.
 *   Failover loses all locks, and the server that takes over knows nothing of them.
 * - **Upgrade**: is tried once, and fails with `UpgradeConflict` when others read
 *   or wait for the lock.
 *
 * A pooler between the program and the server is refused: see `layerLease`. What else
 * these locks do not protect against is in docs/distributed.md.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Effect, Layer } from "effect"
 * import { lock, LockRegistry } from "effect-locks"
 * import * as PostgresLock from "effect-locks/PostgresLock"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const held = yield* lock("report", { external: true })
 *   yield* Effect.log(`no other host is here; what it writes carries ${held.token}`)
 * }))
 *
 * const database = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
 * const locks = PostgresLock.layer({ namespace: "reports" }).pipe(Layer.provide(database))
 *
 * Effect.runPromise(Effect.provide(program, Layer.merge(LockRegistry.layer, locks)))
 */
export const layer = (
  options: PostgresLockOptions = {}
): Layer.Layer<ExternalLock, ExternalLockError, PgClient> => PostgresLayers.session(PgClient, options)

/**
 * The same, with the options from a `Config`.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Effect, Layer } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 * import * as PostgresLock from "effect-locks/PostgresLock"
 *
 * const locks = PostgresLock.layerConfig({
 *   namespace: Config.withDefault(Config.string("LOCK_NAMESPACE"), "reports"),
 *   silence: Config.withDefault(Config.duration("LOCK_SILENCE"), "10 seconds")
 * })
 * const database = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
 *
 * const program = Effect.log("no other host is here").pipe(withLock("report", { external: true }))
 *
 * Effect.runPromise(
 *   Effect.provide(program, Layer.merge(LockRegistry.layer, Layer.provide(locks, database)))
 * )
 */
export const layerConfig = (
  config: Config.Config.Wrap<PostgresLockOptions>
): Layer.Layer<ExternalLock, ExternalLockError | ConfigError.ConfigError, PgClient> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(config), layer))

/**
 * Locks that are rows of a table, for where no session is one's own: behind a pooler
 * in transaction mode, or in functions that come and go. A row is a lease: it holds until a time of the
 * database's clock, and its holder renews it.
 *
 * It promises less than `layer`, so nothing chooses it but this name: a holder that
 * cannot renew in time, because its event loop, its process or its machine stands still,
 * or the database cannot be reached, loses the lock while it may be running on. It
 * is told after 0.8 of `silence`, or when it runs again. Let what it writes to
 * refuse old tokens: see `Fence`. The lock of a process that died is free after `silence`.
 *
 * There is no order among processes: who waits asks again and again, and writers
 * may be passed by readers.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Effect, Layer } from "effect"
 * import { LockRegistry, withLock } from "effect-locks"
 * import * as PostgresLock from "effect-locks/PostgresLock"
 *
 * const program = Effect.log("no other host is here").pipe(withLock("report", { external: true }))
 *
 * const pooler = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
 * const locks = PostgresLock.layerLease({ silence: "20 seconds" }).pipe(Layer.provide(pooler))
 *
 * Effect.runPromise(Effect.provide(program, Layer.merge(LockRegistry.layer, locks)))
 */
export const layerLease = (
  options: PostgresLockOptions = {}
): Layer.Layer<ExternalLock, ExternalLockError, PgClient> => PostgresLayers.lease(PgClient, options)

/**
 * The SQL that makes what the locks need: a schema with a sequence for tokens, and a
 * table for `layerLease`. It may be run again and again, by several at once, and changes nothing
 * of what is there. Layers run it when something is missing, unless `migrate` is `false`.
 *
 * @since 0.1.0
 * @category schema
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Effect } from "effect"
 * import * as PostgresLock from "effect-locks/PostgresLock"
 *
 * // As a user who may create schemas, before programs run as one who may not.
 * const program = Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(PostgresLock.migration()))
 *
 * const database = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
 *
 * Effect.runPromise(Effect.provide(program, database))
 */
export const migration = (
  { schema = PostgresSchema.defaultSchema }: Pick<PostgresLockOptions, "schema"> = {}
): string => PostgresSchema.migration(schema)

/**
 * The number under which PostgreSQL has the lock of a name: the first 64 bits of the
 * SHA-256 of namespace, prefix and name, with a NUL after each of the first two. With
 * it a lock is found in `pg_locks` (`classid` has the upper 32 bits and `objid` the
 * lower), and programs in other languages can take it by `pg_advisory_lock`.
 *
 * @since 0.1.0
 * @category schema
 * @example
 * import * as PostgresLock from "effect-locks/PostgresLock"
 *
 * const key = PostgresLock.keyOf("report", { namespace: "reports", prefix: "daily" })
 *
 * console.log(`SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = ${key}`)
 */
export const keyOf = (
  name: string,
  { namespace = PostgresLayers.defaultNamespace, prefix }:
    & Pick<PostgresLockOptions, "namespace">
    & { readonly prefix?: string | undefined } = {}
): bigint => PostgresKey.numberOf(namespace, Key.parse(prefix, name))

/** A worker that leads when it may: one of all workers at a time, on whatever hosts they run. */
import { NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer, Schedule } from "effect"
import { lock, LockRegistry } from "effect-locks"
import * as PostgresLock from "effect-locks/PostgresLock"

const me = process.argv[2] ?? "a worker"
const say = (what: string) => Console.log(`${me}: ${what}`)

/** The work of a leader: what it writes carries its token, and whoever is not the leader any more is refused. */
const write = (token: bigint) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    const written = yield* sql`
      UPDATE leader_log SET fence = ${token}::text::bigint, writer = ${me}, writes = writes + 1
      WHERE fence <= ${token}::text::bigint RETURNING writes`
    if (written.length === 0) return yield* Effect.fail(`token ${token} is stale`)
  })

const term = Effect.scoped(Effect.gen(function*() {
  const { lost, token } = yield* lock("leader", { external: true })
  yield* say(`leads with token ${token}`)
  // Until it is lost, or this process ends.
  yield* Effect.raceFirst(
    Effect.repeat(write(token!), Schedule.spaced("20 millis")),
    lost
  )
}))

/** Who has lost the lock, or could not ask for it, stands for the next term. */
const program = term.pipe(
  Effect.tapError((error) => say(String(error))),
  Effect.retry(Schedule.spaced("100 millis"))
)

const database = PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })
const locks = Layer.merge(LockRegistry.layer, PostgresLock.layer({ namespace: "leader" }))

NodeRuntime.runMain(Effect.provide(program, Layer.provideMerge(locks, database)))

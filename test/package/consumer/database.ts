/** Locks of a database that is not there: prints how it is told. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer } from "effect"
import { type ExternalLock, type ExternalLockError, LockRegistry, withLock } from "effect-locks"
import * as PostgresLock from "effect-locks/PostgresLock"

/** Of the client the configuration alone is read. */
const client = Layer.succeed(PgClient.PgClient, { config: { host: "127.0.0.1", port: 1 } } as PgClient.PgClient)

const locks: Layer.Layer<ExternalLock, ExternalLockError> = Layer.provide(
  PostgresLock.layer({ namespace: "consumer" }),
  client
)

const program = Effect.succeed("held").pipe(
  withLock("x", { external: true }),
  Effect.provide(Layer.merge(LockRegistry.layer, locks)),
  Effect.catchAll((error) => Effect.succeed(error._tag === "ExternalLockError" ? error.reason : error._tag))
)

Effect.runPromise(program).then(console.log)

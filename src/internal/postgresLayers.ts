/** The layers of PostgresLock: what they check first, what they promise, and how they end. */
import type { PgClient, PgClientConfig } from "@effect/sql-pg/PgClient"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { ExternalLock, type Guarantees, TypeId } from "../ExternalLock.ts"
import type { ExternalLockError } from "../LockError.ts"
import type { PostgresLockOptions } from "../PostgresLock.ts"
import { Leases } from "./leases.ts"
import { misuse } from "./misuse.ts"
import * as PostgresConnection from "./postgresConnection.ts"
import * as PostgresError from "./postgresError.ts"
import * as PostgresKey from "./postgresKey.ts"
import { PostgresLocks } from "./postgresLocks.ts"
import * as PostgresQuestions from "./postgresQuestions.ts"
import * as PostgresSchema from "./postgresSchema.ts"
import { Sessions } from "./postgresSessions.ts"
import * as PostgresSilence from "./postgresSilence.ts"

export const defaultNamespace = "effect-locks"

/** What both kinds of locks are made of. */
interface Given {
  readonly config: PgClientConfig
  readonly schema: string
  readonly silence: PostgresSilence.Silence
}

type Engine = Pick<ExternalLock, "acquire" | "tryAcquire"> & { readonly close: () => void }

const layerOf = (
  tag: Context.Tag<PgClient, PgClient>,
  { migrate = true, namespace = defaultNamespace, schema = PostgresSchema.defaultSchema, silence }: PostgresLockOptions,
  mayBePooled: boolean,
  promise: (silence: PostgresSilence.Silence) => Guarantees,
  engineOf: (given: Given) => Engine
): Layer.Layer<ExternalLock, ExternalLockError, PgClient> =>
  Layer.scoped(
    ExternalLock,
    Effect.flatMap(tag, ({ config }) => {
      if (PostgresKey.hasSeparator(namespace)) {
        throw misuse(`PostgresLock: the namespace ${JSON.stringify(namespace)} has a NUL in it; use another`)
      }
      const given = { config, schema, silence: PostgresSilence.make(silence ?? PostgresSilence.defaultSilence) }
      return Effect.map(
        Effect.zipRight(ready(given, mayBePooled, migrate), ending(() => engineOf(given))),
        ({ acquire, tryAcquire }) =>
          ExternalLock.of({
            [TypeId]: TypeId,
            guarantees: promise(given.silence),
            place: (key, lockPath) => {
              const objection = PostgresKey.objection(key, lockPath)
              return objection === undefined
                ? Effect.succeed(String(PostgresKey.numberOf(namespace, key)))
                : Effect.fail(objection)
            },
            acquire,
            tryAcquire
          })
      )
    })
  )

const ending = (make: () => Engine): Effect.Effect<Engine, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (engine) => Effect.sync(engine.close))

/** Looks whether the server will do, and makes what is missing. */
const ready = (
  { config, schema, silence }: Given,
  mayBePooled: boolean,
  migrate: boolean
): Effect.Effect<void, ExternalLockError> =>
  // Uninterruptible, as nobody else would close the connection.
  Effect.uninterruptible(
    PostgresConnection.open(config, PostgresSchema.settingUp(schema, silence), (client, answer) => {
      const objection = PostgresSchema.objection(answer, client, mayBePooled)
      const made = objection !== undefined
        ? Effect.fail(objection)
        : PostgresSchema.isThere(answer)
        ? Effect.void
        : migrate
        ? PostgresConnection.run(client, PostgresSchema.migration(schema))
        : Effect.fail(PostgresError.refuse(
          "Misconfigured",
          `has no schema ${
            JSON.stringify(schema)
          } with what locks need; run PostgresLock.migration, or let the layer do so`
        ))
      return Effect.ensuring(made, Effect.sync(() => PostgresConnection.end(client, true)))
    })
  )

export const session = (tag: Context.Tag<PgClient, PgClient>, options: PostgresLockOptions) =>
  layerOf(
    tag,
    options,
    false,
    ({ server }) => ({
      reach: "cluster",
      excludesWhile: { slow: true, paused: true, cutOff: false },
      freedOnDeath: "at once",
      starvationFree: true,
      arrivalOrder: true,
      fencing: true,
      shared: true,
      lossSeenWithin: Duration.millis(PostgresSilence.toldWithin * server)
    }),
    ({ config, schema, silence }) => {
      const questions = PostgresQuestions.make(PostgresSchema.sequenceOf(schema))
      return new PostgresLocks(new Sessions({ config, schema, silence, questions }), questions)
    }
  )

export const lease = (tag: Context.Tag<PgClient, PgClient>, options: PostgresLockOptions) =>
  layerOf(
    tag,
    options,
    true,
    ({ server }) => ({
      reach: "cluster",
      excludesWhile: { slow: false, paused: false, cutOff: false },
      freedOnDeath: "after a silence",
      starvationFree: false,
      arrivalOrder: false,
      fencing: true,
      shared: true,
      lossSeenWithin: Duration.millis(server)
    }),
    ({ config, schema, silence }) => new Leases(config, schema, silence)
  )

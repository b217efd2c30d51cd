/** A process of a host: holds and lets go as it is told. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Cause, Deferred, Effect, Exit, Layer, Option, Redacted, Runtime } from "effect"
import { LockRegistry, withLock } from "../../src/index.ts"
import * as PostgresLock from "../../src/PostgresLock.ts"
import { type Command, ready, type Saying, type Terms } from "./hostMessages.ts"

const { application, kind, silence, url } = JSON.parse(process.argv[2]!) as Terms

const say = (id: string, is: Saying["is"], text = "") =>
  Effect.sync(() => {
    process.send!({ id, is, text, at: String(process.hrtime.bigint()) } satisfies Saying)
  })

const gates = new Map<string, Deferred.Deferred<void>>()

const hold = (id: string, key: string) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    gates.set(id, gate)
    yield* say(id, "asks")
    const body = Effect.zipRight(say(id, "granted"), Deferred.await(gate))
    const exit = yield* Effect.exit(withLock(body, key, { external: true }))
    if (Exit.isSuccess(exit)) return yield* say(id, "ended")
    const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
    if (failure?._tag === "LockLost") return yield* say(id, "told", failure.message)
    yield* say(id, "failed", failure === undefined ? Cause.pretty(exit.cause) : `${failure._tag}: ${failure.message}`)
  })

const database = PgClient.layer({ url: Redacted.make(url), applicationName: application, maxConnections: 1 })
const layer = (kind === "session" ? PostgresLock.layer : PostgresLock.layerLease)({ silence })

const program = Effect.gen(function*() {
  const run = Runtime.runFork(yield* Effect.runtime<LockRegistry | Layer.Layer.Success<typeof layer>>())
  process.on("message", (command: Command) => {
    if ("hold" in command) run(hold(command.hold, command.key))
    else run(Deferred.succeed(gates.get(command.letGo)!, undefined))
  })
  process.send!(ready)
  yield* Effect.never
})

process.on("disconnect", () => process.exit(1))
Effect.runPromise(
  Effect.provide(program, Layer.merge(LockRegistry.layer, Layer.provide(layer, database)))
).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(2)
})

/**
 * Three worker processes and one lock: one of them leads. The leader is killed, and
 * another one goes on with a larger token, until one is left.
 *
 * Run: DATABASE_URL=postgres://… npx tsx docs/leader/main.ts, or npm run leader, which starts a server for it
 */
import { NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Deferred, Effect, Schedule } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

interface Term {
  readonly leader: string
  readonly token: bigint
}

/** Starts workers; `leads` is called for each that begins to lead. */
const start = (names: ReadonlyArray<string>, leads: (term: Term) => void): ReadonlyMap<string, ChildProcess> =>
  new Map(names.map((name) => {
    const child = fork(worker, [name], { stdio: ["ignore", "pipe", "inherit", "ipc"] })
    createInterface(child.stdout!).on("line", (line) => {
      console.log(line)
      const token = /leads with token (\d+)/.exec(line)?.[1]
      if (token !== undefined) leads({ leader: name, token: BigInt(token) })
    })
    return [name, child]
  }))

const program = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  yield* sql`CREATE TABLE IF NOT EXISTS leader_log (fence bigint NOT NULL, writer text NOT NULL, writes int NOT NULL)`
  yield* sql`DELETE FROM leader_log`
  yield* sql`INSERT INTO leader_log VALUES (0, 'nobody', 0)`

  const names = ["worker 1", "worker 2", "worker 3"]
  const terms = yield* Effect.forEach(names, () => Deferred.make<Term>())
  let begun = 0
  const workers = yield* Effect.acquireRelease(
    Effect.sync(() => start(names, (term) => Deferred.unsafeDone(terms[begun++]!, Effect.succeed(term)))),
    (workers) => Effect.sync(() => workers.forEach((child) => child.kill("SIGKILL")))
  )

  let before: Term = { leader: "nobody", token: 0n }
  for (const next of terms) {
    const term = yield* Deferred.await(next)
    if (term.token <= before.token) return yield* Effect.dieMessage(`token ${term.token} after ${before.token}`)
    // It works as the leader: what is written last is its own.
    yield* Effect.retry(
      Effect.filterOrFail(
        sql<{ readonly writer: string }>`SELECT writer FROM leader_log`,
        ([row]) => row?.writer === term.leader,
        () => "it has written nothing yet"
      ),
      Schedule.spaced("5 millis")
    )
    yield* Console.log(`${term.leader} writes, and is killed`)
    const killed = Date.now()
    workers.get(term.leader)!.kill("SIGKILL")
    const following = terms[terms.indexOf(next) + 1]
    if (following !== undefined) {
      const { leader } = yield* Deferred.await(following)
      yield* Console.log(`${leader} took over after ${Date.now() - killed} ms`)
    }
    before = term
  }
  yield* Console.log("every term had a larger token than the one before, and nobody led beside another")
}).pipe(Effect.scoped, Effect.timeout("50 seconds"))

NodeRuntime.runMain(Effect.provide(program, PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })))

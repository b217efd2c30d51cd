/** A process that holds locks as it is told. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, LogLevel, ManagedRuntime, Queue, Redacted } from "effect"
import { existsSync } from "node:fs"
import { ExternalLock } from "../../../src/ExternalLock.ts"
import { lock, LockRegistry, withLock } from "../../../src/index.ts"
import * as PostgresLock from "../../../src/PostgresLock.ts"
import { type Ask, clock, type Command, type Order, type Saying, type Terms, type Visit, type Why } from "./protocol.ts"

const terms = JSON.parse(process.argv[2]!) as Terms
const { application, connectTimeout, layer, silence, url } = terms

const say = (saying: Saying): void => {
  process.send!(saying)
}

const locks = (layer === "session" ? PostgresLock.layer : PostgresLock.layerLease)({ silence })
const database = PgClient.layer({
  url: Redacted.make(url),
  applicationName: application,
  connectTimeout,
  maxConnections: 1,
  idleTimeout: "1 second"
})
const runtime = ManagedRuntime.make(
  Layer.mergeAll(LockRegistry.layer, Layer.provide(locks, database), Logger.minimumLogLevel(LogLevel.None))
)

const whyOf = (cause: Cause.Cause<unknown>): Why => {
  const error: any = Cause.squash(cause)
  return { tag: error._tag ?? error.name, reason: error.reason, message: String(error.message) }
}

/** By how much a timer was late in the last two silences: how slow this process was. */
const lateness: Array<{ readonly at: number; readonly late: number }> = []
const every = 20
let due = clock() + every
setInterval(() => {
  const at = clock()
  if (at - due > every) lateness.push({ at, late: at - due })
  while (lateness.length > 0 && at - lateness[0]!.at > 2 * silence) lateness.shift()
  due = at + every
}, every).unref()
const late = () => Math.max(0, clock() - due, ...lateness.map(({ late }) => late))

const orders = new Map<number, Queue.Queue<Order>>()

const still = new Int32Array(new SharedArrayBuffer(4))

const obey = (id: number, order: Exclude<Order, { readonly do: "let go" }>): void => {
  if (order.do === "block") {
    say({ say: "blocked", id, at: clock() })
    while (!existsSync(order.until)) Atomics.wait(still, 0, 0, 10)
  }
  say({ say: "write", id, at: clock() })
}

const out = (id: number, lost: string | undefined): void => say({ say: "out", id, at: clock(), lost, late: late() })

const body = (id: number, token: bigint | undefined) =>
  Effect.gen(function*() {
    say({ say: "granted", id, at: clock(), token: token === undefined ? undefined : String(token) })
    const queue = orders.get(id)!
    while (true) {
      const order = yield* Queue.take(queue)
      if (order.do === "let go") return out(id, undefined)
      obey(id, order)
    }
  })

const external = { external: true } as const

const holding = (id: number, { guarded, key, ...options }: Ask) =>
  guarded
    ? withLock(Effect.onInterrupt(body(id, undefined), () => Effect.sync(() => out(id, "interrupted"))), key, {
      ...options,
      ...external
    })
    : Effect.scoped(
      Effect.flatMap(lock(key, { ...options, ...external }), ({ lost, token }) =>
        Effect.raceFirst(
          body(id, token),
          Effect.tapError(lost, ({ explanation }) => Effect.sync(() => out(id, explanation)))
        ))
    )

const visit = (visits: Array<Visit>, token: bigint | undefined) =>
  Effect.suspend(() => {
    const entered = clock()
    return Effect.map(Effect.sleep(Math.random() * 2), () => {
      visits.push({ entered, left: clock(), token: String(token) })
    })
  })

const repeating = ({ key, mode }: Ask, times: number, visits: Array<Visit>) =>
  Effect.repeatN(
    Effect.scoped(Effect.flatMap(lock(key, { mode, ...external }), ({ token }) => visit(visits, token))),
    times - 1
  )

/** Each asks on its own, as if it were a process of its own. */
const storming = (id: number, { key, mode }: Ask, fibers: number, within: number, visits: Array<Visit>) =>
  Effect.gen(function*() {
    const begun = yield* Deferred.make<void>()
    const limit = Effect.suspend(() => Effect.zipRight(Deferred.await(begun), Effect.sleep(Math.random() * within)))
    const visiting = Effect.scoped(
      Effect.flatMap(
        ExternalLock.acquire(key, { mode }),
        ({ token }) => Effect.uninterruptible(visit(visits, token))
      )
    )
    const storm = yield* Effect.fork(
      Effect.forEach(Array.from({ length: fibers }), () => Effect.exit(Effect.raceFirst(visiting, limit)), {
        concurrency: "unbounded"
      })
    )
    yield* Queue.take(orders.get(id)!)
    yield* Deferred.succeed(begun, undefined)
    return yield* Fiber.join(storm)
  })

const follow = (command: Command): unknown => {
  switch (command.do) {
    case "hold": {
      const { ask, id } = command
      orders.set(id, Effect.runSync(Queue.unbounded()))
      return runtime.runFork(holding(id, ask)).addObserver((exit) =>
        say({ say: "over", id, at: clock(), why: Exit.isFailure(exit) ? whyOf(exit.cause) : undefined })
      )
    }
    case "order":
      return Queue.unsafeOffer(orders.get(command.id)!, command.order)
    case "repeat": {
      const { ask, id, times } = command
      const visits: Array<Visit> = []
      return runtime.runFork(repeating(ask, times, visits)).addObserver((exit) => {
        if (Exit.isSuccess(exit)) say({ say: "visits", id, visits })
        else say({ say: "over", id, at: clock(), why: whyOf(exit.cause) })
      })
    }
    case "storm": {
      const { ask, fibers, id, within } = command
      const visits: Array<Visit> = []
      orders.set(id, Effect.runSync(Queue.unbounded()))
      return runtime.runPromise(storming(id, ask, fibers, within, visits)).then((exits) =>
        say({
          say: "stormed",
          id,
          visits,
          failures: exits.flatMap((exit) => Exit.isFailure(exit) ? [whyOf(exit.cause)] : [])
        })
      )
    }
    case "stop":
      process.off("disconnect", orphaned)
      // It ends by itself then.
      return runtime.dispose().then(() => process.disconnect())
  }
}

/** Who started it is gone. */
const orphaned = () => process.exit(1)

process.on("message", follow)
process.on("disconnect", orphaned)

runtime.runCallback(Effect.void, {
  onExit: (exit) => say(Exit.isSuccess(exit) ? { say: "ready" } : { say: "refused", why: whyOf(exit.cause) })
})

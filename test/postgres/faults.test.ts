/**
 * What goes wrong between processes, and what comes of it: who held a lock when, who was told of a loss and before
 * whom, what was written, and what is left at the server. All processes and servers are real.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { ExternalLockError, lock, type LockOptions, LockRegistry } from "effect-locks"
import type { ExternalLock } from "effect-locks/ExternalLock"
import * as PostgresLock from "effect-locks/PostgresLock"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { afterAll, assert, beforeAll, describe, inject, it } from "vitest"
import { findPgBouncer } from "./binaries.ts"
import { clock } from "./faults/protocol.ts"
import { type Kind, Trial, until } from "./faults/trial.ts"
import { type Attempt, compile, type Worker } from "./faults/workers.ts"
import { type Observer, observer } from "./observer.ts"
import { pgBouncer } from "./pgbouncer.ts"
import { type Server, start } from "./server.ts"

const shared = inject("postgres")
const isMissing = "missing" in shared
const pgBouncerIsMissing = "missing" in findPgBouncer()
// eslint-disable-next-line no-console
if (pgBouncerIsMissing) console.log("skipped: PgBouncer is not installed")

let program: string
let server: Observer
const endings: Array<() => unknown> = []

beforeAll(async () => {
  if ("missing" in shared) return
  const compiled = await compile()
  program = compiled.program
  server = observer(shared.url)
  endings.push(compiled.remove, () => server.close())
}, 60_000)

/** In milliseconds; shown when `FAULT_TIMES` is set. */
const times: Array<string> = []
const measure = (what: string, from: number, to: number): void => {
  times.push(`${what}: ${(to - from).toFixed(1)} ms`)
}

afterAll(async () => {
  for (const end of endings.reverse()) await end()
  // eslint-disable-next-line no-console
  if (process.env["FAULT_TIMES"]) console.log(times.sort().join("\n"))
})

const run = async (
  at: Observer,
  kind: Kind,
  silence: number,
  body: (trial: Trial, kind: Kind) => Promise<void>
): Promise<void> => {
  const trial = new Trial(program, at, kind, silence)
  await trial.server.createDatabase(trial.database)
  try {
    await body(trial, kind)
    await trial.conclude()
  } finally {
    await trial.clean()
  }
}

const titles = { session: "PostgresLock.layer", lease: "PostgresLock.layerLease" } as const

type Body = (trial: Trial, kind: Kind) => Promise<void>

/** Asks until it is granted; that the server cannot be asked is the only excuse. */
const eventually = async (worker: Worker, key: string): Promise<Attempt> => {
  const attempt = worker.hold({ key })
  const failure = await attempt.granted.promise.then(() => undefined, () => attempt.failure)
  if (failure === undefined) return attempt
  assert.deepStrictEqual([failure.tag, failure.reason], ["ExternalLockError", "Unavailable"])
  return eventually(worker, key)
}

const concurrent = { concurrent: true, timeout: 120_000 } as const

const fault = (kinds: ReadonlyArray<Kind>, title: string, silence: number, body: Body): void => {
  for (const kind of kinds) {
    it(`${titles[kind]}: ${title}`, () => run(server, kind, silence, body))
  }
}

const both = ["session", "lease"] as const

/** Told before the other was granted, unless its process was too slow to know of anything. */
const toldBefore = async (told: Attempt, next: Attempt): Promise<void> => {
  const { at, late, lost } = await told.out.promise
  const granted = await next.granted.promise
  assert.isDefined(lost, `${told.worker.name} was told`)
  const { silence } = told.worker.terms
  measure(`${told.worker.terms.layer}: told before the next is in`, at, granted.at)
  if (at >= granted.at) {
    assert.isAbove(late, silence / 10, `${told.worker.name} was told ${at - granted.at} ms after ${next.worker.name}`)
  }
}

const lost = async (attempt: Attempt): Promise<string> => {
  const { why } = await attempt.over.promise
  assert.strictEqual(why?.tag, "LockLost")
  return why!.message
}

const kept = async (attempt: Attempt): Promise<void> => {
  assert.isUndefined(await attempt.letGo(), `${attempt.worker.name} lost it`)
}

describe.skipIf(isMissing)("a process that is killed", concurrent, () => {
  fault(both, "lets in who waits", 2000, async (trial, kind) => {
    const [a, b, c] = await trial.start(["a", "b", "c"])
    const first = a.hold({ key: "x" })
    await first.granted.promise
    const second = await trial.queue(b, "x")
    const third = await trial.queue(c, "x")
    const killed = clock()
    await a.kill()
    // There is an order among sessions alone.
    const next = kind === "session" ? second : await Promise.race([second, third].map(async (attempt) => {
      await attempt.granted.promise
      return attempt
    }))
    const last = next === second ? third : second
    measure(`${kind}: killed, next in`, killed, (await next.granted.promise).at)
    assert.isUndefined(last.granted.value)
    const killedNext = clock()
    await next.worker.kill()
    measure(`${kind}: killed who had waited, next in`, killedNext, (await last.granted.promise).at)
    await kept(last)
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(both, "while it waits is in nobody's way", 2000, async (trial, kind) => {
    const [a, b, c] = await trial.start(["a", "b", "c"])
    const first = a.hold({ key: "x" })
    await first.granted.promise
    await trial.queue(b, "x")
    const third = await trial.queue(c, "x")
    await b.kill()
    const released = clock()
    await kept(first)
    measure(`${kind}: first waiter killed, holder lets go, next in`, released, (await third.granted.promise).at)
    await kept(third)
    assert.deepStrictEqual(trial.register.overlaps, [])
  })
})

describe.skipIf(isMissing)("a process that stands still", concurrent, () => {
  fault(["session"], "keeps its lock when it is stopped, and nobody is told of a loss", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    a.stop()
    await trial.nobody(waiting)
    a.continue()
    held.order({ do: "write" })
    // It has looked at its sessions since.
    await sleep(trial.silence / 2)
    await kept(held)
    await waiting.granted.promise
    await kept(waiting)
    assert.deepStrictEqual(trial.register.fenced, ["a"])
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(
    ["session"],
    "keeps its lock when its event loop is blocked, and nobody is told of a loss",
    2000,
    async (trial) => {
      const [a, b] = await trial.start(["a", "b"])
      const held = a.hold({ key: "x" })
      await held.granted.promise
      const waiting = await trial.queue(b, "x")
      const { file, give } = trial.signal()
      held.order({ do: "block", until: file })
      await held.blocked.promise
      await trial.nobody(waiting)
      give()
      await until(async () => held.writes === 1, "it goes on")
      await sleep(trial.silence / 2)
      await kept(held)
      await waiting.granted.promise
      await kept(waiting)
      assert.deepStrictEqual(trial.register.fenced, ["a"])
      assert.deepStrictEqual(trial.register.overlaps, [])
    }
  )

  const loses = (isStopped: boolean) => async (trial: Trial) => {
    const what = isStopped ? "stopped" : "blocked"
    const [a, b] = await trial.start(["a", "b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    held.order({ do: "write" })
    const { file, give } = trial.signal()
    const since = clock()
    held.order({ do: "block", until: file })
    await held.blocked.promise
    if (isStopped) a.stop()
    measure(`lease: ${what}, next in`, since, (await waiting.granted.promise).at)
    waiting.order({ do: "write" })
    await until(async () => waiting.writes === 1, "it has written")
    give()
    const resumed = clock()
    a.continue()
    const told = await held.out.promise
    measure(`lease: ${what} and goes on, told`, resumed, told.at)
    assert.isDefined(told.lost)
    assert.include(await lost(held), "renewed")
    waiting.order({ do: "write" })
    await kept(waiting)
    assert.deepStrictEqual(trial.register.unfenced, ["a", "b", "a", "b"])
    assert.deepStrictEqual(trial.register.fenced, ["a", "b", "b"])
    assert.deepStrictEqual(trial.register.refused, ["a"])
    assert.deepStrictEqual(trial.register.overlaps.map(({ after, before }) => [before, after]), [["a", "b"]])
  }
  fault(["lease"], "loses its lock when it is stopped, is told when it goes on, and writes nothing", 2000, loses(true))
  fault(
    ["lease"],
    "loses its lock when its event loop is blocked, is told after, and writes nothing",
    2000,
    loses(false)
  )

  fault(["lease"], "and is stopped while nothing runs is told before it does anything", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    a.stop()
    await waiting.granted.promise
    waiting.order({ do: "write" })
    await until(async () => waiting.writes === 1, "it has written")
    held.order({ do: "write" })
    const resumed = clock()
    a.continue()
    const told = await held.out.promise
    measure("lease: stopped idle and goes on, told", resumed, told.at)
    await lost(held)
    await kept(waiting)
    assert.deepStrictEqual(trial.register.fenced, ["b"])
    times.push(`lease: stopped idle, writes before it was told: ${trial.register.refused.length}`)
  })
})

describe.skipIf(isMissing)("a session that the server ends", concurrent, () => {
  fault(["session"], "takes all its locks with it; all holders are told", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const held = [a.hold({ key: "x" }), a.hold({ key: "y" }), a.hold({ key: "guarded", guarded: true })]
    await Promise.all(held.map(({ granted }) => granted.promise))
    const next = await trial.queue(b, "x")
    const pids = new Set((await trial.advisoryOf(a)).map(({ pid }) => pid))
    assert.strictEqual(pids.size, 1, "in one session")
    const ended = clock()
    await trial.server.query("SELECT pg_terminate_backend($1)", [...pids])
    for (const attempt of held) {
      const { at } = await attempt.out.promise
      measure(`session: terminated, told (${attempt.ask.key})`, ended, at)
      assert.include(await lost(attempt), "terminating connection due to administrator command")
    }
    measure("session: terminated, next in", ended, (await next.granted.promise).at)
    // The server told it first, but the news may arrive later than the lock.
    for (const { milliseconds } of trial.register.overlaps) assert.isBelow(milliseconds, trial.silence * 0.8)
    times.push(`session: terminated, both inside for: ${JSON.stringify(trial.register.overlaps)}`)
    // The same layer opens another.
    await kept(next)
    const again = a.hold({ key: "x" })
    await again.granted.promise
    await kept(again)
  })

  fault(["session"], "of somebody who had waited for it takes that lock alone", 2000, async (trial) => {
    const [a, b, c] = await trial.start(["a", "b", "c"])
    const first = a.hold({ key: "x" })
    await first.granted.promise
    const second = await trial.queue(b, "x")
    const other = b.hold({ key: "other" })
    await other.granted.promise
    await kept(first)
    await second.granted.promise
    const third = await trial.queue(c, "x")
    const key = (await trial.advisoryOf(c)).find(({ granted }) => !granted)!.key
    const { pid } = (await trial.advisoryOf(b)).find((lock) => lock.key === key)!
    await trial.server.query("SELECT pg_terminate_backend($1)", [pid])
    await lost(second)
    await third.granted.promise
    await kept(third)
    await kept(other)
  })

  fault(["session"], "while somebody waits in it is an error for them, and for nobody else", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const first = a.hold({ key: "x" })
    await first.granted.promise
    const second = await trial.queue(b, "x")
    const { pid } = (await trial.advisoryOf(b)).find(({ granted }) => !granted)!
    await trial.server.query("SELECT pg_terminate_backend($1)", [pid])
    const { message, reason, tag } = await second.failure
    assert.deepStrictEqual([tag, reason], ["ExternalLockError", "Unavailable"])
    assert.include(message, "terminating connection")
    const again = await trial.queue(b, "x")
    await kept(first)
    await again.granted.promise
    await kept(again)
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(["lease"], "is nobody's loss", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    for (let i = 0; i < 3; i++) {
      for (const worker of [a, b]) {
        for (const { pid } of await trial.sessionsOf(worker)) {
          await trial.server.query("SELECT pg_terminate_backend($1)", [pid])
        }
      }
      await sleep(trial.silence / 3)
    }
    assert.isUndefined(held.out.value)
    // Whoever asked just then is told so.
    if (waiting.over.value !== undefined) {
      assert.deepStrictEqual([waiting.over.value.why?.tag, waiting.over.value.why?.reason], [
        "ExternalLockError",
        "Unavailable"
      ])
    }
    await trial.nobody(...waiting.over.value === undefined ? [waiting] : [])
    await kept(held)
    if (waiting.over.value === undefined) {
      await waiting.granted.promise
      await kept(waiting)
    }
    assert.deepStrictEqual(trial.register.overlaps, [])
  })
})

describe.skipIf(isMissing)("a server that crashes", concurrent, () => {
  /** One that loses what was not asked to be kept. */
  const crashing = (body: (server: Server) => Promise<void>) => async () => {
    const server = await start({ settings: { fsync: "on", synchronous_commit: "off", wal_writer_delay: "10s" } })
    try {
      await body(server)
    } finally {
      await server.remove()
    }
  }

  const crash = (server: Server) => async (trial: Trial, kind: Kind) => {
    const [a, b] = await trial.start(["a", "b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    const crashed = clock()
    await server.crash()
    const told = await held.out.promise
    measure(`${kind}: crashed, told`, crashed, told.at)
    await lost(held)
    const { reason, tag } = await waiting.failure
    assert.deepStrictEqual([tag, reason], ["ExternalLockError", "Unavailable"])
    // Nobody is told anything else while it is away.
    const down = await b.hold({ key: "y" }).failure
    assert.deepStrictEqual([down.tag, down.reason], ["ExternalLockError", "Unavailable"])
    assert.include(down.message, "try again")
    await server.restart()
    const restarted = clock()
    const again = b.hold({ key: "x" })
    measure(`${kind}: restarted, next in`, restarted, (await again.granted.promise).at)
    const next = await trial.queue(a, "x")
    await kept(again)
    await next.granted.promise
    await kept(next)
    assert.deepStrictEqual(trial.register.overlaps, [])
    // Nothing is left to the next flush of the log.
    for (let i = 0; i < 3; i++) {
      await server.query("CHECKPOINT")
      const before = a.hold({ key: "z" })
      await before.granted.promise
      await server.crash()
      await lost(before)
      await server.restart()
    }
    const last = a.hold({ key: "z" })
    await last.granted.promise
    await kept(last)
    times.push(`${kind}: tokens: ${trial.register.stays.map(({ token }) => token).join()}`)
  }

  for (const kind of both) {
    it(
      `${titles[kind]}: has freed all; holders and waiters are told, the same layer goes on, and no token comes twice`,
      crashing((server) => run(server, kind, 2000, crash(server)))
    )
  }

  it(
    `${titles.lease}: and is back before the lease ends is nobody's loss`,
    crashing((server) =>
      run(server, "lease", 30_000, async (trial) => {
        const [a, b] = await trial.start(["a", "b"])
        const held = a.hold({ key: "x" })
        await held.granted.promise
        await server.crash()
        await server.restart()
        const waiting = await trial.queue(b, "x")
        assert.isUndefined(waiting.granted.value)
        await kept(held)
        await waiting.granted.promise
        await kept(waiting)
        assert.deepStrictEqual(trial.register.overlaps, [])
      })
    )
  )

  it(
    "takes back a number that nobody asked it to keep, which is why the tokens do",
    crashing(async (server) => {
      await server.query("CREATE SEQUENCE numbers")
      await server.query("CHECKPOINT")
      const next = async () => (await server.query("SELECT nextval('numbers')::int AS number"))[0]!["number"]
      const before = await next()
      await server.crash()
      await server.restart()
      assert.isAtMost(await next(), before)
    })
  )
})

describe.skipIf(isMissing)("a network that goes silent", concurrent, () => {
  fault(["session"], "is noticed by a holder before the server would", 3000, async (trial) => {
    const { network, url } = await trial.network()
    const [a] = await trial.start(["a"], url)
    const [b] = await trial.start(["b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    network.pause()
    const paused = clock()
    const { at, late } = await held.out.promise
    measure("session: silent, told", paused, at)
    assert.isBelow(at - paused, trial.silence + late)
    assert.include(await lost(held), "has not answered")
    // The end of it got nowhere; the server hears of it now.
    assert.isUndefined(waiting.granted.value)
    network.cut()
    await toldBefore(held, waiting)
    await kept(waiting)
    network.resume()
    const again = a.hold({ key: "x" })
    await again.granted.promise
    await kept(again)
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(["lease"], "is noticed by a holder before the lease ends", 4000, async (trial) => {
    const { network, url } = await trial.network()
    const [a] = await trial.start(["a"], url)
    const [b] = await trial.start(["b"])
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    network.pause()
    const paused = clock()
    const { at, late } = await held.out.promise
    measure("lease: silent, told", paused, at)
    assert.isBelow(at - paused, trial.silence + late)
    assert.include(await lost(held), "could not be renewed")
    measure("lease: silent, next in", paused, (await waiting.granted.promise).at)
    await toldBefore(held, waiting)
    await kept(waiting)
    network.resume()
    const again = a.hold({ key: "x" })
    await again.granted.promise
    await kept(again)
  })

  fault(both, "is noticed by who waits, and leaves nothing in the way of others", 2000, async (trial, kind) => {
    trial.connectTimeout = 2000
    const { network, url } = await trial.network()
    const [a, c] = await trial.start(["a", "c"])
    const [b] = await trial.start(["b"], url)
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    network.pause()
    const paused = clock()
    const { reason, tag } = await waiting.failure
    measure(`${kind}: silent, waiter told`, paused, clock())
    assert.deepStrictEqual([tag, reason], ["ExternalLockError", "Unavailable"])
    network.cut()
    network.resume()
    await kept(held)
    const next = c.hold({ key: "x" })
    await next.granted.promise
    const again = await trial.queue(b, "x")
    await kept(next)
    await again.granted.promise
    await kept(again)
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(["session"], "is noticed by who waits when the main session has ended before", 2000, async (trial) => {
    trial.connectTimeout = 2000
    const { network, url } = await trial.network()
    const [a] = await trial.start(["a"])
    const [b] = await trial.start(["b"], url)
    const held = a.hold({ key: "x" })
    await held.granted.promise
    const waiting = await trial.queue(b, "x")
    const { pid } = (await trial.advisoryOf(b)).find(({ granted }) => !granted)!
    for (const session of await trial.sessionsOf(b)) {
      if (session.pid !== pid) await trial.server.query("SELECT pg_terminate_backend($1)", [session.pid])
    }
    await until(async () => (await trial.sessionsOf(b)).length === 1, "it has ended")
    network.pause()
    const noticed = await Promise.race([waiting.failure, sleep(4 * trial.silence)])
    assert.deepStrictEqual([noticed?.tag, noticed?.reason], ["ExternalLockError", "Unavailable"])
    network.cut()
    network.resume()
    await kept(held)
  })

  fault(both, "while nothing is held is in nobody's way later", 2000, async (trial, kind) => {
    trial.connectTimeout = 2000
    const { network, url } = await trial.network()
    const [a] = await trial.start(["a"], url)
    const held = a.hold({ key: "x" })
    await held.granted.promise
    await kept(held)
    network.pause()
    trial.late = 1
    const paused = clock()
    const { reason, tag } = await a.hold({ key: "x" }).failure
    measure(`${kind}: silent while idle, told`, paused, clock())
    assert.deepStrictEqual([tag, reason], ["ExternalLockError", "Unavailable"])
    network.resume()
    const again = a.hold({ key: "x" })
    await again.granted.promise
    await kept(again)
    network.cut()
    await kept(await eventually(a, "x"))
    assert.deepStrictEqual(trial.register.overlaps, [])
  })

  fault(both, "fails those who ask meanwhile, and leaves no connection behind", 2000, async (trial) => {
    trial.connectTimeout = 2000
    const { network, url } = await trial.network()
    const [a] = await trial.start(["a"], url)
    const held = a.hold({ key: "0" })
    await held.granted.promise
    await kept(held)
    network.pause()
    trial.late = 8
    const asking = Array.from({ length: trial.late }, (_, i) => a.hold({ key: String(i) }))
    const { reason, tag } = await Promise.race(asking.map(({ failure }) => failure))
    assert.deepStrictEqual([tag, reason], ["ExternalLockError", "Unavailable"])
    network.resume()
    for (const attempt of asking) {
      const granted = await attempt.granted.promise.then(() => true, () => false)
      if (granted) await kept(attempt)
    }
    await kept(await eventually(a, "0"))
    await until(async () => (await trial.sessionsOf(a)).length === 1, "it has one session")
  })
})

// It keeps others from making and dropping databases, so it has a server of its own.
describe.skipIf(isMissing || process.platform === "win32")(
  "a process of the server that stands still",
  concurrent,
  () => {
    const freezing = (kind: Kind, body: Body) => async () => {
      const server = await start()
      try {
        await run(server, kind, 2000, body)
      } finally {
        await server.remove()
      }
    }
    const freeze = (trial: Trial, pids: ReadonlyArray<number>) => {
      for (const pid of pids) process.kill(pid, "SIGSTOP")
      let isFrozen = true
      const go = () => {
        if (isFrozen) { for (const pid of pids) process.kill(pid, "SIGCONT") }
        isFrozen = false
      }
      trial.finally(go)
      return go
    }

    const held: Body = async (trial) => {
      const [a, b] = await trial.start(["a", "b"])
      const held = a.hold({ key: "x" })
      await held.granted.promise
      const waiting = await trial.queue(b, "x")
      const go = freeze(trial, (await trial.advisoryOf(a)).map(({ pid }) => pid))
      await lost(held)
      await trial.nobody(waiting)
      go()
      await waiting.granted.promise
      await kept(waiting)
      assert.deepStrictEqual(trial.register.overlaps, [])
    }

    const idle: Body = async (trial, kind) => {
      const [a] = await trial.start(["a"])
      const held = a.hold({ key: "x" })
      await held.granted.promise
      await kept(held)
      const go = freeze(trial, (await trial.sessionsOf(a)).map(({ pid }) => pid))
      const asked = clock()
      const again = await eventually(a, "x")
      trial.late = 1
      measure(`${kind}: frozen while idle, in`, asked, (await again.granted.promise).at)
      await kept(again)
      go()
    }

    it(
      `${titles.session}: is noticed by the holder, and nobody gets in until the server has ended it`,
      freezing("session", held)
    )
    for (const kind of both) it(`${titles[kind]}: is replaced when it is needed`, freezing(kind, idle))
  }
)

describe.skipIf(isMissing || pgBouncerIsMissing)("PgBouncer in transaction mode", concurrent, () => {
  /** A pooler that keeps so many sessions. */
  const pooled = async (trial: Trial, size: number): Promise<string> => {
    const { hostname, port } = new URL(trial.url)
    const bouncer = await pgBouncer({ host: hostname, port: Number(port) }, size)
    if ("missing" in bouncer) return assert.fail(bouncer.missing)
    // Its sessions stay for as long as it does.
    trial.afterwards(() => bouncer.stop())
    return bouncer.url(trial.database)
  }

  fault(["session"], "is refused, and told what to use", 2000, async (trial) => {
    const url = await pooled(trial, 1)
    const error = await refusal(PostgresLock.layer(), { url: Redacted.make(url) })
    assert.strictEqual(error.reason, "Unsupported")
    assert.include(error.message, "layerLease")
  })

  for (const size of [1, 4]) {
    fault(["lease"], `excludes others also when all share ${size} of its sessions`, 4000, async (trial) => {
      const workers = await trial.start(["a", "b"], await pooled(trial, size))
      const began = clock()
      await Promise.all(workers.map((worker) => worker.repeat({ key: "x" }, 100)))
      measure(`lease: 200 grants through ${size} sessions of PgBouncer`, began, clock())
      assert.lengthOf(trial.register.stays, 200)
      assert.deepStrictEqual(trial.register.overlaps, [])
      const [a, b] = workers
      const held = a.hold({ key: "x" })
      await held.granted.promise
      const next = b.hold({ key: "x" })
      // A lease that nobody renews would be over.
      await sleep(1.25 * trial.silence)
      assert.isUndefined(next.granted.value)
      await kept(held)
      await next.granted.promise
      await kept(next)
    })
  }
})

describe.skipIf(isMissing)("many who wait at once", concurrent, () => {
  fault(["session"], "are all served, also where a session is left from somebody who waited", 2000, async (trial) => {
    const [a, b] = await trial.start(["a", "b"])
    const first = a.hold({ key: "x" })
    await first.granted.promise
    const second = await trial.queue(b, "x")
    await kept(first)
    await second.granted.promise
    await kept(second)
    const keys = ["x", "y", "z"]
    const held = keys.map((key) => a.hold({ key }))
    for (const { granted } of held) await granted.promise
    const waiting = keys.map((key) => b.hold({ key }))
    await until(async () => (await trial.advisoryOf(b)).length === keys.length, "all wait")
    for (const attempt of held) await kept(attempt)
    for (const attempt of waiting) {
      await attempt.granted.promise
      await kept(attempt)
    }
    assert.deepStrictEqual(trial.register.overlaps, [])
  })
  const storm = (names: ReadonlyArray<string>, fibers: number) => async (trial: Trial, kind: Kind) => {
    const [holder, ...workers] = await trial.start(["holder", ...names])
    let visits = 0
    for (let round = 0; round < 3; round++) {
      const held = holder!.hold({ key: "x" })
      await held.granted.promise
      const storms = workers.map((worker) => worker.storm({ key: "x" }, fibers, 1000))
      for (const worker of workers) {
        await until(async () => {
          const { length } = await trial.sessionsOf(worker)
          // Besides those who wait there are the main one and the probe.
          assert.isAtMost(length, kind === "session" ? fibers + 2 : 1)
          return kind === "lease" ||
            (await trial.advisoryOf(worker)).filter(({ granted }) => !granted).length === fibers
        }, "all wait")
      }
      const [why, ...stormed] = await Promise.all([held.letGo(), ...storms.map(({ begin }) => begin())])
      assert.isUndefined(why)
      for (const result of stormed) {
        assert.deepStrictEqual(result.failures, [])
        visits += result.visits.length
      }
      await until(async () => (await trial.server.advisory(trial.database)).length === 0, "nothing is locked")
      const next = holder!.hold({ key: "x", blocking: false })
      await next.granted.promise
      await kept(next)
    }
    times.push(`${kind}: storm of ${workers.length} x ${fibers}, 3 rounds: ${visits} were granted it`)
    assert.deepStrictEqual(trial.register.overlaps, [])
    for (const worker of workers) {
      await until(async () => (await trial.sessionsOf(worker)).length <= 2, "what nobody needs is closed")
    }
  }
  fault(both, "and give up just as they are let in leave nothing, in one process", 2000, storm(["a"], 40))
  fault(
    both,
    "and give up just as they are let in leave nothing, in several processes",
    2000,
    storm(["a", "b", "c"], 14)
  )
})

type AnyLayer = Layer.Layer<ExternalLock, ExternalLockError, PgClient.PgClient>

/** PgClient connects by itself, and says what it meets by errors of its own: here are the locks alone. */
const configured = (config: PgClient.PgClientConfig) =>
  Layer.succeed(PgClient.PgClient, { config } as PgClient.PgClient)

const refusal = async (layer: AnyLayer, config: PgClient.PgClientConfig): Promise<ExternalLockError> =>
  Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(Layer.provide(layer, configured(config))))))

/** What a lock fails with, of a layer that there is. */
const lockRefusal = (
  layer: AnyLayer,
  config: PgClient.PgClientConfig,
  options: LockOptions = {},
  before: () => Promise<unknown> = async () => {}
): Promise<unknown> =>
  Effect.runPromise(
    Effect.zipRight(
      Effect.promise(before),
      Effect.flip(Effect.scoped(lock("x", { ...options, external: true })))
    ).pipe(Effect.provide(Layer.merge(LockRegistry.layer, Layer.provide(layer, configured(config)))))
  )

describe.skipIf(isMissing)("what a server says no to", concurrent, () => {
  const layers = { session: PostgresLock.layer, lease: PostgresLock.layerLease } as const

  const refused = (
    kinds: ReadonlyArray<Kind>,
    title: string,
    reason: ExternalLockError["reason"],
    advice: string,
    body: (layer: AnyLayer, trial: Trial) => Promise<unknown>,
    options: PostgresLock.PostgresLockOptions = {}
  ): void =>
    fault(kinds, title, 2000, async (trial, kind) => {
      const error = await body(layers[kind](options), trial)
      assert.instanceOf(error, ExternalLockError)
      assert.strictEqual(error.reason, reason, error.message)
      assert.include(error.message, advice)
      times.push(`${kind}: ${title}: ${error.reason}: ${error.message}`)
      await until(async () => (await trial.server.sessions("%", trial.database)).length === 0, "no session is left")
      assert.deepStrictEqual(await trial.server.advisory(trial.database), [])
      await trial.server.query(PostgresLock.migration(), [], trial.database)
    })

  const as = (trial: Trial, user: string) => ({ url: Redacted.make(trial.server.url(trial.database, user)) })
  const user = (trial: Trial) => `user_${trial.database}`

  refused(
    both,
    "a wrong password",
    "PermissionDenied",
    "give PgClient the right user and password",
    (layer, trial) => refusal(layer, as(trial, "secured:wrong"))
  )

  refused(
    both,
    "a user that is not there",
    "PermissionDenied",
    "right user",
    (layer, trial) => refusal(layer, as(trial, "nobody_is_called_so"))
  )

  refused(
    both,
    "a database that is not there",
    "Misconfigured",
    "create the database",
    (layer, trial) => refusal(layer, { url: Redacted.make(trial.server.url("nothing_is_called_so")) })
  )

  refused(both, "nobody who listens", "Unavailable", "ECONNREFUSED", async (layer, trial) => {
    const { network, url } = await trial.network()
    await network.close()
    return refusal(layer, { url: Redacted.make(url) })
  })

  refused(both, "nobody who answers", "Unavailable", "did not answer within 300 ms", async (layer, trial) => {
    const { network, url } = await trial.network()
    network.pause()
    return refusal(layer, { url: Redacted.make(url), connectTimeout: 300 })
  })

  refused(both, "a server that is too old", "Unsupported", "upgrade the server", async (layer, trial) => {
    const [row] = await trial.server.query("SHOW server_version_num")
    const current = row!["server_version_num"] as string
    const { network, url } = await trial.network()
    network.transform = (chunk) => Buffer.from(chunk.toString("latin1").replaceAll(current, "130022"), "latin1")
    return refusal(layer, { url: Redacted.make(url) })
  })

  refused(
    both,
    "no schema, and migrate: false",
    "Misconfigured",
    "run PostgresLock.migration",
    (layer, trial) => refusal(layer, { url: Redacted.make(trial.url) }),
    { migrate: false }
  )

  refused(both, "a user who may not create a schema", "PermissionDenied", "run PostgresLock.migration", async (
    layer,
    trial
  ) => {
    await createUser(trial)
    return refusal(layer, as(trial, user(trial)))
  })

  refused(
    both,
    "a lockPath",
    "Unsupported",
    "leave it out",
    (layer, trial) => lockRefusal(layer, { url: Redacted.make(trial.url) }, { lockPath: "/tmp" })
  )

  refused(
    ["session"],
    "a database that is read-only by default",
    "Misconfigured",
    "read-only",
    (layer, trial) =>
      lockRefusal(
        layer,
        { url: Redacted.make(trial.url) },
        {},
        () => trial.server.query(`ALTER DATABASE ${trial.database} SET default_transaction_read_only = on`)
      ).finally(() => trial.server.query(`ALTER DATABASE ${trial.database} SET default_transaction_read_only = off`))
  )

  refused(both, "a user who may not use the sequence", "PermissionDenied", "grant this one", async (layer, trial) => {
    await createUser(trial)
    await trial.server.query(PostgresLock.migration(), [], trial.database)
    await trial.server.query(`GRANT USAGE ON SCHEMA effect_locks TO ${user(trial)}`, [], trial.database)
    await trial.server.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON effect_locks.lease TO ${user(trial)}`,
      [],
      trial.database
    )
    return lockRefusal(layer, as(trial, user(trial)))
  })

  refused(both, "a user who may not use the schema", "PermissionDenied", "grant this one", async (layer, trial) => {
    await createUser(trial)
    await trial.server.query(PostgresLock.migration(), [], trial.database)
    return refusal(layer, as(trial, user(trial)))
  })

  refused(both, "a password that has changed since", "PermissionDenied", "right user and password", async (
    layer,
    trial
  ) => {
    await trial.server.query(PostgresLock.migration(), [], trial.database)
    await trial.server.query(`GRANT ALL ON SCHEMA effect_locks TO secured`, [], trial.database)
    let password = "secret"
    const { hostname, port } = new URL(trial.url)
    const config = {
      host: hostname,
      port: Number(port),
      database: trial.database,
      username: "secured",
      get password() {
        return Redacted.make(password)
      }
    }
    return lockRefusal(layer, config, {}, async () => {
      password = "changed"
    })
  })

  const createUser = async (trial: Trial) => {
    await trial.server.query(`CREATE ROLE ${user(trial)} LOGIN`)
    trial.finally(async () => {
      await trial.server.query(`DROP OWNED BY ${user(trial)}`, [], trial.database)
      await trial.server.query(`DROP ROLE ${user(trial)}`)
    })
  }

  it("a replica, and no connection that is left", async () => {
    const primary = await start({ settings: { max_connections: "12", superuser_reserved_connections: "2" } })
    endings.push(() => primary.remove())
    await primary.query(PostgresLock.migration())
    await primary.query("CREATE ROLE app LOGIN")
    await primary.query("GRANT ALL ON SCHEMA effect_locks TO app")
    const standby = await primary.standby()
    endings.push(() => standby.remove())
    for (const kind of both) {
      const error = await refusal(layers[kind](), { url: Redacted.make(standby.url()) })
      assert.strictEqual(error.reason, "Misconfigured")
      assert.include(error.message, "connect to the primary")
    }
    const others: Array<pg.Client> = []
    const fill = async (): Promise<void> => {
      const client = new pg.Client({ connectionString: primary.url("postgres", "app") })
      client.on("error", () => {})
      const isIn = await client.connect().then(() => true, () => false)
      if (!isIn) return
      others.push(client)
      return fill()
    }
    await fill()
    assert.isAbove(others.length, 5)
    for (const kind of both) {
      const error = await refusal(layers[kind](), { url: Redacted.make(primary.url("postgres", "app")) })
      assert.strictEqual(error.reason, "Exhausted")
      assert.include(error.message, "raise max_connections")
    }
    for (const client of others) await client.end()
  })
})

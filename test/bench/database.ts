/** Locks between hosts. */
import { Effect, Layer, ManagedRuntime, Option } from "effect"
import { ExternalLock, lock, LockRegistry, withLock } from "effect-locks"
import { ExternalHold, TypeId } from "effect-locks/ExternalLock"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { repeat } from "./contestants.js"
import { installPeers, kinds, type Locks, naive, needsRedis, ours } from "./databaseLocks.js"
import { contest, type Contestant, type Row } from "./harness.js"
import * as Servers from "./servers.js"

type Passes = ReadonlyArray<readonly [asked: number, granted: number, released: number]>

const reference = "pg_advisory_lock"

/** Runs `measure` with the servers there are: the URL of each kind's, or why there is none. */
const withServers = async (
  measure: (urlOf: (kind: string) => string | undefined, absent: Readonly<Record<string, string>>) => Promise<
    ReadonlyArray<Row>
  >
): Promise<ReadonlyArray<Row>> => {
  const [postgres, redis] = await Promise.all([Servers.postgres(), Servers.redis()])
  if (typeof redis !== "string") installPeers()
  try {
    return await measure(
      (kind) => !needsRedis(kind) ? postgres.url : typeof redis === "string" ? undefined : redis.url,
      typeof redis === "string"
        ? Object.fromEntries(Object.keys(kinds).filter(needsRedis).map((kind) => [kind, redis]))
        : {}
    )
  } finally {
    postgres.end()
    if (typeof redis !== "string") redis.end()
  }
}

/** `atOnce` of 1,000 keys at a time, or one again and again. */
export const uncontended = (section: string, atOnce: number): Promise<ReadonlyArray<Row>> =>
  withServers(async (urlOf, absent) => {
    const locks = new Map<string, Locks>()
    const contestants: Record<string, Contestant> = {}
    for (const [kind, make] of Object.entries(kinds)) {
      const url = urlOf(kind)
      if (url === undefined) continue
      const these = make(url)
      locks.set(kind, these)
      contestants[kind] = (n) => these.run(n, atOnce, (i) => atOnce === 1 ? "one" : `key ${i % 1000}`)
    }
    const rows = await contest({ section, reference, contestants, absent, size: 320, budget: 4000 })
    await Promise.all(Array.from(locks.values(), ({ end }) => end()))
    return rows
  })

class NullHold extends ExternalHold {
  readonly release = Effect.void
  readonly tryUpgrade = Effect.succeed(true)
  readonly downgrade = Effect.void
  readonly check = Effect.void
}

/** A backend that does nothing: what is around it is left. */
const nothing = Layer.succeed(
  ExternalLock,
  ExternalLock.of({
    [TypeId]: TypeId,
    guarantees: undefined as never,
    place: (key) => Effect.succeed(key.name),
    acquire: () => Effect.sync(() => new NullHold()),
    tryAcquire: () => Effect.sync(() => Option.some(new NullHold()))
  })
)

export const wrapper = async (section: string): Promise<ReadonlyArray<Row>> => {
  const runtime = ManagedRuntime.make(Layer.merge(LockRegistry.layer, nothing))
  const external = { external: true } as const
  const rows = await contest({
    section,
    reference: "scoped lock, whose body nobody interrupts",
    contestants: {
      "scoped lock, whose body nobody interrupts": (n) =>
        runtime.runPromise(repeat(n, () => Effect.scoped(lock("k", external)))),
      "withLock, whose body a loss interrupts": (n) =>
        runtime.runPromise(repeat(n, () => withLock(Effect.void, "k", external))),
      "withLock, in the process": (n) => runtime.runPromise(repeat(n, () => withLock(Effect.void, "k")))
    },
    size: 1000,
    budget: 3000
  })
  await runtime.dispose()
  return rows
}

const start = async (kind: string, url: string): Promise<ChildProcess> => {
  const child = fork(path.join(import.meta.dirname, "databaseContender.js"), [kind, url])
  await once(child, "message")
  return child
}

const percentile = (values: ReadonlyArray<number>, part: number): number =>
  values.slice().sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN

const rowOf = (section: string, note = "") => (contestant: string, median: number | undefined, unit: string): Row => ({
  section,
  contestant,
  median,
  unit,
  ratio: undefined,
  reference: "",
  note
})

/** `count` processes with one fiber each want one lock, `passes` times each. */
export const hot = (section: string, count: number, passes: number): Promise<ReadonlyArray<Row>> =>
  withServers(async (urlOf, absent) => {
    const row = rowOf(section)
    const rows: Array<Row> = Object.entries(absent).map(([kind, why]) => rowOf(section, why)(kind, undefined, ""))
    for (const kind of Object.keys(kinds)) {
      const url = urlOf(kind)
      if (url === undefined) continue
      const children = await Promise.all(Array.from({ length: count }, () => start(kind, url)))
      const all = (await Promise.all(children.map(async (child) => {
        child.send({ passes })
        const [done] = await once(child, "message") as [Passes]
        return done
      }))).flat().sort((a, b) => a[1] - b[1])
      for (const child of children) child.kill("SIGKILL")
      const seconds = (Math.max(...all.map(([, , released]) => released)) - Math.min(...all.map(([asked]) => asked))) /
        1000
      const waits = all.map(([asked, granted]) => granted - asked)
      // Asked at least a millisecond before the one that came first: nearer than that nobody knows who asked first.
      const passed = all.filter(([asked, granted]) =>
        all.some(([other, otherGranted]) => other > asked + 1 && otherGranted < granted)
      )
      rows.push(
        row(`${kind}: grants`, all.length / seconds, "per second"),
        row(`${kind}: wait, p50`, percentile(waits, 0.5), "ms"),
        row(`${kind}: wait, p99`, percentile(waits, 0.99), "ms"),
        row(`${kind}: passed by who came later`, passed.length / all.length * 100, "% of grants")
      )
    }
    return rows
  })

/** From the SIGKILL of the holder until a waiter of another process holds. */
export const killed = (section: string, rounds: number): Promise<ReadonlyArray<Row>> =>
  withServers(async (urlOf) => {
    const rows: Array<Row> = []
    for (const kind of ["withLock", reference]) {
      const url = urlOf(kind)!
      const waiter = kinds[kind]!(url)
      const times: Array<number> = []
      for (let round = 0; round < rounds; round++) {
        const holder = await start(kind, url)
        holder.send({ hold: true })
        await once(holder, "message")
        const granted = waiter.hold("hot", async () => performance.now())
        await sleep(30 + Math.random() * 30)
        const began = performance.now()
        holder.kill("SIGKILL")
        times.push((await granted) - began)
      }
      await waiter.end()
      const row = rowOf(section, `${rounds} times`)
      rows.push(
        row(`${kind}: p50`, percentile(times, 0.5), "ms"),
        row(`${kind}: worst`, Math.max(...times), "ms")
      )
    }
    return rows
  })

/** How many sessions `count` locks that are held at once take. */
export const sessions = (section: string, count: number): Promise<ReadonlyArray<Row>> =>
  withServers(async (urlOf) => {
    const url = urlOf("withLock")!
    const observer = new pg.Client({ connectionString: url })
    await observer.connect()
    const counted = async () => {
      const { rows } = await observer.query<{ readonly n: number }>(
        "SELECT count(DISTINCT pid)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND granted"
      )
      return rows[0]!.n
    }
    const of = async (locks: Locks, most: number): Promise<number> => {
      let letGo = () => {}
      const gate = new Promise<void>((resolve) => letGo = resolve)
      let held = 0
      let all = () => {}
      const done = new Promise<void>((resolve) => all = resolve)
      const holds = Array.from({ length: most }, (_, i) =>
        locks.hold(`held ${i}`, () => {
          if (++held === most) all()
          return gate
        }))
      await done
      const n = await counted()
      letGo()
      await Promise.all(holds)
      await locks.end()
      return n
    }
    const row = rowOf(section)
    const rows = [
      row("withLock", await of(ours(url, "layer"), count), "sessions"),
      // Its pool has 10, and the next one waits for ever.
      row(`${reference}, of 10 locks`, await of(naive(url), 10), "sessions")
    ]
    await observer.end()
    return rows
  })

/** Locks between processes. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Layer, ManagedRuntime } from "effect"
import { FileLock, lock, LockRegistry, withLock } from "effect-locks"
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import * as properLockfile from "proper-lockfile"
import { repeat } from "./contestants.js"
import { contest, type Contestant, type Row } from "./harness.js"

const here = import.meta.dirname
const scripts = path.resolve("test", "bench")
const temporary = () => fs.mkdtempSync(path.join(os.tmpdir(), "lock-bench-"))
const hasPython = spawnSync("python3", ["-c", "import fcntl"]).status === 0

const external = { external: true } as const

/** What a lock with the same guarantees costs at least: the calls of the system, on a file that stays open. */
const raw = (file: string): Contestant => {
  const native = createRequire(import.meta.url)("fs-native-extensions") as {
    readonly tryLock: (fd: number, from: number, length: number) => boolean
    readonly unlock: (fd: number, from: number, length: number) => void
  }
  const fd = fs.openSync(file, "a+")
  const isSame = () => {
    const [opened, there] = [fs.fstatSync(fd, { bigint: true }), fs.statSync(file, { bigint: true })]
    return opened.ino === there.ino && opened.dev === there.dev
  }
  return async (n) => {
    for (let i = 0; i < n; i++) {
      if (!native.tryLock(fd, 0, 2 ** 62) || !isSame() || !isSame()) throw new Error("not locked")
      native.unlock(fd, 0, 2 ** 62)
    }
  }
}

const canImport = (module: string): boolean => spawnSync("python3", ["-c", `import ${module}`]).status === 0

/** A process that locks and unlocks as often as it is told. */
const startLoop = (lockPath: string) => async (how: string) => {
  const python = spawn("python3", [path.join(scripts, "uncontended.py"), path.join(lockPath, how), how])
  await once(python.stdout, "data")
  const loop: Contestant = async (n) => {
    python.stdin.write(`${n}\n`)
    await once(python.stdout, "data")
  }
  return { how, loop, end: () => python.stdin.end() }
}

export const uncontended = async (section: string): Promise<ReadonlyArray<Row>> => {
  const lockPath = temporary()
  const protectedFile = path.join(lockPath, "protected")
  fs.writeFileSync(protectedFile, "")
  const runtimeOf = (layer: typeof FileLock.layer) =>
    ManagedRuntime.make(
      Layer.merge(LockRegistry.layer, Layer.provide(layer({ lockPath }), NodeContext.layer))
    )
  const [kernel, portable] = [runtimeOf(FileLock.layer), runtimeOf(FileLock.layerPortable)]
  const pythons = hasPython ? await Promise.all(["fcntl", "fasteners"].filter(canImport).map(startLoop(lockPath))) : []
  const rows = await contest({
    section,
    reference: "raw calls",
    contestants: {
      "raw calls": raw(path.join(lockPath, "raw")),
      withLock: (n) => kernel.runPromise(repeat(n, () => withLock(Effect.void, "k", external))),
      "Effect.scoped(lock)": (n) => kernel.runPromise(repeat(n, () => Effect.scoped(lock("k", external)))),
      ...Object.fromEntries(pythons.map(({ how, loop }) => [`Python's ${how}`, loop])),
      "withLock, layerPortable": (n) => portable.runPromise(repeat(n, () => withLock(Effect.void, "k", external))),
      "proper-lockfile": async (n) => {
        for (let i = 0; i < n; i++) await (await properLockfile.lock(protectedFile))()
      }
    },
    absent: Object.fromEntries(
      ["fcntl", "fasteners"].filter((how) => !pythons.some((python) => python.how === how))
        .map((how) => [`Python's ${how}`, "not installed here"])
    ),
    size: 200,
    budget: 3000
  })
  for (const { end } of pythons) end()
  await Promise.all([kernel.dispose(), portable.dispose()])
  fs.rmSync(lockPath, { recursive: true })
  return rows
}

interface Report {
  readonly passes: ReadonlyArray<readonly [asked: number, granted: number, released: number]>
  /** Of one processor, while it ran. */
  readonly cpu: number
}

const startNode = async (args: ReadonlyArray<string>): Promise<() => Promise<Report>> => {
  const child = fork(path.join(here, "contender.js"), args)
  await once(child, "message")
  return async () => {
    child.send("go")
    const [report] = await once(child, "message")
    return report as Report
  }
}

const startPython = async (args: ReadonlyArray<string>): Promise<() => Promise<Report>> => {
  const child = spawn("python3", [path.join(scripts, "contender.py"), ...args])
  await once(child.stdout, "data")
  return async () => {
    let text = ""
    child.stdout.on("data", (chunk) => text += String(chunk))
    child.stdin.write("\n")
    await once(child.stdout, "end")
    return JSON.parse(text) as Report
  }
}

const percentile = (values: ReadonlyArray<number>, part: number): number =>
  values.slice().sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN

/** Jain's index: 1 when all have got as much, 1/n when one has got all. */
const fairness = (counts: ReadonlyArray<number>): number => {
  const sum = counts.reduce((a, b) => a + b, 0)
  return sum ** 2 / (counts.length * counts.reduce((a, b) => a + b * b, 0))
}

/** `count` processes hold a lock for 2 ms each, and ask again at once. */
export const contended = async (section: string, count: number, seconds: number): Promise<ReadonlyArray<Row>> => {
  const contestants = ["withLock", "layerPortable", "proper-lockfile", ...(hasPython ? ["Python's fcntl.lockf"] : [])]
  const rows: Array<Row> = []
  for (const contestant of contestants) {
    const lockPath = temporary()
    const args = [lockPath, "2", String(seconds * 1000)]
    const starts = await Promise.all(
      Array.from(
        { length: count },
        () => contestant.startsWith("Python") ? startPython(args) : startNode([contestant, ...args])
      )
    )
    const reports = await Promise.all(starts.map((start) => start()))
    fs.rmSync(lockPath, { recursive: true })
    const all = reports.flatMap(({ passes }, who) =>
      passes.map(([asked, granted, released]) => ({ who, asked, granted, released }))
    )
      .sort((a, b) => a.granted - b.granted)
    const handOffs = all.flatMap(({ granted, who }, i) => {
      const before = all[i - 1]
      return before === undefined || before.who === who ? [] : [granted - before.released]
    })
    const waits = all.map(({ asked, granted }) => granted - asked)
    const row = (what: string, value: number, unit: string): Row => ({
      section,
      contestant: `${contestant}: ${what}`,
      median: value,
      unit,
      ratio: undefined,
      reference: "",
      note: ""
    })
    rows.push(
      row("passes", all.length / seconds, "per second"),
      row("fairness (Jain)", fairness(reports.map(({ passes }) => passes.length)), "of 1"),
      row("worst wait", Math.max(...waits), "ms"),
      row("hand-off, p50", percentile(handOffs, 0.5), "ms"),
      row("hand-off, p99", percentile(handOffs, 0.99), "ms")
    )
  }
  return rows
}

/** What the processor does while a process waits for a lock. */
export const waiting = async (section: string, seconds: number): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const contestant of ["withLock", "layerPortable", "proper-lockfile"]) {
    const lockPath = temporary()
    // It holds for as long as the other is measured.
    const holder = await startNode([contestant, lockPath, String(seconds * 1000), "1"])
    const waiter = await startNode([contestant, lockPath, "0", "1"])
    const held = holder()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const { cpu } = await waiter()
    await held
    fs.rmSync(lockPath, { recursive: true, force: true })
    rows.push({
      section,
      contestant,
      median: cpu * 100,
      unit: "% of a core",
      ratio: undefined,
      reference: "",
      note: ""
    })
  }
  return rows
}

/** From the SIGKILL of the holder until a waiter of another process holds. */
export const killed = async (section: string, rounds: number): Promise<ReadonlyArray<Row>> => {
  const lockPath = temporary()
  const runtime = ManagedRuntime.make(
    Layer.merge(LockRegistry.layer, Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer))
  )
  const times: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const holder: ChildProcess = fork(path.join(here, "contender.js"), ["withLock", lockPath, "100000", "1"])
    await once(holder, "message")
    holder.send("go")
    const isHeld = Effect.map(
      Effect.either(withLock(Effect.void, "contended", { ...external, blocking: false })),
      (either) => either._tag === "Left"
    )
    while (!(await runtime.runPromise(isHeld))) await new Promise((resolve) => setTimeout(resolve, 1))
    const waiting = runtime.runPromise(withLock(Effect.sync(() => performance.now()), "contended", external))
    await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 30))
    const started = performance.now()
    holder.kill("SIGKILL")
    times.push((await waiting) - started)
  }
  await runtime.dispose()
  fs.rmSync(lockPath, { recursive: true })
  const row = (contestant: string, part: number): Row => ({
    section,
    contestant,
    median: percentile(times, part),
    unit: "ms",
    ratio: undefined,
    reference: "",
    note: `${rounds} times`
  })
  return [row("withLock: p50", 0.5), row("withLock: p99", 0.99)]
}

/**
 * Many processes count in one file, under a lock, while holders are killed and
 * the lock file is removed. Nothing may be counted twice, nobody may wait for ever.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Layer } from "effect"
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { FileLock, LockRegistry, withLock } from "../../src/index.ts"
import { judge, lockName, prepare, read, type Verdict } from "./counter.ts"

export interface Options {
  readonly kind: "kernel" | "portable"
  readonly processes: number
  readonly seconds: number
  /** It goes on until so many holders were killed, and so often the file was removed, but not for ever. */
  readonly kills: number
  readonly removals: number
  /** A holder asks to be killed once in so many times. */
  readonly killEvery: number
}

export interface Progress {
  readonly counted: number
  readonly kills: number
  readonly removals: number
  readonly alive: number
  readonly python: boolean
  readonly seconds: number
}

export interface Result extends Progress, Verdict {
  /** How much Python counted. */
  readonly byPython: number
  /** What did not end when it was told to. */
  readonly stuck: number
  /** Is the lock free afterwards? */
  readonly free: boolean
  /** What is in the lock path afterwards. */
  readonly leftover: ReadonlyArray<string>
  /** What the processes complained of. */
  readonly complaints: ReadonlyArray<string>
}

/** The script of Python, from the sources: it is not compiled. */
const script = path.join(process.cwd(), "test", "storm", "counter.py")

export const hasPython = (): boolean => spawnSync("python3", ["-c", "import fcntl"]).status === 0

/** For how much longer it goes on where everything takes its time: seconds. */
const extra = 130

/** `compiled` is where the worker is. */
export const run = async (
  options: Options,
  show: (progress: Progress) => void = () => {},
  compiled = import.meta.dirname
): Promise<Result> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "lock-storm-"))
  const where = prepare(directory)
  const layer = Layer.merge(
    LockRegistry.layer,
    Layer.provide(
      (options.kind === "portable" ? FileLock.layerPortable : FileLock.layer)({ lockPath: where.lockPath }),
      NodeContext.layer
    )
  )
  const running = new Set<ChildProcess>()
  const complaints: Array<string> = []
  const started = performance.now()
  let kills = 0
  let removals = 0
  let over = false

  const start = () => {
    const child = fork(path.join(compiled, "worker.js"), [directory, options.kind, String(options.killEvery)], {
      silent: true
    })
    running.add(child)
    // It may be gone before it is told to stop.
    child.on("error", () => {})
    child.stderr!.on("data", (text) => complaints.push(String(text)))
    child.stdout!.on("data", (text) => complaints.push(String(text)))
    child.on("message", (message) => {
      if (message === "kill me") {
        kills++
        child.kill("SIGKILL")
      } else if (over) {
        child.send("stop")
      }
    })
    child.on("exit", (code, signal) => {
      running.delete(child)
      if (signal !== "SIGKILL" && code !== 0) complaints.push(`a process ended with ${code ?? signal}`)
      if (!over) start()
    })
  }
  for (let i = 0; i < options.processes; i++) start()

  const python = options.kind === "kernel" && hasPython() ? spawn("python3", [script, directory]) : undefined
  python?.stderr.on("data", (text) => complaints.push(String(text)))
  const pythonEnded = python === undefined ? Promise.resolve() : new Promise((resolve) => python.on("exit", resolve))

  const progress = (): Progress => ({
    counted: read(where),
    kills,
    removals,
    alive: running.size,
    python: python !== undefined,
    seconds: (performance.now() - started) / 1000
  })

  const isDone = () => {
    const { seconds } = progress()
    const enough = seconds >= options.seconds && kills >= options.kills && removals >= options.removals
    return enough || seconds > options.seconds + extra
  }

  const removing = Effect.flatMap(FileLock, (files) => files.remove(lockName)).pipe(
    Effect.zipRight(Effect.sync(() => removals++)),
    Effect.zipRight(Effect.suspend(() => Effect.sleep(20 + Math.random() * 300))),
    Effect.repeat({ until: () => isDone() })
  )
  // Any process, wherever it is.
  const killing = Effect.suspend(() => {
    const victims = Array.from(running)
    victims[Math.floor(Math.random() * victims.length)]?.kill("SIGKILL")
    return Effect.sleep(1500)
  }).pipe(Effect.delay(1500), Effect.repeat({ until: () => isDone() }))
  const showing = Effect.sync(() => show(progress())).pipe(
    Effect.delay(250),
    Effect.repeat({ until: () => isDone() })
  )
  await Effect.runPromise(Effect.provide(
    Effect.all([removing, killing, showing], { concurrency: "unbounded" }),
    layer
  ))

  over = true
  for (const child of running) if (child.connected) child.send("stop")
  python?.stdin.end()
  const deadline = performance.now() + 30_000
  while (running.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  const stuck = running.size
  for (const child of running) child.kill("SIGKILL")
  await pythonEnded

  const free = await Effect.runPromise(Effect.provide(
    Effect.isSuccess(withLock(Effect.void, lockName, { external: true, blocking: false })),
    layer
  ))
  const leftover = fs.readdirSync(where.lockPath)
  const verdict = judge(where)
  const byPython = verdict.byProcess.get(python?.pid ?? 0) ?? 0
  const result = { ...progress(), ...verdict, byPython, stuck, free, leftover, complaints }
  fs.rmSync(directory, { recursive: true })
  return result
}

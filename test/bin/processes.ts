/** Commands as real processes. */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { FileLock, LockRegistry, withLock } from "effect-locks"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, vi } from "vitest"
import { bundle } from "../../esbuild.config.ts"

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export class Running {
  readonly process: ChildProcess
  out = ""
  err = ""
  /** Its end, and that of everybody who could still write to its outputs: so nobody is left behind. */
  readonly closed: Promise<Ended>
  private readonly listeners = new Set<() => void>()

  constructor(process: ChildProcess) {
    this.process = process
    process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.out += text
      for (const listener of this.listeners) listener()
    })
    process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.err += text
      for (const listener of this.listeners) listener()
    })
    // It may be gone before it has read all.
    process.stdin?.on("error", () => {})
    this.closed = new Promise((resolve) =>
      process.on("close", (code, signal) => resolve({ code, signal, out: this.out, err: this.err }))
    )
  }

  get pid(): number {
    return this.process.pid!
  }

  /** Waits until it has written something, to either output. */
  async says(what: string | RegExp): Promise<void> {
    const isSaid = () => {
      const text = this.out + this.err
      return typeof what === "string" ? text.includes(what) : what.test(text)
    }
    let stop = () => {}
    const said = new Promise<void>((resolve) => {
      const listen = () => isSaid() && resolve()
      this.listeners.add(listen)
      stop = () => this.listeners.delete(listen)
      listen()
    })
    const over = this.closed.then((ended) => {
      if (!isSaid()) throw new Error(`it ended without having said ${what}: ${JSON.stringify(ended)}`)
    })
    try {
      await Promise.race([said, over])
    } finally {
      stop()
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal)
  }

  /** Lets a command go on that reads a line, or all of its input. */
  goOn(): void {
    this.process.stdin!.end("go on\n")
  }
}

interface Options {
  readonly env?: Record<string, string>
  readonly cwd?: string
}

/** A world of its own for each test of a file: directories, and processes that do not outlive it. */
export const world = (name: string) => {
  const bundled = path.resolve(import.meta.dirname, "../../build/bin", name)
  let directory = ""
  let running: Array<Running> = []

  // Only what hangs takes so long.
  vi.setConfig({ testTimeout: 60_000 })
  beforeAll(async () => {
    await bundle(bundled)
    fs.mkdirSync(path.join(bundled, "path"), { recursive: true })
    for (const command of ["effect-locks", "lockutils-wrapper"]) {
      fs.rmSync(path.join(bundled, "path", command), { force: true })
      fs.symlinkSync(path.join(bundled, `${command}.js`), path.join(bundled, "path", command))
    }
  }, 60_000)
  beforeEach(() => {
    directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "commands-")))
    fs.mkdirSync(path.join(directory, "tmp"))
  })
  afterEach(async () => {
    for (const one of running) one.kill("SIGKILL")
    running = []
    fs.rmSync(directory, { recursive: true })
  })
  afterAll(() => fs.rmSync(bundled, { recursive: true, force: true }))

  const start = (command: string, args: ReadonlyArray<string>, { cwd = directory, env = {} }: Options = {}) => {
    const { NO_COLOR: _, ...inherited } = process.env
    const one = new Running(spawn(command, args, {
      cwd,
      env: {
        ...inherited,
        PATH: `${path.join(bundled, "path")}:${process.env["PATH"]}`,
        TMPDIR: path.join(directory, "tmp"),
        OSLO_LOCK_PATH: path.join(directory, "locks"),
        ...env
      }
    }))
    running.push(one)
    return one
  }
  const locks = (...args: ReadonlyArray<string>) => start("effect-locks", args)

  return {
    start,
    locks,
    /** A shell script, with what is to be its arguments. */
    shell: (script: string, ...args: ReadonlyArray<string>) => start("sh", ["-c", script, "sh", ...args]),
    path: (...names: ReadonlyArray<string>) => path.join(directory, ...names),
    /** What is left in the directory of temporary files. */
    leftover: () => fs.readdirSync(path.join(directory, "tmp")),
    isFree: (name: string) =>
      Effect.runPromise(Effect.provide(
        Effect.isSuccess(withLock(Effect.void, name, { external: true, blocking: false })),
        Layer.merge(
          LockRegistry.layer,
          Layer.provide(FileLock.layer({ lockPath: path.join(directory, "locks") }), NodeContext.layer)
        )
      ))
  }
}

/** Runs a command at a terminal, which is this process's outputs: what it reads is typed there. */
export const terminal = [
  "python3",
  "-c",
  "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
] as const

/** Tells which signals it gets, until its input ends. */
export const listener = [
  process.execPath,
  "-e",
  `for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]) {
    process.on(signal, () => process.stdout.write("got " + signal + ";"))
  }
  process.stdin.resume().on("end", () => process.exit(5)).on("data", () => process.exit(5))
  process.stdout.write("up " + process.pid + ";")`
] as const

/** The number of a process that said `up <pid>`. */
export const pidIn = ({ out }: Running): number => Number(/up (\d+)/.exec(out)![1])

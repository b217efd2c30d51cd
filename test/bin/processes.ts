/** Commands as real processes. */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { FileLock, LockRegistry, withLock } from "effect-locks"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach, beforeAll, beforeEach, vi } from "vitest"
import { bundle, commands } from "../../esbuild.config.ts"

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

const bundled = path.resolve(import.meta.dirname, "../../build/bin")
const programs = path.join(bundled, "path")

/** Of the test that runs: it goes with it, and so do its processes. */
let directory = ""
let running: Array<Running> = []

// Only what hangs takes so long.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  await bundle(bundled)
  fs.mkdirSync(programs, { recursive: true })
  for (const command of commands) {
    fs.rmSync(path.join(programs, command), { force: true })
    fs.symlinkSync(path.join(bundled, `${command}.js`), path.join(programs, command))
  }
}, 60_000)

beforeEach(() => {
  directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "commands-")))
  fs.mkdirSync(path.join(directory, "tmp"))
})

afterEach(() => {
  for (const one of running) one.kill("SIGKILL")
  running = []
  fs.rmSync(directory, { recursive: true })
})

/** Where a test may leave files. */
export const inside = (...names: ReadonlyArray<string>): string => path.join(directory, ...names)

/** What is left in the directory of temporary files. */
export const leftover = (): ReadonlyArray<string> => fs.readdirSync(inside("tmp"))

export const start = (command: string, args: ReadonlyArray<string>, env: Record<string, string> = {}): Running => {
  const { NO_COLOR: _, ...inherited } = process.env
  const one = new Running(spawn(command, args, {
    cwd: directory,
    env: {
      ...inherited,
      PATH: `${programs}:${process.env["PATH"]}`,
      TMPDIR: inside("tmp"),
      OSLO_LOCK_PATH: inside("locks"),
      ...env
    }
  }))
  running.push(one)
  return one
}

export const locks = (...args: ReadonlyArray<string>): Running => start("effect-locks", args)

export const shell = (script: string): Running => start("sh", ["-c", script])

/** A holder of a lock, which lets go when it may go on. */
export const holder = async (name: string, ...options: ReadonlyArray<string>): Promise<Running> => {
  const one = locks("run", name, ...options, "--", "sh", "-c", "echo up $$; read line; exit 0")
  await one.says(/up \d+/)
  return one
}

/** As another program finds it. */
export const isFree = (name: string): Promise<boolean> =>
  Effect.runPromise(Effect.provide(
    Effect.isSuccess(withLock(Effect.void, name, { external: true, blocking: false })),
    Layer.merge(
      LockRegistry.layer,
      Layer.provide(FileLock.layer({ lockPath: inside("locks") }), NodeContext.layer)
    )
  ))

export const hasPython = spawnSync("python3", ["-c", "import pty"]).status === 0
// eslint-disable-next-line no-console
if (!hasPython) console.log("skipped: Python, for a terminal, is not installed")

/** Can commands be run as another user, who may read them? */
export const hasUsers = process.geteuid?.() === 0 &&
  spawnSync("setpriv", ["--reuid", "65534", process.execPath, "--print", "fs.readdirSync('.')"]).status === 0
// eslint-disable-next-line no-console
if (!hasUsers) console.log("skipped: commands cannot be run as another user here")

/** Runs a command at a terminal, where its input is typed and its output shown. */
const terminal = [
  "python3",
  "-c",
  "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
] as const

export const atTerminal = (args: ReadonlyArray<string>, env: Record<string, string> = {}): Running => {
  const [python, ...script] = terminal
  return start(python, [...script, ...args], { TERM: "xterm", ...env })
}

/** Tells which signals it gets, until its input ends. */
export const listener = [
  process.execPath,
  "-e",
  `for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]) {
    process.on(signal, () => process.stdout.write("got " + signal + ";"))
  }
  process.stdin.resume().on("end", () => process.exit(5)).on("data", () => process.exit(5))
  process.stdout.write("up " + process.pid + " of " + process.ppid + ";")`
] as const

/** The number of the process that started the listener. */
export const parentIn = ({ out }: Running): number => Number(/ of (\d+)/.exec(out)![1])

/** The number of a process that said `up <pid>`. */
export const pidIn = ({ out }: Running): number => Number(/up (\d+)/.exec(out)![1])

/** A server that is a child of the test process. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import type { Guard } from "./guard.ts"
import { asUser, user } from "./user.ts"

export interface Command {
  readonly program: string
  readonly args: ReadonlyArray<string>
  /** What it is run by, as root. */
  readonly prefix?: ReadonlyArray<string>
  readonly directory: string
  /** Ends it when the test process is killed. */
  readonly guard: Guard
}

/** The processes that work in a directory. */
const processesIn = (directory: string): ReadonlyArray<number> => {
  if (process.platform !== "linux") return []
  return fs.readdirSync("/proc").map(Number).filter((pid) => {
    try {
      return pid > 0 && fs.readlinkSync(`/proc/${pid}/cwd`) === directory
    } catch {
      return false
    }
  })
}

export class Program {
  /** What it wrote, to its standard error. */
  log = ""
  isRunning = true
  /** Until it and everything that it had started are gone: all of them have its output. */
  readonly closed: Promise<void>
  private readonly child: ChildProcess

  constructor({ args, directory, guard, prefix = [], program }: Command) {
    const hasPrefix = prefix.length > 0
    const [command, ...rest] = [...prefix, ...hasPrefix ? asUser : [], program, ...args]
    this.child = spawn(command!, rest, {
      ...hasPrefix ? {} : user,
      cwd: directory,
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
      // The terminal's signals are for the tests.
      detached: true,
      stdio: ["ignore", "ignore", "pipe"]
    })
    if (this.pid !== undefined) guard.tell(String(this.pid))
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.log = (this.log + text).slice(-1_000_000)
    })
    this.child.on("error", (error) => {
      this.log += error.message
    })
    this.closed = new Promise((resolve) => {
      this.child.on("close", () => {
        this.isRunning = false
        guard.tell("")
        resolve()
      })
    })
  }

  get pid(): number | undefined {
    return this.child.pid
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** With all that works in the directory, which would end by itself, but for what a test has stopped. */
  kill(directory: string): void {
    const others = processesIn(directory)
    this.child.kill("SIGKILL")
    for (const pid of others) {
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It was faster.
      }
    }
  }
}

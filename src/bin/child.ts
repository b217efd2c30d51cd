/** The command that this process runs and stands in for. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Code from "./exitCode.ts"
import { isCode, say } from "./output.ts"
import { isSentToAll } from "./signals.ts"

export interface Ended {
  /** The exit code of the command, or what a shell would make of its end. */
  readonly code: number
  readonly bySignal?: boolean
  /** Why it did not even start. */
  readonly problem?: string
}

export interface Child {
  /** As a signal that this process was sent: the command gets it once. */
  readonly passOn: (signal: NodeJS.Signals) => void
  readonly kill: (signal: NodeJS.Signals) => void
}

interface Surroundings {
  readonly env?: NodeJS.ProcessEnv
  /** An open file that the command has too, as descriptor 3. */
  readonly file?: number
}

const failed = (command: string, error: unknown): Ended =>
  command === "" || isCode(error, "ENOENT")
    ? { code: Code.notFound, problem: `${command}: the command was not found` }
    : {
      code: Code.cannotRun,
      problem: `${command}: cannot be run: ${error instanceof Error ? error.message : String(error)}`
    }

/** Runs a command without a shell. It has the input and the outputs of this process, and its group. */
export const start = (
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  { env, file }: Surroundings,
  onEnd: (ended: Ended) => void
): Child => {
  let child: ChildProcess
  try {
    child = spawn(command, args, {
      stdio: ["inherit", "inherit", "inherit", ...(file === undefined ? [] : [file])],
      env
    })
  } catch (error) {
    queueMicrotask(() => onEnd(failed(command, error)))
    return { kill: () => {}, passOn: () => {} }
  }
  child.on("error", (error) => {
    if (child.pid === undefined) onEnd(failed(command, error))
    // It runs as another user by now, say.
    else say(`the command cannot be sent a signal: ${error.message}`)
  })
  child.once(
    "exit",
    (code, signal) => onEnd(signal === null ? { code: code! } : { code: Code.ofSignal(signal), bySignal: true })
  )
  const kill = (signal: NodeJS.Signals) => void child.kill(signal)
  return {
    kill,
    passOn: (signal) => {
      if (!isSentToAll(signal)) kill(signal)
    }
  }
}

/** A command under a lock, which is held for exactly as long as the command lives. */
import * as Effect from "effect/Effect"
import type { ExternalLock } from "../ExternalLock.ts"
import type { FileHold } from "../internal/fileHold.ts"
import type { AcquireLockFailed, ExternalLockError } from "../LockError.ts"
import type { LockOptions } from "../LockOptions.ts"
import type { LockRegistry } from "../LockRegistry.ts"
import { acquire } from "./acquireFile.ts"
import * as Child from "./child.ts"
import * as Code from "./exitCode.ts"
import { complain, type Ended, ended } from "./failure.ts"
import type { Signals } from "./signals.ts"

export type Command = readonly [string, ...ReadonlyArray<string>]

/**
 * The command inherits the locked file: should this process be killed, the lock
 * stays with the command. If a signal may have ended the command, so it does with
 * what the command had started, which may be at work still: a shell, told to end,
 * leaves its command running. Otherwise it ends when the command does, even if what
 * the command has left behind has inherited the file too.
 */
const execute = (command: Command, hold: FileHold, signals: Signals): Effect.Effect<Child.Ended> =>
  Effect.uninterruptible(Effect.async((resume) => {
    // The lock was granted just as a signal had ended the wait.
    if (signals.first !== undefined) return resume(Effect.interrupt)
    const child = Child.start(command, { file: hold.file.fd }, (ended) => {
      signals.goTo(() => {})
      stop()
      hold.isPassedOn = ended.bySignal === true || signals.first !== undefined
      resume(Effect.succeed(ended))
    })
    signals.goTo(child.passOn)
    const stop = hold.onLost(({ explanation, key }) => {
      // First, for nobody may read what is said.
      child.kill("SIGTERM")
      complain(`lock ${key} was lost: ${explanation}; the command is told to end`)
    })
  }))

/** Fails with what to exit with, unless that is 0. */
export const run = (
  name: string,
  options: LockOptions,
  command: Command,
  signals: Signals
): Effect.Effect<void, Ended | AcquireLockFailed | ExternalLockError, LockRegistry | ExternalLock> =>
  Effect.gen(function*() {
    // Until the scope has closed, the file may prove to have been lost.
    const [hold, { code, problem }] = yield* Effect.scoped(
      Effect.flatMap(
        acquire(name, options),
        (hold) => Effect.map(execute(command, hold, signals), (end) => [hold, end] as const)
      )
    )
    if (hold.lostAs !== undefined) {
      const { explanation, key } = hold.lostAs
      return yield* ended(Code.lost, `lock ${key} was lost: ${explanation}; the command ended with ${code}`)
    }
    if (code !== 0) return yield* ended(code, problem)
  })

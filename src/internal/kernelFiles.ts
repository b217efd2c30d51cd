/**
 * Lock files locked by the kernel.
 *
 * Whoever ends a hold, and a timer while it lasts, looks whether the file is still
 * the one at its path; if it is not, others lock another file, and it is lost.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type { ExternalHold, ExternalRequest, Restore } from "../ExternalLock.ts"
import type { KernelLock } from "../KernelLock.ts"
import { ExternalLockError } from "../LockError.ts"
import * as FileError from "./fileError.ts"
import { FileHold } from "./fileHold.ts"
import { attempt, lock, type Outcome, wait } from "./fileWait.ts"
import type { OpenFile, OpenFiles } from "./openFiles.ts"
import type { Mode } from "./ticket.ts"

/** How often holds are looked after, and idle files closed: milliseconds. */
export const lookEvery = 500

type Acquired<A> = Effect.Effect<A, ExternalLockError>

/** More often in a row nobody removes it: the file system tells one file from itself. */
const mostStale = 100

const neverCurrent = (path: string) =>
  new ExternalLockError({
    reason: "Unsupported",
    key: undefined,
    place: path,
    explanation:
      `${path}: its file system does not tell whether an open file is the one at its path; ${FileError.portable}`
  })

const locked: Effect.Effect<Outcome> = Effect.succeed("locked")

export class KernelFiles {
  private readonly kernel: KernelLock
  private readonly files: OpenFiles
  private readonly makeDirectory: (path: string) => Effect.Effect<unknown, unknown>
  private readonly runtime: Runtime.Runtime<never>
  private readonly holds = new Set<FileHold>()
  private timer: ReturnType<typeof setInterval> | undefined

  constructor(
    kernel: KernelLock,
    files: OpenFiles,
    makeDirectory: (path: string) => Effect.Effect<unknown, unknown>,
    runtime: Runtime.Runtime<never>
  ) {
    this.kernel = kernel
    this.files = files
    this.makeDirectory = makeDirectory
    this.runtime = runtime
  }

  tryAcquire(request: ExternalRequest): Acquired<Option.Option<ExternalHold>> {
    return Effect.suspend(() => this.acquireBy(request, (file) => this.attempt(file, request.mode)))
  }

  acquire(request: ExternalRequest, restore: Restore): Acquired<ExternalHold> {
    return Effect.map(
      Effect.suspend(() => this.acquireBy(request, (file) => restore(wait(this.kernel, file, request.mode)))),
      Option.getOrThrow
    )
  }

  private attempt(file: OpenFile, mode: Mode): Effect.Effect<Outcome, unknown> {
    try {
      const outcome = attempt(this.kernel, file, mode)
      return outcome === "locked" ? locked : Effect.succeed(outcome)
    } catch (error) {
      return Effect.fail(error)
    }
  }

  private acquireBy(
    request: ExternalRequest,
    ask: (file: OpenFile) => Effect.Effect<Outcome, unknown>
  ): Acquired<Option.Option<ExternalHold>> {
    const { key, place } = request
    const failed = (cause: Cause.Cause<unknown>) =>
      Effect.failCause(Cause.map(cause, (error) =>
        error instanceof ExternalLockError
          ? error.of(key)
          : FileError.make(place, error, key)))
    let times = 0
    const anew = () =>
      ++times > mostStale
        ? failed(Cause.fail(neverCurrent(place)))
        : Effect.matchCauseEffect(this.open(place), { onFailure: failed, onSuccess: next })
    const next = (file: OpenFile): Acquired<Option.Option<ExternalHold>> => {
      const asked = ask(file)
      return asked === locked ? Effect.succeedSome(this.hold(file, request)) : Effect.matchCauseEffect(asked, {
        onFailure: (cause) => Effect.zipRight(this.files.close(file), failed(cause)),
        onSuccess: (outcome) =>
          outcome === "locked"
            ? Effect.succeedSome(this.hold(file, request))
            : outcome === "busy"
            ? Effect.as(this.giveBack(file), Option.none())
            : Effect.zipRight(this.files.close(file), anew())
      })
    }
    const idle = this.files.take(place)
    return idle === undefined ? anew() : next(idle)
  }

  /** The directory may have been removed since it was made. */
  private open(place: string): Effect.Effect<OpenFile, unknown> {
    return Effect.catchAll(this.files.open(place), (error) =>
      FileError.isMissing(error)
        ? Effect.zipRight(this.makeDirectory(place), this.files.open(place))
        : Effect.fail(error))
  }

  private giveBack(file: OpenFile): Effect.Effect<void> {
    this.look()
    return this.files.giveBack(file)
  }

  private hold(file: OpenFile, { key, mode }: ExternalRequest): ExternalHold {
    const hold = new FileHold(key, file, mode, this.kernel, this.end)
    this.holds.add(hold)
    this.look()
    return hold
  }

  private readonly end = (hold: FileHold): Effect.Effect<void> => {
    const { file } = hold
    this.holds.delete(hold)
    hold.released = true
    try {
      hold.look()
      if (hold.isPassedOn) return this.files.close(file)
      this.kernel.unlock(file.fd, lock)
      return hold.removed || hold.unsound || hold.lostAs !== undefined ? this.files.close(file) : this.giveBack(file)
    } catch {
      // To close it ends its locks, whatever is wrong.
      return this.files.close(file)
    }
  }

  /** Looks after holds and idle files for as long as there are some. The timer keeps no process alive. */
  private look(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => {
      for (const hold of this.holds) {
        try {
          hold.look()
        } catch {
          // Who cannot look does not know; the end of the hold tells.
        }
      }
      if (this.files.hasIdle) Runtime.runFork(this.runtime)(this.files.closeIdle())
      else if (this.holds.size === 0) this.stop()
    }, lookEvery)
    this.timer.unref?.()
  }

  private stop(): void {
    clearInterval(this.timer)
    this.timer = undefined
  }

  /** Closes all files but those that are held, which are closed when they are released. */
  get close(): Effect.Effect<void> {
    return this.files.closeAll
  }
}

/** A hold of one lock file. */
import * as Effect from "effect/Effect"
import { ExternalHold } from "../ExternalLock.ts"
import type { KernelLock } from "../KernelLock.ts"
import { type ExternalLockError, type LockKey, LockLost } from "../LockError.ts"
import * as FileError from "./fileError.ts"
import { gate, isCurrent, lock } from "./fileWait.ts"
import type { OpenFile } from "./openFiles.ts"
import type { Mode } from "./ticket.ts"

export class FileHold extends ExternalHold {
  readonly file: OpenFile
  mode: Mode
  /** By its holder. */
  removed = false
  /** Its file may be another's now. */
  released = false
  private readonly key: LockKey
  private readonly kernel: KernelLock
  private readonly end: (hold: FileHold) => Effect.Effect<void>

  constructor(
    key: LockKey,
    file: OpenFile,
    mode: Mode,
    kernel: KernelLock,
    end: (hold: FileHold) => Effect.Effect<void>
  ) {
    super()
    this.key = key
    this.file = file
    this.mode = mode
    this.kernel = kernel
    this.end = end
  }

  get release(): Effect.Effect<void> {
    return Effect.suspend(() => this.end(this))
  }

  get tryUpgrade(): Effect.Effect<boolean, ExternalLockError> {
    return this.try(() => {
      if (this.mode === "exclusive") return true
      // There a lock is let go of before it is taken in another mode.
      if (this.released || !this.kernel.hasRanges) return false
      const { fd } = this.file
      if (!this.kernel.tryLock(fd, gate, "shared")) return false
      try {
        if (!this.kernel.tryLock(fd, lock, "exclusive")) return false
      } finally {
        this.kernel.unlock(fd, gate)
      }
      this.mode = "exclusive"
      this.look()
      return this.lostAs === undefined
    })
  }

  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return this.try(() => {
      if (!this.released && this.kernel.tryLock(this.file.fd, lock, "shared")) this.mode = "shared"
    })
  }

  private try<A>(f: () => A): Effect.Effect<A, ExternalLockError> {
    return Effect.try({ try: f, catch: (cause) => FileError.make(this.file.path, cause, this.key) })
  }

  /** Unlinks its file, and keeps its holder from thinking it lost. */
  remove(unlink: Effect.Effect<void, unknown>): Effect.Effect<void, unknown> {
    return Effect.suspend(() => {
      this.removed = true
      return unlink.pipe(
        Effect.catchIf(FileError.isMissing, () => Effect.void),
        Effect.tapError(() => Effect.sync(() => this.removed = false))
      )
    })
  }

  get check(): Effect.Effect<void> {
    return Effect.ignore(this.try(() => this.look()))
  }

  /** Looks whether it is lost. */
  look(): void {
    if (this.removed || isCurrent(this.kernel, this.file)) return
    const explanation =
      `its file ${this.file.path} was removed or replaced while it was held, and others may lock the new one; ` +
      `remove lock files with FileLock.remove, which takes the lock first`
    this.lose(new LockLost({ key: this.key, explanation, completed: false }))
  }
}

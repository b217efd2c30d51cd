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
  /** Another process has the open file too, and is to keep the lock. */
  isPassedOn = false
  /** The kernel failed halfway: what is locked of the file is not known. */
  unsound = false
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
      if (this.released || this.lostAs !== undefined) return false
      if (this.mode === "exclusive") return true
      if (!this.kernel.changesMode) return false
      const { fd } = this.file
      if (!this.kernel.tryLock(fd, gate, "shared")) return false
      try {
        const locked = this.kernel.tryLock(fd, lock, "exclusive")
        this.kernel.unlock(fd, gate)
        if (!locked) return false
        this.look()
      } catch (error) {
        this.back()
        throw error
      }
      if (this.lostAs !== undefined) return false
      this.mode = "exclusive"
      return true
    })
  }

  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return this.try(() => {
      // It stays exclusive then for other processes, which harms nobody.
      if (this.released || !this.kernel.changesMode) return
      if (this.kernel.tryLock(this.file.fd, lock, "shared")) this.mode = "shared"
      else this.loseAs("the kernel did not leave it locked when its mode was changed")
    })
  }

  /** To where it was, as far as the kernel goes along; at its end the file is closed, which ends all. */
  private back(): void {
    this.unsound = true
    try {
      this.kernel.tryLock(this.file.fd, lock, "shared")
      this.kernel.unlock(this.file.fd, gate)
    } catch {
      // What is locked beyond need keeps others waiting until the end.
    }
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
    this.loseAs(
      `its file ${this.file.path} was removed or replaced while it was held, and others may lock the new one; ` +
        `remove lock files with FileLock.remove, which takes the lock first`
    )
  }

  private loseAs(explanation: string): void {
    this.lose(new LockLost({ key: this.key, explanation, completed: false }))
  }
}

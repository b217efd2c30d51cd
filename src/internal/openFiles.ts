/**
 * The lock files that are open. Each hold, and each wait, has an open file to
 * itself, for it is the open file that a lock of the kernel belongs to: so the
 * kernel alone says who excludes whom, in this process and outside of it. What
 * nobody uses is kept for a while, for the next.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { FileIdentity, KernelLock } from "../KernelLock.ts"
import { ExternalLockError } from "../LockError.ts"
import * as FileError from "./fileError.ts"

export class OpenFile {
  readonly path: string
  readonly fd: number
  readonly identity: FileIdentity
  readonly scope: Scope.CloseableScope
  /** Milliseconds, of a clock that only goes on. */
  idleSince = 0
  constructor(path: string, fd: number, identity: FileIdentity, scope: Scope.CloseableScope) {
    this.path = path
    this.fd = fd
    this.identity = identity
    this.scope = scope
  }
}

/** For how long a file stays open that nobody uses: milliseconds. */
const idleTime = 5000
/** How many do. */
const mostIdle = 128

const linked = (path: string) =>
  new ExternalLockError({
    reason: "Misconfigured",
    key: undefined,
    place: path,
    explanation:
      `${path}: the lock file is a symbolic link, which may be made to lead elsewhere while it is held; remove it`
  })

export const isSame = (a: FileIdentity, b: FileIdentity | undefined): boolean =>
  b !== undefined && a.inode === b.inode && a.device === b.device

export class OpenFiles {
  private readonly fs: FileSystem.FileSystem
  private readonly kernel: KernelLock
  private readonly mode: number
  /** Does the program ask for this mode, whatever the umask says? */
  private readonly exactly: boolean
  /** By path; one that has none for a while is forgotten. */
  private readonly idle = new Map<string, Array<OpenFile>>()
  private idleCount = 0
  private closed = false

  constructor(fs: FileSystem.FileSystem, kernel: KernelLock, mode: number, exactly: boolean) {
    this.fs = fs
    this.kernel = kernel
    this.mode = mode
    this.exactly = exactly
  }

  get hasIdle(): boolean {
    return this.idleCount > 0
  }

  /** One that is open already. */
  take(path: string): OpenFile | undefined {
    const file = this.idle.get(path)?.pop()
    if (file !== undefined) this.idleCount--
    return file
  }

  open(path: string): Effect.Effect<OpenFile, ExternalLockError> {
    return Effect.uninterruptible(Effect.flatMap(Scope.make(), (scope) =>
      Effect.catchAllCause(
        Scope.extend(this.openIn(path, scope), scope),
        (cause) => Effect.zipRight(Scope.close(scope, Exit.void), Effect.failCause(cause))
      )))
  }

  private openIn(path: string, scope: Scope.CloseableScope): Effect.Effect<OpenFile, ExternalLockError, Scope.Scope> {
    const { exactly, fs, kernel, mode } = this
    return Effect.gen(function*() {
      // It would make a file wherever the link leads, and whoever made the link could lead it elsewhere.
      if (yield* Effect.isSuccess(fs.readLink(path))) return yield* Effect.fail(linked(path))
      // Neither "a" nor "r" can be locked in both modes, and "w" would truncate what others may read.
      const file = yield* fs.open(path, { flag: "a+", mode })
      const info = yield* file.stat
      const identity = yield* Effect.orElseSucceed(
        Effect.try(() => kernel.identify(Number(file.fd))),
        () => undefined
      )
      // In memory, say: the number of its descriptor would be that of another file.
      if (identity === undefined || Number(identity.inode) !== Option.getOrUndefined(info.ino)) {
        return yield* Effect.fail(
          new ExternalLockError({
            reason: "Unsupported",
            key: undefined,
            place: path,
            explanation: `${path}: the FileSystem has no files of the system, which the kernel could lock; ` +
              `give FileLock.layer that of the platform, such as NodeFileSystem.layer`
          })
        )
      }
      // The umask has taken some away. Another user's file may not be changed, and is as that user wants it.
      if (exactly && (info.mode & 0o777) !== mode) {
        yield* Effect.ignore(Effect.try(() => kernel.setMode(Number(file.fd), mode)))
      }
      return new OpenFile(path, Number(file.fd), identity, scope)
    }).pipe(Effect.mapError((error) => error instanceof ExternalLockError ? error : FileError.make(path, error)))
  }

  /** Keeps a file for the next who takes it. It must have no locks. */
  giveBack(file: OpenFile): Effect.Effect<void> {
    if (this.closed || this.idleCount >= mostIdle) return this.close(file)
    file.idleSince = performance.now()
    const files = this.idle.get(file.path)
    if (files === undefined) this.idle.set(file.path, [file])
    else files.push(file)
    this.idleCount++
    return Effect.void
  }

  close(file: OpenFile): Effect.Effect<void> {
    return Scope.close(file.scope, Exit.void)
  }

  /** Closes those that nobody has used since `time`. */
  closeIdle(time = performance.now() - idleTime): Effect.Effect<void> {
    return Effect.suspend(() => {
      const old: Array<OpenFile> = []
      for (const [path, files] of this.idle) {
        const kept = files.filter((file) => file.idleSince > time)
        old.push(...files.filter((file) => file.idleSince <= time))
        if (kept.length === 0) this.idle.delete(path)
        else this.idle.set(path, kept)
      }
      this.idleCount -= old.length
      return Effect.forEach(old, (file) => this.close(file), { discard: true })
    })
  }

  /** From now on nothing is kept. */
  get closeAll(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      return this.closeIdle(Infinity)
    })
  }
}

/**
 * External locks by lock files: they exclude all processes of the host that use
 * the same lock path.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { ExternalLock, TypeId as ExternalLockTypeId } from "./ExternalLock.ts"
import * as Acquire from "./internal/acquireBeyond.ts"
import * as FileError from "./internal/fileError.ts"
import { find as findHolders } from "./internal/fileHolders.ts"
import * as FileName from "./internal/fileName.ts"
import { goOn } from "./internal/goOn.ts"
import { KernelFiles, lookEvery } from "./internal/kernelFiles.ts"
import * as Key from "./internal/lockKey.ts"
import * as LockPath from "./internal/lockPath.ts"
import { OpenFiles } from "./internal/openFiles.ts"
import * as Options from "./internal/options.ts"
import { KernelLock } from "./KernelLock.ts"
import { ExternalLockError, type LockLost } from "./LockError.ts"
import type { LockRegistry } from "./LockRegistry.ts"

/**
 * Where lock files are kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileLockOptions {
  /** The directory. All processes that are to exclude each other must use the same. It is made if need be. */
  readonly lockPath: string
  /**
   * The permissions of the lock files that are made, as for chmod; the lock path is
   * made with the same, and may be searched by whom it may be read by.
   * @default 0o600: nobody but this user
   */
  readonly mode?: number | undefined
}

/**
 * Which lock file.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileOptions {
  /** As in `LockOptions`. */
  readonly prefix?: string | undefined
  /** As in `LockOptions`. */
  readonly lockPath?: string | undefined
}

/**
 * Who holds a lock file.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileHolder {
  readonly pid: number
  /** How the process was started: its program and arguments. */
  readonly command: string
  readonly mode: "exclusive" | "shared"
}

/**
 * Who holds a lock file, as far as this process may know.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileHolders {
  readonly holders: ReadonlyArray<FileHolder>
  /** Are these all? Not when another user's process holds it, or where only Linux could tell. */
  readonly complete: boolean
}

/**
 * Lock files, for what is not locking them.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileLock {
  /**
   * The path of the file that `lock(name, { external: true })` locks: oslo's, byte
   * for byte. Separators in the name become `_`. The prefix may have none; and
   * `.`, `..`, the empty name, a NUL and names of more than 255 bytes are refused.
   */
  readonly path: (name: string, options?: FileOptions) => Effect.Effect<string, ExternalLockError>
  /**
   * Removes a lock file, if it is there. It takes the lock first, and waits for it:
   * so it takes it from nobody, and those who wait lock the file that is made
   * next. Programs in Python do not look for that, so remove no file that they
   * may be waiting for.
   *
   * Dies inside the fiber's own hold of that lock: `Deadlock` for one of
   * `withLock`.
   */
  readonly remove: (
    name: string,
    options?: FileOptions
  ) => Effect.Effect<void, ExternalLockError | LockLost, LockRegistry>
  /**
   * The processes that hold a lock file. It may be out of date the instant after it is
   * known. Linux tells; elsewhere nobody is found and it is not `complete`.
   */
  readonly holders: (name: string, options?: FileOptions) => Effect.Effect<FileHolders, ExternalLockError>
}

const tag = Context.GenericTag<FileLock>("effect-locks/FileLock")

/** Nobody but this user. */
const privately = 0o600

type Services = FileLock | ExternalLock

const make = (
  { lockPath, mode }: FileLockOptions
): Effect.Effect<
  Context.Context<Services>,
  ExternalLockError,
  FileSystem.FileSystem | Path.Path | KernelLock | Scope.Scope
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const kernel = yield* KernelLock
    const fileMode = mode ?? privately
    const prepare = (lockPath: string) => LockPath.prepare(fs, path, lockPath, fileMode)
    const directory = yield* prepare(lockPath)
    const directories = new Map([[lockPath, directory]])
    const directoryOf = (given: string) => {
      const known = directories.get(given)
      return known !== undefined
        ? Effect.succeed(known)
        : Effect.tap(prepare(given), (directory) => Effect.sync(() => directories.set(given, directory)))
    }
    const files = yield* Effect.acquireRelease(
      Effect.map(Effect.runtime<never>(), (runtime) =>
        new KernelFiles(
          kernel,
          new OpenFiles(fs, kernel, fileMode, mode !== undefined),
          (file) => prepare(path.dirname(file)),
          runtime
        )),
      (files) => files.close
    )
    const place: ExternalLock["place"] = (key, given) => {
      const file = FileName.make(key, path.sep)
      const objection = FileName.objection(file, path.sep)
      return objection === undefined
        ? goOn(directoryOf(given ?? lockPath), (directory) => Effect.succeed(directory + path.sep + file))
        : Effect.fail(
          new ExternalLockError({ reason: "UnsafeName", key, place: undefined, explanation: objection })
        )
    }
    const external = ExternalLock.of({
      [ExternalLockTypeId]: ExternalLockTypeId,
      guarantees: {
        reach: "host",
        freedOnDeath: "at once",
        starvationFree: kernel.hasRanges,
        lossSeenWithin: Duration.millis(2 * lookEvery)
      },
      place,
      acquire: (request, restore) => files.acquire(request, restore),
      tryAcquire: (request) => files.tryAcquire(request)
    })
    const pathOf: FileLock["path"] = (name, options = {}) =>
      Effect.flatMap(keyOf(name, options), (key) => place(key, options.lockPath))
    const lock = tag.of({
      path: pathOf,
      remove: (name, options = {}) =>
        Effect.flatMap(pathOf(name, options), (file) =>
          removing(
            name,
            options,
            Effect.mapError(files.remove(file, fs.remove(file)), (error) => FileError.make(file, error))
          ).pipe(Effect.provideService(ExternalLock, external))),
      holders: (name, options) =>
        Effect.gen(function*() {
          const file = yield* pathOf(name, options)
          const identity = yield* Effect.try({
            try: () => kernel.identify(file),
            catch: (error) => FileError.make(file, error)
          })
          if (identity === undefined) return { holders: [], complete: true }
          return (yield* findHolders(fs, identity)) ?? { holders: [], complete: false }
        })
    })
    return Context.make(tag, lock).pipe(Context.add(ExternalLock, external))
  })

const keyOf = (name: string, { prefix }: FileOptions) => Effect.suspend(() => Effect.succeed(Key.parse(prefix, name)))

/** Runs `remove` while holding the lock whose file it removes. */
const removing = (name: string, options: FileOptions, remove: Effect.Effect<void, ExternalLockError>) =>
  Options.resolved(
    () => Options.forLock(name, { ...options, external: true, log: false }),
    (spec) => Effect.catchTag(Acquire.guardAnew(remove, spec, "remove"), "AcquireLockFailed", Effect.die)
  )

const layerKernelLock = (options: FileLockOptions) => Layer.scopedContext(make(options))

const fromEnvironment = Effect.mapError(
  Effect.map(Config.string("OSLO_LOCK_PATH"), (lockPath): FileLockOptions => ({ lockPath })),
  (cause) =>
    new ExternalLockError({
      reason: "Misconfigured",
      key: undefined,
      place: undefined,
      explanation: `there is no lock path; set OSLO_LOCK_PATH, or give the configuration to read it from`,
      cause
    })
)

const configured = (
  config: Config.Config.Wrap<FileLockOptions> | undefined
): Effect.Effect<FileLockOptions, ExternalLockError | ConfigError.ConfigError> =>
  config === undefined ? fromEnvironment : Config.unwrap(config)

/**
 * Lock files. Its layers provide what `external: true` asks for too, and need
 * `FileSystem` and `Path` of the platform.
 *
 * Locks of the kernel on open files exclude the fibers and worker threads of this
 * process that use another layer, all other processes of the host, and Python
 * programs that use `fcntl.lockf`, as oslo and fasteners do, on the same file. The
 * kernel frees them when their process ends, however it ends. Nobody waits for
 * ever: who has waited for 20 milliseconds is served next.
 *
 * What they do not protect against, such as network file systems, is in
 * docs/file-locks.md.
 *
 * @since 0.1.0
 * @category services
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { FileLock, LockRegistry, withLock } from "effect-locks"
 *
 * const program = Effect.log("no other process is here").pipe(withLock("report", { external: true }))
 *
 * const locks = Layer.merge(LockRegistry.layer, FileLock.layerTemp).pipe(Layer.provide(NodeContext.layer))
 *
 * Effect.runPromise(Effect.provide(program, locks))
 */
export const FileLock: Context.Tag<FileLock, FileLock> & {
  /** Lock files in a directory, by locks of the kernel. */
  readonly layer: (
    options: FileLockOptions
  ) => Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path>
  /** The same, with the options from a `Config`: by default the lock path from `OSLO_LOCK_PATH`. */
  readonly layerConfig: (
    config?: Config.Config.Wrap<FileLockOptions>
  ) => Layer.Layer<Services, ExternalLockError | ConfigError.ConfigError, FileSystem.FileSystem | Path.Path>
  /** A new directory, which is removed with the layer: for tests. */
  readonly layerTemp: Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path>
  /** As `layer`, with a `KernelLock` of your own. */
  readonly layerKernelLock: (
    options: FileLockOptions
  ) => Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path | KernelLock>
} = /*#__PURE__*/ Object.assign(tag, {
  layer: (options: FileLockOptions) => Layer.provide(layerKernelLock(options), KernelLock.layer),
  layerConfig: (config?: Config.Config.Wrap<FileLockOptions>) =>
    Layer.provide(
      Layer.unwrapEffect(Effect.map(configured(config), layerKernelLock)),
      KernelLock.layer
    ),
  layerTemp: Layer.provide(
    Layer.unwrapScoped(
      Effect.flatMap(
        FileSystem.FileSystem,
        (fs) =>
          Effect.mapBoth(fs.makeTempDirectoryScoped({ prefix: "effect-locks-" }), {
            onFailure: (error) => FileError.make("the temporary directory", error),
            onSuccess: (lockPath) => layerKernelLock({ lockPath })
          })
      )
    ),
    KernelLock.layer
  ),
  layerKernelLock
})

/**
 * External locks by lock files: they exclude all processes of the host that use
 * the same lock path.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ExternalLock } from "./ExternalLock.ts"
import type { FileEngine, Surroundings } from "./internal/fileEngine.ts"
import * as FileError from "./internal/fileError.ts"
import * as FileLocks from "./internal/fileLocks.ts"
import { tag } from "./internal/fileLockTag.ts"
import * as KernelEngine from "./internal/kernelEngine.ts"
import * as PortableEngine from "./internal/portableEngine.ts"
import { KernelLock } from "./KernelLock.ts"
import { ExternalLockError, type LockLost } from "./LockError.ts"
import type { Known, LockOptions, RegistryOf, WaitError, WaitOptions } from "./LockOptions.ts"
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
  /**
   * Lets `external: true` hold the lock of this process alone, so that it excludes no
   * other process: for a program that is known to be the only one (oslo's
   * `disable_process_locking`). The layer says so in a warning. The lock path is
   * not looked at then; `path`, `remove` and `holders` are as ever.
   * @default false
   */
  readonly disableProcessLocking?: boolean | undefined
}

/**
 * Where portable locks are kept, and when a holder is taken to be gone.
 *
 * @since 0.1.0
 * @category models
 */
export interface PortableOptions extends FileLockOptions {
  /**
   * How long nothing may be heard of a holder before it is taken to be gone, when
   * this process cannot see whether it is there: it is on another machine, or in
   * another container, or this is not Linux. A holder whose process or machine
   * stands still for longer loses the lock, and learns it when it goes on.
   * @default "30 seconds"
   */
  readonly silence?: Duration.DurationInput | undefined
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
 * Which lock file to remove, and how to wait for its lock.
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoveOptions extends WaitOptions, FileOptions, Pick<LockOptions, "retry"> {}

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
   * for byte (of `layerPortable` a directory, whose name ends in `.lock` besides).
   * Separators in the name become `_`. The prefix may have none; and `.`, `..`, the
   * empty name, a NUL and names of more than 255 bytes are refused.
   */
  readonly path: (name: string, options?: FileOptions) => Effect.Effect<string, ExternalLockError>
  /**
   * Removes a lock file, if it is there. It takes the lock first, and waits for it:
   * so it takes it from nobody, and those who wait lock the file that is made
   * next. Programs in Python do not look for that, so remove no file that they
   * may be waiting for.
   *
   * Dies inside the fiber's own hold of that lock. `blocking: false`, `timeout`,
   * `maxWaiting` and `retry` add `AcquireLockFailed`, as in `lock`.
   */
  readonly remove: {
    (name: string): Effect.Effect<void, ExternalLockError | LockLost, LockRegistry>
    <const O extends RemoveOptions | undefined>(
      name: string,
      options: O & Known<O, RemoveOptions>
    ): Effect.Effect<void, ExternalLockError | LockLost | WaitError<O>, RegistryOf<O>>
  }
  /**
   * The processes that hold a lock file. It may be out of date the instant after it is
   * known. Linux tells; elsewhere nobody is found and it is not `complete`.
   */
  readonly holders: (name: string, options?: FileOptions) => Effect.Effect<FileHolders, ExternalLockError>
}

type Services = FileLock | ExternalLock

const layerOf = <R>(
  options: FileLockOptions,
  engine: (surroundings: Surroundings) => Effect.Effect<FileEngine, never, R>
) =>
  Layer.scopedContext(
    Effect.map(FileLocks.make(options, engine), ({ external, files }) =>
      Context.make(tag, files).pipe(Context.add(ExternalLock, external)))
  )

const layerKernelLock = (options: FileLockOptions) => layerOf(options, KernelEngine.make)

/** How long nothing may be heard of a holder that cannot be looked at. */
const silence: Duration.DurationInput = "30 seconds"

const layerPortable = (options: PortableOptions) =>
  layerOf(options, PortableEngine.make(Duration.decode(options.silence ?? silence)))

/** The names that oslo knows: that of the option, and that of the environment driver of oslo.config. */
const config: Config.Config<FileLockOptions> = Config.all({
  disableProcessLocking: Config.withDefault(Config.boolean("OS_OSLO_CONCURRENCY__DISABLE_PROCESS_LOCKING"), false),
  lockPath: Config.option(
    Config.orElse(Config.string("OS_OSLO_CONCURRENCY__LOCK_PATH"), () => Config.string("OSLO_LOCK_PATH"))
  )
}).pipe(Config.mapOrFail(({ disableProcessLocking, lockPath }) =>
  Option.match(lockPath, {
    onSome: (lockPath) => Either.right({ disableProcessLocking, lockPath }),
    onNone: () =>
      disableProcessLocking
        ? Either.right({ disableProcessLocking, lockPath: "" })
        : Either.left(ConfigError.MissingData(["OSLO_LOCK_PATH"], "there is no lock path; set OSLO_LOCK_PATH"))
  })
))

const fromEnvironment = Effect.mapError(
  config,
  (cause) =>
    ConfigError.isMissingDataOnly(cause)
      ? new ExternalLockError({
        reason: "Misconfigured",
        key: undefined,
        place: undefined,
        explanation: `there is no lock path; set OSLO_LOCK_PATH, or give the configuration to read it from`,
        cause
      })
      : cause
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
 * ever (save on macOS, where it is not promised): who has waited for 20 milliseconds
 * is served next.
 *
 * What they do not protect against, such as network file systems, is in
 * docs/guarantees.md.
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
 *
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Config, ConfigProvider, Effect, Layer } from "effect"
 * import { FileLock, LockRegistry, withLock } from "effect-locks"
 *
 * // By default FileLock.config, which reads OSLO_LOCK_PATH.
 * const configured = FileLock.layerConfig({ lockPath: Config.string("LOCKS") })
 * const fixed = FileLock.layer({ lockPath: "/var/lib/reports/locks", mode: 0o660 })
 * const withoutTheKernel = FileLock.layerPortable({ lockPath: "/mnt/shared/locks", silence: "1 minute" })
 *
 * const program = Effect.void.pipe(
 *   withLock("report", { external: true }),
 *   Effect.catchTag("ExternalLockError", (error) => Effect.log(error.message))
 * )
 *
 * const locks = (files: typeof configured | typeof fixed | typeof withoutTheKernel) =>
 *   Layer.merge(LockRegistry.layer, files).pipe(Layer.provide(NodeContext.layer))
 * const environment = ConfigProvider.fromMap(new Map([["LOCKS", `/tmp/effect-locks-${process.pid}`]]))
 *
 * Effect.runPromise(Effect.provide(program, locks(configured)).pipe(Effect.withConfigProvider(environment)))
 */
export const FileLock: Context.Tag<FileLock, FileLock> & {
  /** Lock files in a directory, by locks of the kernel. */
  readonly layer: (
    options: FileLockOptions
  ) => Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path>
  /** The same, with the options from a `Config`: by default from `FileLock.config`. */
  readonly layerConfig: (
    config?: Config.Config.Wrap<FileLockOptions>
  ) => Layer.Layer<Services, ExternalLockError | ConfigError.ConfigError, FileSystem.FileSystem | Path.Path>
  /**
   * The options as oslo's environment has them: `OSLO_LOCK_PATH`, or what oslo.config
   * reads, `OS_OSLO_CONCURRENCY__LOCK_PATH` and `OS_OSLO_CONCURRENCY__DISABLE_PROCESS_LOCKING`
   * (oslo's `get_lock_path`).
   */
  readonly config: Config.Config<FileLockOptions>
  /** A new directory, which is removed with the layer: for tests. */
  readonly layerTemp: Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path>
  /**
   * Locks by directories alone, for where the kernel has no locks: file systems
   * that refuse them, and platforms that `KernelLock` has nothing for. All that use a
   * lock path must use it, for locks of the kernel and these do not exclude each other.
   *
   * The lock of a process of this machine that is gone is free at once, that of
   * another when it has been silent for long. Waiting writers may be passed by
   * readers for as long as these come without a gap, and an upgrade always
   * fails with `UpgradeConflict`.
   */
  readonly layerPortable: (
    options: PortableOptions
  ) => Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path>
  /** As `layer`, with a `KernelLock` of your own. */
  readonly layerKernelLock: (
    options: FileLockOptions
  ) => Layer.Layer<Services, ExternalLockError, FileSystem.FileSystem | Path.Path | KernelLock>
} = /*#__PURE__*/ Object.assign(tag, {
  layer: (options: FileLockOptions) => Layer.provide(layerKernelLock(options), KernelLock.layer),
  config,
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
  layerPortable,
  layerKernelLock
})

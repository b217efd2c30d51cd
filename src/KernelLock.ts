/**
 * Locks of the kernel on open files, as `FileLock` uses them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ExternalLockError } from "./LockError.ts"

/**
 * What makes a file that file, whatever its path.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileIdentity {
  readonly device: bigint
  readonly inode: bigint
}

/**
 * A part of a file: `length` bytes from `start`, which need not exist.
 *
 * @since 0.1.0
 * @category models
 */
export interface ByteRange {
  readonly start: number
  readonly length: number
}

/**
 * Locks that belong to an open file: two files that were opened apart exclude each
 * other also within one process, and to close a file ends all of its locks. They
 * must exclude Python's `fcntl.lockf`. All of it is synchronous and never waits.
 *
 * What cannot be done is thrown, as an error with the `code` of the system.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelLock {
  /** Locks, or changes the mode of what this file has locked; `false` when another file is in the way. */
  readonly tryLock: (fd: number, range: ByteRange, mode: "exclusive" | "shared") => boolean
  readonly unlock: (fd: number, range: ByteRange) => void
  /** Can parts of a file be locked? If not, every range is the whole file. */
  readonly hasRanges: boolean
  /** Does `tryLock` change the mode of what this file has locked in one step, and keep it when it cannot? */
  readonly changesMode: boolean
  /** Gives an open file its permissions, as fchmod. */
  readonly setMode: (fd: number, mode: number) => void
  /** The file behind a descriptor or a path, which may be a symbolic link itself; nothing when there is none. */
  readonly identify: (file: number | string) => FileIdentity | undefined
}

/** What we use of fs-native-extensions, which brings no types. */
interface NativeExtensions {
  readonly tryLock: (fd: number, offset: number, length: number, options: { readonly shared: boolean }) => boolean
  readonly unlock: (fd: number, offset: number, length: number) => void
}

/** `koffi` on Linux, where its 64-bit `struct flock` and `F_OFD_SETLK` are these. */
const flock = { l_type: "int16", l_whence: "int16", l_start: "int64", l_len: "int64", l_pid: "int32" } as const
const setLock = 37
const types = { shared: 0, exclusive: 1, none: 2 }

const unsupported = (explanation: string, cause?: unknown) =>
  new ExternalLockError({ reason: "Unsupported", key: undefined, place: undefined, explanation, cause })

// A bundler must not follow this: native code cannot be bundled, a program for browsers has no node:fs, and
// koffi need not be there. So the name is not written inside import().
const load = <A>(module: string, how: string): Effect.Effect<A, ExternalLockError> =>
  Effect.tryPromise({
    try: (): Promise<A> => import(/* webpackIgnore: true */ /* @vite-ignore */ module),
    catch: (cause) =>
      unsupported(`the locks of the kernel are out of reach, because ${module} cannot be loaded here; ${how}`, cause)
  })

type OfFiles = Pick<KernelLock, "identify" | "setMode">

const ofFiles = Effect.map(
  load<typeof import("node:fs")>("node:fs", "run on Node, Bun or Deno, or use FileLock.layerPortable"),
  (fs): OfFiles => ({
    setMode: fs.fchmodSync,
    identify: (file) => {
      const stat = typeof file === "number"
        ? fs.fstatSync(file, { bigint: true })
        : fs.lstatSync(file, { bigint: true, throwIfNoEntry: false })
      return stat === undefined ? undefined : { device: stat.dev, inode: stat.ino }
    }
  })
)

const native: Effect.Effect<KernelLock, ExternalLockError> = Effect.gen(function*() {
  const fs = yield* load<NativeExtensions>(
    "fs-native-extensions",
    `run "npm install fs-native-extensions", which has binaries for Linux with glibc, macOS and Windows; ` +
      `or "npm install koffi" on Linux; or use FileLock.layerPortable`
  )
  return {
    tryLock: (fd, { length, start }, mode) => fs.tryLock(fd, start, length, { shared: mode === "shared" }),
    unlock: (fd, { length, start }) => fs.unlock(fd, start, length),
    // On macOS it is flock(2), which knows no ranges.
    hasRanges: process.platform !== "darwin",
    // There it is let go of before it is taken anew; and on Windows both modes would be locked at once.
    changesMode: process.platform === "linux",
    ...(yield* ofFiles)
  }
})

const koffi: Effect.Effect<KernelLock, ExternalLockError> = Effect.gen(function*() {
  if (process.platform !== "linux") {
    return yield* Effect.fail(
      unsupported(
        `koffi is used for the locks of Linux only, and this is ${process.platform}; use FileLock.layerPortable`
      )
    )
  }
  const module = yield* load<typeof import("koffi")>(
    "koffi",
    `run "npm install koffi", or use FileLock.layerPortable`
  )
  const koffi = module.default
  const fcntl = koffi.load(null).func("int fcntl(int fd, int cmd, ...)")
  const pointer = koffi.pointer(koffi.struct(flock))
  const set = (fd: number, type: number, { length, start }: ByteRange): boolean => {
    const lock = { l_type: type, l_whence: 0, l_start: start, l_len: length, l_pid: 0 }
    if (fcntl(fd, setLock, "void *", koffi.as(lock, pointer)) === 0) return true
    const number = koffi.errno()
    const { EACCES, EAGAIN } = koffi.os.errno
    if (number === EAGAIN || number === EACCES) return false
    const code = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? String(number)
    throw Object.assign(new Error(`fcntl failed: ${code}`), { code })
  }
  return {
    tryLock: (fd, range, mode) => set(fd, types[mode], range),
    unlock: (fd, range) => void set(fd, types.none, range),
    hasRanges: true,
    changesMode: true,
    ...(yield* ofFiles)
  }
})

/** fs-native-extensions takes the process with it under Bun and Deno; with musl it is not found. */
const best: Effect.Effect<KernelLock, ExternalLockError> = Effect.suspend(() =>
  "Bun" in globalThis || "Deno" in globalThis
    ? koffi
    : Effect.catchAll(native, (error) => Effect.mapError(koffi, () => error))
)

const tag = Context.GenericTag<KernelLock>("effect-locks/KernelLock")

/**
 * The service that `FileLock.layer` locks files with. Nothing native is loaded
 * before one of its layers is built.
 *
 * @since 0.1.0
 * @category services
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { FileLock, LockRegistry, withLock } from "effect-locks"
 * import { KernelLock } from "effect-locks/KernelLock"
 *
 * // `layerKernelLock` takes whatever `KernelLock` it is given, `KernelLock.layerKoffi` say; here one that counts
 * // how often it locks.
 * let locked = 0
 * const counting = Layer.effect(
 *   KernelLock,
 *   Effect.map(KernelLock, (kernel) => ({
 *     ...kernel,
 *     tryLock: (fd, range, mode) => {
 *       locked++
 *       return kernel.tryLock(fd, range, mode)
 *     }
 *   }))
 * ).pipe(Layer.provide(KernelLock.layer))
 *
 * const locks = Layer.merge(
 *   LockRegistry.layer,
 *   Layer.provide(FileLock.layerKernelLock({ lockPath: "build/locks" }), counting)
 * ).pipe(Layer.provide(NodeContext.layer))
 *
 * const program = Effect.void.pipe(withLock("x", { external: true }))
 *
 * Effect.runPromise(Effect.provide(program, locks)).then(() => {
 *   if (locked === 0) throw new Error("nothing was locked")
 * })
 */
export const KernelLock: Context.Tag<KernelLock, KernelLock> & {
  /** `fs-native-extensions`; under Bun and Deno, and on Linux with musl, `koffi`, which has to be installed for that. */
  readonly layer: Layer.Layer<KernelLock, ExternalLockError>
  /** `koffi`, on Linux. */
  readonly layerKoffi: Layer.Layer<KernelLock, ExternalLockError>
} = /*#__PURE__*/ Object.assign(tag, {
  layer: Layer.effect(tag, best),
  layerKoffi: Layer.effect(tag, koffi)
})

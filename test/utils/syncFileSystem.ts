/**
 * Files of the system, each operation in a single step: nothing of it waits, so
 * that laws, sweeps and seeded interleavings reach everything in between.
 */
import { Error, FileSystem } from "@effect/platform"
import { Effect, Layer, Option } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const reasons: Record<string, Error.SystemErrorReason> = {
  ENOENT: "NotFound",
  EACCES: "PermissionDenied",
  EEXIST: "AlreadyExists"
}

const step = <A>(method: string, f: () => A): Effect.Effect<A, Error.PlatformError> =>
  Effect.try({
    try: f,
    catch: (cause) =>
      new Error.SystemError({
        module: "FileSystem",
        method,
        reason: reasons[(cause as NodeJS.ErrnoException).code ?? ""] ?? "Unknown",
        cause
      })
  })

const info = (stat: fs.Stats): FileSystem.File.Info => ({
  type: stat.isDirectory() ? "Directory" : stat.isFile() ? "File" : "Unknown",
  mtime: Option.some(stat.mtime),
  atime: Option.some(stat.atime),
  birthtime: Option.some(stat.birthtime),
  dev: stat.dev,
  rdev: Option.some(stat.rdev),
  ino: Option.some(stat.ino),
  mode: stat.mode,
  nlink: Option.some(stat.nlink),
  uid: Option.some(stat.uid),
  gid: Option.some(stat.gid),
  size: FileSystem.Size(stat.size),
  blksize: Option.none(),
  blocks: Option.none()
})

/** Only what lock files need. */
export const syncFileSystem = FileSystem.makeNoop({
  access: (file) => step("access", () => fs.accessSync(file)),
  chmod: (file, mode) => step("chmod", () => fs.chmodSync(file, mode)),
  makeDirectory: (file, options) => step("makeDirectory", () => void fs.mkdirSync(file, options)),
  makeTempDirectoryScoped: () =>
    Effect.acquireRelease(
      step("makeTempDirectoryScoped", () => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
    ),
  open: (file, options) =>
    Effect.map(
      Effect.acquireRelease(
        step("open", () => fs.openSync(file, options?.flag ?? "r", options?.mode)),
        (fd) => Effect.sync(() => fs.closeSync(fd))
      ),
      (fd): FileSystem.File =>
        ({ fd: FileSystem.FileDescriptor(fd), stat: step("stat", () => info(fs.fstatSync(fd))) }) as FileSystem.File
    ),
  readLink: (file) => step("readLink", () => fs.readlinkSync(file)),
  realPath: (file) => step("realPath", () => fs.realpathSync(file)),
  readDirectory: (file) => step("readDirectory", () => fs.readdirSync(file)),
  readFileString: (file) => step("readFileString", () => fs.readFileSync(file, "utf8")),
  writeFileString: (file, text, options) => step("writeFileString", () => fs.writeFileSync(file, text, options)),
  utimes: (file, atime, mtime) => step("utimes", () => fs.utimesSync(file, atime, mtime)),
  rename: (from, to) => step("rename", () => fs.renameSync(from, to)),
  remove: (file, options) => step("remove", () => fs.rmSync(file, options)),
  stat: (file) => step("stat", () => info(fs.statSync(file)))
})

export const layer: Layer.Layer<FileSystem.FileSystem> = Layer.succeed(FileSystem.FileSystem, syncFileSystem)

/**
 * The directory that lock files are kept in, checked before it is used: who can
 * replace a lock file can let two holders in.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { ExternalLockError } from "../LockError.ts"
import * as FileError from "./fileError.ts"

/** Where a program is told to keep its lock files, as oslo is. */
export const configured = Config.string("OSLO_LOCK_PATH")

const refused = (path: string, explanation: string) =>
  Effect.fail(
    new ExternalLockError({
      reason: "Misconfigured",
      key: undefined,
      place: path,
      explanation: `the lock path ${path} ${explanation}`
    })
  )

/** Who may read or write a file may look into its directory. */
export const directoryMode = (fileMode: number): number => fileMode | ((fileMode & 0o444) >> 2)

const othersMayWrite = 0o002
const sticky = 0o1000

/**
 * Makes a directory, and those above it, where nothing is. One by one: Node's own
 * `recursive` never comes back from where none can be made, such as /proc.
 */
const makeDirectory = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  directory: string,
  mode: number
): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    const make = fs.makeDirectory(directory, { mode })
    const parent = path.dirname(directory)
    const exists = Effect.isSuccess(fs.stat(directory))
    return Effect.catchAll(
      Effect.flatMap(exists, (exists) =>
        exists
          ? Effect.void
          : parent === directory
          ? make
          : Effect.zipRight(makeDirectory(fs, path, parent, mode), make)),
      // Somebody else may have made it meanwhile.
      (error) => Effect.flatMap(exists, (exists) => exists ? Effect.void : Effect.fail(error))
    )
  })

/** Makes it if need be; gives its canonical path. */
export const prepare = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  lockPath: string,
  fileMode: number
): Effect.Effect<string, ExternalLockError> => {
  if (lockPath === "" || lockPath.includes("\0")) {
    return refused(JSON.stringify(lockPath), "is no path; give the directory that lock files are to be kept in")
  }
  const directory = path.resolve(lockPath)
  const toError = Effect.mapError((cause: unknown) => FileError.make(directory, cause))
  return Effect.gen(function*() {
    if (yield* Effect.isSuccess(fs.readLink(directory))) {
      return yield* refused(
        directory,
        "is a symbolic link, which may be made to lead elsewhere while locks are held; give the path that it leads to"
      )
    }
    yield* toError(makeDirectory(fs, path, directory, directoryMode(fileMode)))
    const { mode, type } = yield* toError(fs.stat(directory))
    if (type !== "Directory") {
      return yield* refused(directory, "is not a directory; move what is there, or give another path")
    }
    if ((mode & othersMayWrite) !== 0 && (mode & sticky) === 0) {
      return yield* refused(
        directory,
        `is writable by everybody, who could replace the lock files; run "chmod o-w" or "chmod +t" on it`
      )
    }
    yield* toError(fs.access(directory, { readable: true, writable: true }))
    return yield* toError(fs.realPath(directory))
  })
}

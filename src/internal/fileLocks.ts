/** The services of lock files, whatever locks them. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { ExternalLock, TypeId } from "../ExternalLock.ts"
import type { FileLock, FileLockOptions, FileOptions, RemoveOptions } from "../FileLock.ts"
import { ExternalLockError } from "../LockError.ts"
import * as Acquire from "./acquireBeyond.ts"
import type { FileEngine, Surroundings } from "./fileEngine.ts"
import * as FileError from "./fileError.ts"
import * as FileName from "./fileName.ts"
import { goOn } from "./goOn.ts"
import * as Key from "./lockKey.ts"
import * as LockPath from "./lockPath.ts"
import * as NoLock from "./noLock.ts"
import * as Options from "./options.ts"

/** Nobody but this user. */
const privately = 0o600

export const make = <R>(
  { disableProcessLocking = false, lockPath, mode }: FileLockOptions,
  makeEngine: (surroundings: Surroundings) => Effect.Effect<FileEngine, never, R>
): Effect.Effect<
  { readonly files: FileLock; readonly external: ExternalLock },
  ExternalLockError,
  FileSystem.FileSystem | Path.Path | R
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const fileMode = mode ?? privately
    const prepare = (lockPath: string) => LockPath.prepare(fs, path, lockPath, fileMode)
    const directories = new Map<string, string>()
    const directoryOf = (given: string) => {
      const known = directories.get(given)
      return known !== undefined
        ? Effect.succeed(known)
        : Effect.tap(prepare(given), (directory) => Effect.sync(() => directories.set(given, directory)))
    }
    if (disableProcessLocking) {
      yield* Effect.logWarning("external locks exclude no other process: disableProcessLocking is set")
    } else yield* directoryOf(lockPath)
    const engine = yield* makeEngine({ fs, path, fileMode, exactly: mode !== undefined, prepare })
    const place: ExternalLock["place"] = (key, given) => {
      const file = FileName.make(key, path.sep)
      const objection = FileName.objection(file, engine.ending, path.sep)
      return objection === undefined
        ? goOn(
          directoryOf(given ?? lockPath),
          (directory) => Effect.succeed(directory + path.sep + file + engine.ending)
        )
        : Effect.fail(new ExternalLockError({ reason: "UnsafeName", key, place: undefined, explanation: objection }))
    }
    const external = ExternalLock.of({
      [TypeId]: TypeId,
      guarantees: engine.guarantees,
      place,
      acquire: engine.acquire,
      tryAcquire: engine.tryAcquire
    })
    /** Does `f` with the file of a name. */
    const at = <A, R>(name: string, options: FileOptions, f: (file: string) => Effect.Effect<A, unknown, R>) =>
      Effect.flatMap(
        Effect.suspend(() => place(Key.parse(options.prefix, name), options.lockPath)),
        (file) =>
          Effect.mapError(f(file), (error) => error instanceof ExternalLockError ? error : FileError.make(file, error))
      )
    const files: FileLock = {
      path: (name, options = {}) => at(name, options, Effect.succeed),
      remove: (name: string, options: RemoveOptions = {}): any =>
        Options.resolved(
          () => Options.forLock(name, { ...options, mode: "exclusive", reentrant: false, external: true }),
          (spec) =>
            Effect.provideService(
              Acquire.guardAnew(
                (hold) => at(name, options, (file) => engine.remove(file, hold)),
                spec,
                "remove"
              ),
              ExternalLock,
              external
            )
        ),
      holders: (name, options = {}) => at(name, options, engine.holders)
    }
    return { files, external: disableProcessLocking ? NoLock.make(path.sep) : external }
  })

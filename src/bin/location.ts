/** Where a lock is kept. To ask for it makes nothing and checks nothing. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { lstatSync, realpathSync } from "node:fs"
import * as path from "node:path"
import { FileLock } from "../FileLock.ts"
import * as FileError from "../internal/fileError.ts"
import * as FileName from "../internal/fileName.ts"
import * as Key from "../internal/lockKey.ts"
import type { ExternalLockError } from "../LockError.ts"
import * as Code from "./exitCode.ts"
import { type Ended, ended } from "./failure.ts"

export const lockPath = (given: Option.Option<string>): Effect.Effect<string, Ended> =>
  Effect.flatMap(
    Option.match(given, {
      onNone: () => Effect.match(FileLock.config, { onFailure: () => "", onSuccess: ({ lockPath }) => lockPath }),
      onSome: Effect.succeed
    }),
    (lockPath) =>
      lockPath === ""
        ? Effect.fail(ended(Code.misconfigured, "there is no lock path; give --lock-path DIR, or set OSLO_LOCK_PATH"))
        : Effect.try({
          try: () => path.resolve(lockPath),
          catch: (error) => ended(Code.misconfigured, `the lock path ${lockPath} leads nowhere: ${String(error)}`)
        })
  )

/** Only what is surely not there is not. */
export const exists = (file: string): Effect.Effect<boolean, ExternalLockError> =>
  Effect.catchIf(
    Effect.try({ try: () => lstatSync(file) !== undefined, catch: (error) => FileError.make(file, error) }),
    FileError.isMissing,
    () => Effect.succeed(false)
  )

/** As all others name it, if it is there. */
export const canonical = (lockPath: string): string => {
  const directory = path.resolve(lockPath)
  try {
    return realpathSync(directory)
  } catch {
    return directory
  }
}

/** The path of the file that is locked. */
export const file = (lockPath: string, prefix: string | undefined, name: string): Effect.Effect<string, Ended> =>
  Effect.suspend(() => {
    const key = Key.parse(prefix, name)
    const file = FileName.make(key, path.sep)
    const objection = FileName.objection(file, "", path.sep)
    return objection === undefined
      ? Effect.succeed(path.join(canonical(lockPath), file))
      : Effect.fail(ended(Code.usage, `lock ${key}: ${objection}`))
  })

import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type { ExternalLock } from "../ExternalLock.ts"
import * as FileError from "../internal/fileError.ts"
import type { AcquireLockFailed, ExternalLockError } from "../LockError.ts"
import type { LockOptions } from "../LockOptions.ts"
import type { LockRegistry } from "../LockRegistry.ts"
import { acquire } from "./acquire.ts"

/** As `FileLock.remove`, for as long as one has the patience. */
export const remove = (
  name: string,
  options: LockOptions
): Effect.Effect<
  void,
  AcquireLockFailed | ExternalLockError,
  LockRegistry | ExternalLock | FileSystem.FileSystem
> =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const hold = yield* acquire(name, options)
    const { path } = hold.file
    yield* Effect.mapError(hold.remove(fs.remove(path)), (error) => FileError.make(path, error))
  }))

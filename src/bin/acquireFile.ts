import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ExternalLock } from "../ExternalLock.ts"
import * as Acquire from "../internal/acquireBeyond.ts"
import * as Beyond from "../internal/beyond.ts"
import { FileHold } from "../internal/fileHold.ts"
import * as Options from "../internal/options.ts"
import type { AcquireLockFailed, ExternalLockError } from "../LockError.ts"
import type { LockOptions } from "../LockOptions.ts"
import type { LockRegistry } from "../LockRegistry.ts"

/** As `lock`; it gives the hold of the file, which programs do not get to see. */
export const acquire = (
  name: string,
  options: LockOptions
): Effect.Effect<FileHold, AcquireLockFailed | ExternalLockError, Scope.Scope | LockRegistry | ExternalLock> =>
  Options.resolved(
    () => Options.forLock(name, { ...options, external: true }),
    (spec) =>
      Effect.flatMap(
        Acquire.scoped(spec, Beyond.holdsOf),
        ([hold]) => hold instanceof FileHold ? Effect.succeed(hold) : Effect.dieMessage("the hold is not of a file")
      )
  )

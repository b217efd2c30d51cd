/** How lock files are locked: what the layers of `FileLock` differ in. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Effect from "effect/Effect"
import type { ExternalHold, ExternalLock, Guarantees } from "../ExternalLock.ts"
import type { FileHolders } from "../FileLock.ts"
import type { ExternalLockError } from "../LockError.ts"

export interface FileEngine {
  readonly guarantees: Guarantees
  /** What the name of the file ends in, after that of the lock. */
  readonly ending: string
  readonly acquire: ExternalLock["acquire"]
  readonly tryAcquire: ExternalLock["tryAcquire"]
  /** Removes what `hold` holds exclusively, without losing it. */
  readonly remove: (place: string, hold: ExternalHold) => Effect.Effect<void, unknown>
  readonly holders: (place: string) => Effect.Effect<FileHolders, unknown>
}

/** What an engine works with. */
export interface Surroundings {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  readonly fileMode: number
  /** Does the program ask for this mode, whatever the umask says? */
  readonly exactly: boolean
  /** Makes a lock path that is not there, and checks it; gives its canonical path. */
  readonly prepare: (lockPath: string) => Effect.Effect<string, ExternalLockError>
}

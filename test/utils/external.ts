/** External locks that the tests of a file share, whose operations on files are single steps. */
import { type FileSystem, Path } from "@effect/platform"
import { Context, Effect, Layer, Scope } from "effect"
import { ExternalLock, FileLock } from "effect-locks"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import * as SyncFileSystem from "./syncFileSystem.js"

const makePath = () => {
  const lockPath = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))
  afterAll(() => fs.rmSync(lockPath, { recursive: true }))
  return lockPath
}

// The scopes stay open: the files may be opened under schedulers that run nothing any more.
const build = <E>(layer: Layer.Layer<FileLock | ExternalLock, E, FileSystem.FileSystem | Path.Path>) =>
  Effect.runPromise(
    Effect.map(
      Layer.buildWithScope(
        Layer.provide(layer, Layer.merge(SyncFileSystem.layer, Path.layer)),
        Effect.runSync(Scope.make())
      ),
      (services) => Context.get(services, ExternalLock)
    )
  )

export const lockPath = makePath()
export const external = await build(FileLock.layer({ lockPath }))

export const portablePath = makePath()
export const portable = await build(FileLock.layerPortable({ lockPath: portablePath }))

/** An external lock that the tests of a file share, whose operations are single steps. */
import { Path } from "@effect/platform"
import { Context, Effect, Layer, Scope } from "effect"
import { ExternalLock, FileLock } from "effect-locks"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import * as SyncFileSystem from "./syncFileSystem.js"

export const lockPath = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))

const platform = Layer.merge(SyncFileSystem.layer, Path.layer)

// Its scope stays open: the files were opened under schedulers that run nothing any more.
const services = await Effect.runPromise(
  Layer.buildWithScope(FileLock.layer({ lockPath }).pipe(Layer.provide(platform)), Effect.runSync(Scope.make()))
)

afterAll(() => fs.rmSync(lockPath, { recursive: true }))

export const external: ExternalLock = Context.get(services, ExternalLock)

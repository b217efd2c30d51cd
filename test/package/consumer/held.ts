/**
 * Takes a file lock, and shows that nobody else gets it meanwhile. Prints that it
 * was held, or why it could not be.
 */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { FileLock, LockRegistry, withLock } from "effect-locks"

const program = Effect.gen(function*() {
  const files = yield* FileLock
  const registry = yield* Effect.provide(LockRegistry, LockRegistry.layer)
  // Through another registry, so that only the file can be in the way.
  const elsewhere = Effect.void.pipe(withLock("x", { external: true, blocking: false, registry }))
  const { error, holders } = yield* Effect.all({ error: Effect.flip(elsewhere), holders: files.holders("x") }).pipe(
    withLock("x", { external: true })
  )
  yield* elsewhere
  const [holder] = holders.holders
  if (process.platform === "linux" && (holder?.pid !== process.pid || holder.mode !== "exclusive")) {
    throw new Error(`/proc/locks knows of no lock of this process: ${JSON.stringify(holders)}`)
  }
  return `held, and then ${error._tag === "AcquireLockFailed" ? error.reason : error.message}`
}).pipe(
  Effect.provide(Layer.merge(LockRegistry.layer, FileLock.layerTemp).pipe(Layer.provide(NodeContext.layer))),
  Effect.catchTag("ExternalLockError", (error) => Effect.succeed(`${error.reason}: ${error.message}`))
)

Effect.runPromise(program).then(console.log)

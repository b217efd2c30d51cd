/**
 * A process of the storm: several fibers count until they are told to stop. Now and then one
 * asks to be killed while it holds the lock, and waits for that.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer } from "effect"
import { FileLock, LockRegistry, withLock } from "../../src/index.ts"
import { lockName, places, read, write } from "./counter.ts"

const [, , directory, kind, killEvery] = process.argv as [string, string, string, "kernel" | "portable", string]
const where = places(directory)
const fibers = 4

let stopped = false
process.on("message", () => stopped = true)
process.on("disconnect", () => process.exit(1))

const chance = (n: number) => Math.random() * n < 1

const count = Effect.gen(function*() {
  const value = read(where)
  if (chance(2)) yield* Effect.sleep(Math.random() * 2)
  else yield* Effect.yieldNow()
  if (chance(Number(killEvery))) {
    process.send!("kill me")
    return yield* Effect.never
  }
  write(where, value + 1)
})

const counting = Effect.repeat(
  Effect.zipRight(withLock(count, lockName, { external: true }), Effect.sleep(Math.random() * 2)),
  { until: () => stopped }
)

const layer = (kind === "portable" ? FileLock.layerPortable : FileLock.layer)({ lockPath: where.lockPath })

const program = Effect.gen(function*() {
  process.send!("ready")
  yield* Effect.all(Array.from({ length: fibers }, () => counting), { concurrency: "unbounded" })
  process.removeAllListeners("disconnect")
  process.disconnect()
})

NodeRuntime.runMain(Effect.provide(program, Layer.merge(LockRegistry.layer, Layer.provide(layer, NodeContext.layer))))

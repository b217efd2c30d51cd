/**
 * A process that wants a lock again and again, and says when it had it: for each
 * time when it asked, was granted and released, in milliseconds of the clock that
 * all processes of the host share.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Layer, ManagedRuntime } from "effect"
import { FileLock, LockRegistry, withLock } from "effect-locks"
import { mkdirSync } from "node:fs"
import * as path from "node:path"
import * as properLockfile from "proper-lockfile"

const [, , kind, lockPath, holdFor, runFor] = process.argv as [string, string, string, string, string, string]

const now = () => Number(process.hrtime.bigint()) / 1e6

const layer = kind === "layerPortable" ? FileLock.layerPortable({ lockPath }) : FileLock.layer({ lockPath })
const runtime = ManagedRuntime.make(
  Layer.merge(LockRegistry.layer, Layer.provide(layer, NodeContext.layer))
)

type Pass = [asked: number, granted: number, released: number]

const hold = (): Promise<number> => {
  const granted = now()
  return new Promise((resolve) => setTimeout(() => resolve(granted), Number(holdFor)))
}

const ours = async (): Promise<Pass> => {
  const asked = now()
  return runtime.runPromise(
    withLock(
      Effect.map(Effect.promise(hold), (granted): Pass => [asked, granted, now()]),
      "contended",
      { external: true }
    )
  )
}

const theirs = async (): Promise<Pass> => {
  const asked = now()
  const file = path.join(lockPath, "contended")
  const retries = { retries: 100_000, factor: 1, minTimeout: 10, maxTimeout: 10 }
  const release = await properLockfile.lock(file, { realpath: false, retries })
  const granted = await hold()
  const released = now()
  await release()
  return [asked, granted, released]
}

mkdirSync(lockPath, { recursive: true, mode: 0o700 })
const pass = kind === "proper-lockfile" ? theirs : ours

/** Everything is loaded and compiled before it counts. */
if (kind !== "proper-lockfile") {
  await runtime.runPromise(withLock(Effect.void, `warm up ${process.pid}`, { external: true }))
}

process.on("message", async () => {
  const passes: Array<Pass> = []
  const cpu = process.cpuUsage()
  const started = now()
  while (now() - started < Number(runFor)) passes.push(await pass())
  const { system, user } = process.cpuUsage(cpu)
  process.send!({ passes, cpu: (system + user) / 1000 / (now() - started) }, () => {
    void runtime.dispose().then(() => process.disconnect())
  })
})
process.send!("ready")

/**
 * Holds a lock until its input ends, and says so. Arguments: the lock path, the name, the
 * mode, and what to do besides: `spawn` starts a process that inherits all open
 * files and outlives this one.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { FileLock, LockRegistry, withLock } from "../../src/index.ts"

const [, , lockPath, name, mode, besides] = process.argv as [
  string,
  string,
  string,
  string,
  "exclusive" | "shared",
  string?
]

/** The descriptors of lock files, as Linux tells. */
const lockFiles = () =>
  fs.readdirSync("/proc/self/fd").map(Number).filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(lockPath)
    } catch {
      return false
    }
  })

const ended = Effect.async<void>((resume) => {
  process.stdin.resume().on("end", () => resume(Effect.void))
})

const body = Effect.suspend(() => {
  if (besides === "spawn") {
    const child = spawn("sleep", ["30"], { detached: true, stdio: ["ignore", "ignore", "ignore", ...lockFiles()] })
    child.unref()
    process.stdout.write(`child ${child.pid}\n`)
  }
  process.stdout.write("held\n")
  return ended
})

const layer = Layer.merge(LockRegistry.layer, Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer))

NodeRuntime.runMain(Effect.provide(withLock(body, name, { external: true, mode }), layer))

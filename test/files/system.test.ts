/**
 * What this system really refuses, where it can be brought to: each is an error
 * that says what to do, with nothing taken and nothing left behind.
 */
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type ExternalLockError, FileLock, LockRegistry, withLock } from "effect-locks"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const external = { external: true } as const

const makeDirectory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** The error of a lock in `lockPath` while the system refuses; before and after that it is locked and free. */
const refusal = <R>(lockPath: string, refusing: Effect.Effect<unknown, unknown, R>) =>
  Effect.gen(function*() {
    yield* withLock(Effect.void, "before", external)
    const error = yield* Effect.scoped(
      Effect.zipRight(refusing, Effect.flip(withLock(Effect.void, "x", external)))
    )
    assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    yield* withLock(Effect.void, "before", { ...external, blocking: false })
    return error as ExternalLockError
  }).pipe(
    Effect.provide(Layer.merge(LockRegistry.layer, Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer)))
  )

const run = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.sync(() => execFileSync(command, args, { stdio: "ignore" }))

/** Can it be done here? If not, the tests that need it are skipped. */
const can = (what: string, f: () => void): boolean => {
  try {
    f()
    return true
  } catch {
    // eslint-disable-next-line no-console
    console.log(`skipped: this process cannot ${what}`)
    return false
  }
}

const nobody = 65534
const isRoot = process.geteuid?.() === 0

/** Nothing may be made in `directory`: root is told so only as somebody else. */
const forbid = (directory: string) =>
  Effect.acquireRelease(
    Effect.sync(() => isRoot ? process.seteuid!(nobody) : fs.chmodSync(directory, 0o500)),
    () => Effect.sync(() => isRoot ? process.seteuid!(0) : fs.chmodSync(directory, 0o700))
  )

const mounts = can("mount file systems, to try a full and a read-only one", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))
  try {
    execFileSync("mount", ["-t", "tmpfs", "none", directory], { stdio: "ignore" })
    execFileSync("umount", [directory])
  } finally {
    fs.rmdirSync(directory)
  }
})

const mount = (directory: string, options: string) =>
  Effect.acquireRelease(
    run("mount", "-t", "tmpfs", "-o", `mode=0700,${options}`, "none", directory),
    () => run("umount", "--lazy", directory)
  )

const limits = can("limit how many files it may open", () => {
  execFileSync("prlimit", ["--pid", String(process.pid), "--nofile"], { stdio: "ignore" })
})

/** So few files may be opened that they are. */
const exhaustFiles = Effect.acquireRelease(
  Effect.sync(() => {
    const limit = execFileSync("prlimit", [
      "--pid",
      String(process.pid),
      "--nofile",
      "--output=SOFT",
      "--noheadings",
      "--raw"
    ], { encoding: "utf8" }).trim()
    const most = Math.max(...fs.readdirSync("/proc/self/fd").map(Number)) + 20
    execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${most}:`], { stdio: "ignore" })
    const files: Array<number> = []
    try {
      for (;;) files.push(fs.openSync("/dev/null", "r"))
    } catch (error) {
      assert.strictEqual((error as NodeJS.ErrnoException).code, "EMFILE")
    }
    return { files, limit }
  }),
  ({ files, limit }) =>
    Effect.sync(() => {
      for (const file of files) fs.closeSync(file)
      execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${limit}:`], { stdio: "ignore" })
    })
)

describe("what this system refuses", () => {
  it.scopedLive("to make a file where this process may not", () =>
    Effect.gen(function*() {
      const lockPath = yield* makeDirectory
      fs.chmodSync(lockPath, 0o755)
      const error = yield* refusal(lockPath, forbid(lockPath))
      assert.strictEqual(error.reason, "PermissionDenied")
      assert.include(error.message, `lock "x": ${lockPath}/x: this process may not use it`)
      assert.deepStrictEqual(fs.readdirSync(lockPath), ["before"])
    }))

  it.scopedLive.skipIf(!mounts)("to make a file on a full disk", () =>
    Effect.gen(function*() {
      const lockPath = yield* makeDirectory
      yield* mount(lockPath, "nr_inodes=2")
      const error = yield* refusal(lockPath, Effect.void)
      assert.strictEqual(error.reason, "Exhausted")
      assert.include(error.message, `lock "x": ${lockPath}/x: the disk is full`)
      assert.deepStrictEqual(fs.readdirSync(lockPath), ["before"])
    }))

  it.scopedLive.skipIf(!mounts)("to make a file on a read-only mount", () =>
    Effect.gen(function*() {
      const lockPath = yield* makeDirectory
      const error = yield* refusal(lockPath, mount(lockPath, "ro"))
      assert.strictEqual(error.reason, "PermissionDenied")
      assert.include(error.message, `lock "x": ${lockPath}/x: its file system is read-only`)
    }))

  it.scopedLive.skipIf(!limits)("to open one file more than it may", () =>
    Effect.gen(function*() {
      const lockPath = yield* makeDirectory
      const error = yield* refusal(lockPath, exhaustFiles)
      assert.strictEqual(error.reason, "Exhausted")
      assert.include(error.message, `lock "x": ${lockPath}/x: too many files are open`)
      assert.deepStrictEqual(fs.readdirSync(lockPath), ["before"])
    }))
})

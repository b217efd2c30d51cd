/** Locks by directories alone. */
import { FileSystem, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import type { ExternalLock } from "effect-locks"
import { AcquireLockFailed, FileLock, lock, LockLost, LockRegistry, withLock } from "effect-locks"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { holding } from "../utils/holding.js"

const external = { external: true } as const
const atOnce = { ...external, blocking: false } as const

type Services = LockRegistry | FileLock | ExternalLock | FileSystem.FileSystem | Path.Path

const servicesAt = (lockPath: string, silence = 30_000, platform = NodeContext.layer) =>
  Layer.merge(
    LockRegistry.layer,
    Layer.provideMerge(FileLock.layerPortable({ lockPath, silence }), platform)
  )

const test = (name: string, body: (lockPath: string) => Effect.Effect<void, unknown, Services>) =>
  it.live(name, () =>
    Effect.acquireUseRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
      (lockPath) => Effect.provide(body(lockPath), servicesAt(lockPath)),
      (lockPath) => Effect.sync(() => fs.rmSync(lockPath, { recursive: true }))
    ))

/** Another layer over the same lock path, with a registry of its own. */
const asOther = <A, E>(lockPath: string, effect: Effect.Effect<A, E, Services>, silence?: number) =>
  Effect.provide(effect, servicesAt(lockPath, silence))

const isFree = (lockPath: string, name: string, mode: "exclusive" | "shared" = "exclusive") =>
  asOther(lockPath, Effect.isSuccess(withLock(Effect.void, name, { ...atOnce, mode })))

const drafts = (lockPath: string) => fs.readdirSync(path.join(lockPath, ".drafts"))

/** A token of a holder that is not there any more, or cannot be looked at. */
const leave = (lockPath: string, name: string, change: object, ending = ".x") => {
  const [pid] = [spawnSync(process.execPath, ["-e", ""]).pid]
  const read = (file: string) => fs.readFileSync(file, "utf8").trim()
  const owner = {
    pid,
    started: "1",
    boot: read("/proc/sys/kernel/random/boot_id"),
    pidNamespace: fs.readlinkSync("/proc/self/ns/pid"),
    command: "gone"
  }
  const directory = path.join(lockPath, `${name}.lock`)
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(path.join(directory, `token${ending}`), JSON.stringify({ ...owner, ...change }))
}

describe("a lock held by a directory", () => {
  test("excludes and shares", (lockPath) =>
    Effect.gen(function*() {
      const both = Effect.all([isFree(lockPath, "x"), isFree(lockPath, "x", "shared")])
      assert.deepStrictEqual(yield* withLock(both, "x", external), [false, false])
      assert.deepStrictEqual(yield* withLock(both, "x", { ...external, mode: "shared" }), [false, true])
      assert.deepStrictEqual(yield* both, [true, true])
      assert.deepStrictEqual(drafts(lockPath), [])
      assert.deepStrictEqual(fs.readdirSync(path.join(lockPath, "x.lock")), [])
    }))

  test("is waited for, and an interrupted wait leaves nothing behind", (lockPath) =>
    Effect.gen(function*() {
      const holder = yield* holding((body) => asOther(lockPath, withLock(body, "x", external)))
      for (const mode of ["exclusive", "shared"] as const) {
        const given = yield* Effect.fork(withLock(Effect.void, "x", { ...external, mode }))
        yield* Effect.sleep(60)
        yield* Fiber.interrupt(given)
        const late = yield* Effect.flip(withLock(Effect.void, "x", { ...external, mode, timeout: 30 }))
        assert.strictEqual(late instanceof AcquireLockFailed && late.reason, "Timeout")
      }
      assert.deepStrictEqual(drafts(lockPath), [])
      const waiter = yield* Effect.fork(withLock(Effect.succeed("mine"), "x", external))
      yield* Effect.sleep(30)
      assert.isNull(waiter.unsafePoll())
      yield* holder.letGo
      assert.strictEqual(yield* Fiber.join(waiter), "mine")
      assert.deepStrictEqual(drafts(lockPath), [])
    }))

  test("of a process of this machine that is gone is free at once", (lockPath) =>
    Effect.gen(function*() {
      leave(lockPath, "x", {})
      assert.isTrue(yield* isFree(lockPath, "x"))
      leave(lockPath, "x", { pid: process.pid })
      assert.isTrue(yield* isFree(lockPath, "x"), "another process has its number now")
      leave(lockPath, "y", {}, ".s")
      assert.isTrue(yield* isFree(lockPath, "y"))
      const started = fs.readFileSync("/proc/self/stat", "utf8").split(") ")[1]!.split(" ")[19]!
      leave(lockPath, "z", { pid: process.pid, started })
      assert.isFalse(yield* isFree(lockPath, "z"), "it is there")
    }))

  for (const change of [{ boot: "another" }, { pidNamespace: "another" }, { started: undefined }]) {
    test(`of one that cannot be looked at is free when it has been silent for long: ${Object.keys(change)}`, (lockPath) =>
      Effect.gen(function*() {
        leave(lockPath, "x", change)
        assert.isFalse(yield* isFree(lockPath, "x"))
        const started = performance.now()
        yield* asOther(lockPath, withLock(Effect.void, "x", external), 200)
        assert.isAtLeast(performance.now() - started, 200)
      }))
  }

  test("of one that cannot be looked at is not free while its heart beats", (lockPath) =>
    Effect.gen(function*() {
      leave(lockPath, "x", { boot: "another" })
      const token = path.join(lockPath, "x.lock", "token.x")
      let beats = 0
      // Whenever it is looked at it has beaten, however late that is.
      const beating = Layer.map(NodeContext.layer, (context) => {
        const files = Context.get(context, FileSystem.FileSystem)
        return Context.add(context, FileSystem.FileSystem, {
          ...files,
          stat: (file) => {
            if (file === token) fs.utimesSync(token, ++beats, beats)
            return files.stat(file)
          }
        })
      })
      const waiting = Effect.flip(withLock(Effect.void, "x", { ...external, timeout: 600 }))
      const error = yield* Effect.provide(waiting, servicesAt(lockPath, 200, beating))
      assert.strictEqual(error instanceof AcquireLockFailed && error.reason, "Timeout")
      assert.isAbove(beats, 2)
    }))

  test("is lost when its token is taken away, and the body is interrupted", (lockPath) =>
    Effect.gen(function*() {
      const rob = Effect.sync(() => fs.rmSync(path.join(lockPath, "x.lock"), { recursive: true }))
      const during = yield* Effect.flip(withLock(Effect.zipRight(rob, Effect.never), "x", external))
      assert.strictEqual(during instanceof LockLost && during.completed, false)
      const after = yield* Effect.flip(withLock(rob, "x", external))
      assert.strictEqual(after instanceof LockLost && after.completed, true)
      assert.isTrue(yield* isFree(lockPath, "x"))
    }))

  test("an upgrade fails, a downgrade lets readers in", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      const held = yield* lock("x", external)
      yield* held.upgrade
      yield* held.downgrade
      assert.isTrue(yield* isFree(lockPath, "x", "shared"))
      assert.isFalse(yield* isFree(lockPath, "x"))
      const error = yield* Effect.flip(held.upgrade)
      assert.strictEqual(error instanceof AcquireLockFailed && error.reason, "UpgradeConflict")
      assert.strictEqual(held.mode, "shared")
    })))

  test("is removed with remove, and who holds it is told", (lockPath) =>
    Effect.gen(function*() {
      const files = yield* FileLock
      const { complete, holders } = yield* withLock(files.holders("x"), "x", external)
      assert.deepStrictEqual(holders.map(({ mode, pid }) => [pid, mode]), [[process.pid, "exclusive"]])
      assert.isTrue(complete)
      leave(lockPath, "x", {})
      assert.deepStrictEqual((yield* files.holders("x")).holders, [])
      yield* files.remove("x")
      assert.deepStrictEqual(fs.readdirSync(lockPath), [".drafts"])
      assert.deepStrictEqual(drafts(lockPath), [])
    }))

  test("what a process that was killed left of its drafts is swept", (lockPath) =>
    Effect.gen(function*() {
      leave(lockPath, "x", {})
      fs.mkdirSync(path.join(lockPath, ".drafts"))
      fs.renameSync(path.join(lockPath, "x.lock"), path.join(lockPath, ".drafts", "old"))
      yield* withLock(Effect.void, "x", external)
      assert.deepStrictEqual(drafts(lockPath), [])
    }))

  test("does not exclude locks of the kernel on the same path, and has other files", (lockPath) =>
    Effect.gen(function*() {
      const kernel = Layer.merge(
        LockRegistry.layer,
        Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer)
      )
      yield* withLock(Effect.provide(withLock(Effect.void, "x", atOnce), kernel), "x", external)
      assert.deepStrictEqual(fs.readdirSync(lockPath).sort(), [".drafts", "x", "x.lock"])
    }))
})

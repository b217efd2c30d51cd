/** Where the options of lock files come from, and locks that are told to reach no further than this process. */
import { FileSystem, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Exit, Layer, Logger } from "effect"
import { ExternalLock, ExternalLockError, FileLock, lock, LockRegistry, withLock } from "effect-locks"
import * as fs from "node:fs"
import { holding } from "../utils/holding.js"

const external = { external: true } as const
const atOnce = { ...external, blocking: false } as const

const test = (
  name: string,
  body: (directory: string) => Effect.Effect<void, unknown, FileSystem.FileSystem | Path.Path>
) =>
  it.scopedLive(name, () =>
    Effect.flatMap(
      Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped()),
      body
    ).pipe(Effect.provide(NodeContext.layer)))

const from = (values: Record<string, string>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values))))

const pathOf = (values: Record<string, string>, layer = FileLock.layerConfig()) =>
  Effect.provide(Effect.flatMap(FileLock, (files) => files.path("x")), layer).pipe(from(values))

const disabled = "OS_OSLO_CONCURRENCY__DISABLE_PROCESS_LOCKING"

describe("layerConfig", () => {
  test("reads the lock path from OSLO_LOCK_PATH, and before that from where oslo.config does", (directory) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* pathOf({ OSLO_LOCK_PATH: directory }), `${directory}/x`)
      const both = { OS_OSLO_CONCURRENCY__LOCK_PATH: `${directory}/a`, OSLO_LOCK_PATH: directory }
      assert.strictEqual(yield* pathOf(both), `${directory}/a/x`)
    }))

  test("says what to set when nothing is", () =>
    Effect.gen(function*() {
      for (const values of [{}, { [disabled]: "false" }]) {
        const missing = yield* Effect.flip(pathOf(values))
        assert.strictEqual(missing instanceof ExternalLockError && missing.reason, "Misconfigured")
        assert.include(String((missing as Error).message), "OSLO_LOCK_PATH")
      }
      const empty = yield* Effect.flip(pathOf({ OSLO_LOCK_PATH: "" }))
      assert.strictEqual(empty instanceof ExternalLockError && empty.reason, "Misconfigured")
      const wrong = yield* Effect.flip(pathOf({ OSLO_LOCK_PATH: "/tmp", [disabled]: "perhaps" }))
      assert.notInstanceOf(wrong, ExternalLockError)
      assert.include(String(wrong), disabled)
    }))

  test("reads what it is told to", (directory) =>
    Effect.gen(function*() {
      const layer = FileLock.layerConfig({ lockPath: Config.string("LOCKS"), mode: Config.integer("MODE") })
      assert.strictEqual(yield* pathOf({ LOCKS: directory, MODE: "432" }, layer), `${directory}/x`)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pathOf({ OSLO_LOCK_PATH: directory }, layer))))
    }))

  test("FileLock.config is what it reads", (directory) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* from({ OSLO_LOCK_PATH: directory })(FileLock.config), {
        disableProcessLocking: false,
        lockPath: directory
      })
    }))
})

describe("disableProcessLocking", () => {
  const withLocks = (layer: ReturnType<typeof FileLock.layerConfig>) =>
    Effect.provide(Layer.merge(LockRegistry.layer, layer))

  test("holds the lock of this process alone, and needs no lock path", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ExternalLock).guarantees.reach, "process")
      const busy = yield* Effect.flip(withLock(Effect.scoped(lock("a_b", atOnce)), "a/b", external))
      assert.strictEqual(busy._tag === "AcquireLockFailed" && busy.outside, false)
      const held = yield* lock("y", { ...external, mode: "shared" })
      yield* held.upgrade
      assert.strictEqual(held.mode, "exclusive")
      yield* held.downgrade
      yield* lock("y", { ...external, mode: "shared" })
      const path = yield* Effect.flip(Effect.flatMap(FileLock, (files) => files.path("x")))
      assert.strictEqual(path.reason, "Misconfigured")
    }).pipe(Effect.scoped, withLocks(FileLock.layerConfig()), from({ [disabled]: "true" })))

  test("excludes no other process, and makes no file; remove still does as ever", (lockPath) =>
    Effect.gen(function*() {
      const other = Effect.provide([LockRegistry.layer, FileLock.layer({ lockPath })])
      const holder = yield* holding((body) => other(withLock(body, "x", external)))
      assert.deepStrictEqual(fs.readdirSync(lockPath), ["x"])
      yield* withLock(Effect.void, "x", atOnce)
      yield* withLock(Effect.void, "y", external)
      const files = yield* FileLock
      const busy = yield* Effect.flip(files.remove("x", { blocking: false }))
      assert.strictEqual(busy._tag === "AcquireLockFailed" && busy.outside, true)
      yield* holder.letGo
      yield* files.remove("x")
      assert.deepStrictEqual(fs.readdirSync(lockPath), [])
    }).pipe(withLocks(FileLock.layer({ lockPath, disableProcessLocking: true }))))

  test("is told in a warning", (lockPath) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
      const build = (disableProcessLocking: boolean) =>
        Effect.scoped(Layer.build(FileLock.layer({ lockPath, disableProcessLocking }))).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
      yield* build(false)
      assert.deepStrictEqual(lines, [])
      yield* build(true)
      assert.deepStrictEqual(lines, ["WARN external locks exclude no other process: disableProcessLocking is set"])
    }))
})

describe("remove of a lock file", () => {
  test("waits as its options say, in the registry that they give", (lockPath) =>
    Effect.gen(function*() {
      const registry = yield* LockRegistry.make
      const files = yield* FileLock
      const holder = yield* holding((body) => withLock(body, "x", { ...external, registry }))
      const local = yield* Effect.flip(files.remove("x", { blocking: false, registry }))
      assert.deepStrictEqual(local._tag === "AcquireLockFailed" && [local.reason, local.outside], ["Busy", false])
      const outside = yield* Effect.flip(
        Effect.provide(files.remove("x", { timeout: 20 }), LockRegistry.layer)
      )
      assert.deepStrictEqual(outside._tag === "AcquireLockFailed" && [outside.reason, outside.outside], [
        "Timeout",
        true
      ])
      assert.isTrue(fs.existsSync(`${lockPath}/x`))
      yield* holder.letGo
      yield* files.remove("x", { registry })
      assert.isFalse(fs.existsSync(`${lockPath}/x`))
    }).pipe(Effect.provide(FileLock.layer({ lockPath }))))
})

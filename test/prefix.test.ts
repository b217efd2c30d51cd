import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ExternalLock, FileLock, lock, type LockKey, LockRegistry, withLock, withPrefix } from "effect-locks"
import * as fs from "node:fs"

const nova = withPrefix("nova")
const cinder = withPrefix("cinder-")

const held = Effect.map(LockRegistry.snapshot, (locks) => locks.map(({ key }) => String(key)).sort())

const test = (name: string, body: Effect.Effect<void, unknown, LockRegistry>) =>
  it.effect(name, () => Effect.provide(body, LockRegistry.layer))

describe("withPrefix", () => {
  test(
    "gives every way to take a lock its prefix",
    Effect.gen(function*() {
      const keyOf = (key: LockKey) => `${key.prefix}/${key.name}`
      assert.strictEqual(keyOf((yield* Effect.scoped(nova.lock("x"))).key), "nova/x")
      assert.strictEqual(keyOf((yield* Effect.scoped(cinder.lock("x", { mode: "shared" }))).key), "cinder/x")
      assert.deepStrictEqual(yield* nova.withLock(held, "x"), ["\"nova-x\""])
      assert.deepStrictEqual(yield* nova.withLock(held, "x", { blocking: false }), ["\"nova-x\""])
      assert.deepStrictEqual(yield* held.pipe(nova.withLock("x")), ["\"nova-x\""])
      assert.deepStrictEqual(yield* held.pipe(nova.withLock("x", { timeout: 1 })), ["\"nova-x\""])
      assert.deepStrictEqual(yield* nova.synchronized("x")(() => held)(), ["\"nova-x\""])
      assert.deepStrictEqual(yield* nova.synchronized("x", { log: false })(() => held)(), ["\"nova-x\""])
      const both = ["\"nova-a\"", "\"nova-b\""]
      assert.deepStrictEqual(yield* Effect.scoped(Effect.zipRight(nova.lockAll(["b", "a"]), held)), both)
      assert.deepStrictEqual(yield* nova.withLockAll(held, ["a", "b"]), both)
      assert.deepStrictEqual(yield* held.pipe(nova.withLockAll(["a", "b"], { mode: "shared" })), both)
      assert.deepStrictEqual(
        yield* Effect.scoped(Effect.zipRight(nova.semaphore("x", { permits: 2 }), held)),
        ["\"nova-x\""]
      )
      assert.deepStrictEqual(yield* held.pipe(nova.withSemaphore("x", { permits: 2 })), ["\"nova-x\""])
    })
  )

  test(
    "locks of other prefixes, and of none, are other locks",
    Effect.gen(function*() {
      const again = Effect.scoped(lock("x", { prefix: "nova", blocking: false }))
      const busy = yield* Effect.flip(again.pipe(cinder.withLock("x"), nova.withLock("x"), withLock("x")))
      assert.strictEqual(busy.reason, "Busy")
      assert.strictEqual(String(busy.key), "\"nova-x\"")
    })
  )

  it("throws when a prefix is given besides", () => {
    const { lock, withLock }: any = nova
    for (const call of [() => lock("x", { prefix: "y" }), () => withLock(Effect.void, "x", { prefix: "y" })]) {
      assert.throws(call, /these locks have the prefix nova, and y was given besides; leave that out/)
    }
  })

  it.live("removes the lock file of its prefix", () =>
    Effect.gen(function*() {
      const file = yield* Effect.flatMap(FileLock, (files) => files.path("x", { prefix: "nova" }))
      yield* nova.withLock(Effect.sync(() => assert.isTrue(fs.existsSync(file))), "x", { external: true })
      yield* cinder.removeLockFile("x")
      assert.isTrue(fs.existsSync(file))
      yield* ExternalLock.acquire("x", { prefix: "nova", mode: "shared" }).pipe(
        Effect.zipRight(Effect.flip(nova.removeLockFile("x", { blocking: false }))),
        Effect.map((error) => assert.strictEqual(error._tag === "AcquireLockFailed" && error.reason, "Busy")),
        Effect.scoped
      )
      assert.isTrue(fs.existsSync(file))
      yield* nova.removeLockFile("x")
      assert.isFalse(fs.existsSync(file))
    }).pipe(
      Effect.provide(Layer.merge(LockRegistry.layer, Layer.provide(FileLock.layerTemp, NodeContext.layer)))
    ))
})

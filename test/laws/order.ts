/** Who goes first, and who does not even wait. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { withLock as withOne, withLockAll } from "effect-locks"
import { ended, holder, inside, type Law, law, start, waiting, withLock } from "./law.js"

export const order: ReadonlyArray<Law> = [
  law("the larger priority first, then arrival", (registry, kind) =>
    Effect.gen(function*() {
      const first = yield* holder(kind, registry, "x")
      const served: Array<string> = []
      for (const priority of [0, 2, -1, 2, 0, 1, -1]) {
        const name = `${priority}, ${yield* waiting(registry, "x")}`
        yield* start(Effect.sync(() => served.push(name)).pipe(kind.hold(registry, "x", { priority })))
      }
      yield* first.letGo
      assert.deepStrictEqual(served, ["2, 1", "2, 3", "1, 5", "0, 0", "0, 4", "-1, 2", "-1, 6"])
    })),

  law(
    "a higher priority does not take what is held, and passes a head that waits",
    (registry) =>
      Effect.gen(function*() {
        const reader = yield* holder(withLock, registry, "x", { mode: "shared" })
        const writer = yield* holder(withLock, registry, "x")
        const urgent = yield* holder(withLock, registry, "x", { mode: "shared", priority: 1 })
        assert.deepStrictEqual(inside([reader, writer, urgent]), [0, 2], "there is room for it, and nobody before it")
        yield* reader.letGo
        assert.deepStrictEqual(inside([writer, urgent]), [1])
        yield* urgent.letGo
        yield* writer.letGo
      })
  ),

  law("one priority for all of several", (registry) =>
    Effect.gen(function*() {
      const [a, b] = [yield* holder(withLock, registry, "a"), yield* holder(withLock, registry, "b")]
      const served: Array<string> = []
      const note = (name: string) => Effect.sync(() => served.push(name))
      yield* start(withOne(note("a"), "a", { registry }))
      yield* start(withOne(note("b"), "b", { registry }))
      yield* start(withLockAll(note("both"), ["a", "b"], { priority: 1, registry }))
      yield* a.letGo
      assert.deepStrictEqual(served, [])
      yield* b.letGo
      assert.deepStrictEqual(served.slice(0, 1), ["both"])
      assert.sameMembers(served, ["both", "a", "b"])
    })),

  law("maxWaiting fails with QueueFull instead of being one more in line", (registry, kind) =>
    Effect.gen(function*() {
      const full = Effect.flip(Effect.void.pipe(kind.hold(registry, "x", { maxWaiting: 2 })))
      yield* Effect.void.pipe(kind.hold(registry, "x", { maxWaiting: 0 }))
      const first = yield* holder(kind, registry, "x")
      const waiters = [
        yield* holder(kind, registry, "x", { maxWaiting: 2 }),
        yield* holder(kind, registry, "x", { maxWaiting: 2 })
      ]
      const failed = yield* full
      assert.deepStrictEqual([failed.reason, failed.key.name], ["QueueFull", "x"])
      assert.deepStrictEqual(failed.holders.map(({ fiberId }) => fiberId), [first.fiber.id()])
      assert.match(failed.message, /^lock "x" has as many waiting as maxWaiting allows: held by #\d+$/)
      assert.strictEqual(yield* waiting(registry, "x"), 2, "it is not in the line")
      yield* waiters[0]!.interrupt
      const next = yield* holder(kind, registry, "x", { maxWaiting: 2 })
      assert.strictEqual(yield* waiting(registry, "x"), 2)
      for (const one of [first, waiters[1]!, next]) yield* one.letGo
      assert.isTrue(ended(next.fiber))
    }))
]

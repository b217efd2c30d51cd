/** What a lock of this process and one outside make of each other, under many interleavings. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import {
  AcquireLockFailed,
  ExternalLock,
  type Held,
  lock,
  lockAll,
  LockRegistry,
  withLock,
  withLockAll
} from "effect-locks"
import * as Chaos from "../utils/chaos.js"
import * as MemoryLock from "../utils/memoryLock.js"

const external = { external: true } as const
const reentrant = { external: true, reentrant: true } as const

type Body = (
  registry: LockRegistry,
  outside: ReturnType<typeof MemoryLock.make>
) => Effect.Effect<void, unknown, ExternalLock>

/** Nothing may be held afterwards, and everything was given back once. */
const chaos = (name: string, seeds: number, body: Body) =>
  it(name, async () => {
    const program = (_seed: number) =>
      Effect.gen(function*() {
        const outside = MemoryLock.make()
        const registry = yield* LockRegistry.make
        yield* Effect.provideService(body(registry, outside), ExternalLock, outside.service)
        assert.deepStrictEqual(yield* registry.snapshot, [])
        assert.deepStrictEqual(outside.all.filter(({ releases }) => releases !== 1), [])
      })
    assert.isUndefined(await Chaos.failure(program, seeds))
  }, 60_000)

describe("a mode that changes", () => {
  const isAllowed = (held: Held<unknown>, modes: ReadonlyArray<string>) =>
    assert.isTrue(held.mode === "shared" || modes.includes("exclusive"), "exclusive here, and not outside")

  chaos(
    "to upgrade begins outside: nobody is let in exclusively who is not there too",
    300,
    (registry, outside) =>
      Effect.gen(function*() {
        const other = yield* LockRegistry.make
        const reader = withLock(Effect.sleep(5), "x", { ...external, mode: "shared", registry: other })
        const upgrading = Effect.scoped(Effect.gen(function*() {
          const held = yield* lock("x", { ...reentrant, mode: "shared", registry })
          const nested = withLock(
            Effect.repeatN(
              Effect.zipRight(
                Effect.sync(() => assert.deepStrictEqual(outside.modes("x"), ["exclusive"])),
                Effect.yieldNow()
              ),
              5
            ),
            "x",
            { ...reentrant, registry, blocking: false }
          )
          const child = yield* Effect.fork(Effect.retry(nested, { times: 10 }))
          yield* Effect.exit(held.upgrade)
          isAllowed(held, outside.modes("x"))
          const exit = yield* Fiber.await(child)
          if (Exit.isFailure(exit)) assert.isTrue(Exit.isFailure(exit) && !exit.cause.toString().includes("Assertion"))
        }))
        yield* Effect.all([reader, upgrading], { concurrency: 2 })
      })
  )

  chaos("two at once of one hold agree", 300, (registry, outside) =>
    Effect.gen(function*() {
      const other = yield* LockRegistry.make
      const reader = withLock(Effect.sleep(3), "x", { ...external, mode: "shared", registry: other })
      const changing = Effect.scoped(Effect.gen(function*() {
        const held = yield* lock("x", { ...external, mode: "shared", registry })
        const fibers = yield* Effect.forEach(
          [held.upgrade, held.upgrade, held.downgrade, held.upgrade],
          (change) => Effect.fork(change)
        )
        yield* Effect.forEach(fibers, Fiber.await)
        isAllowed(held, outside.modes("x"))
        if (held.mode === "shared") assert.notInclude(outside.modes("x"), "exclusive")
      }))
      yield* Effect.all([reader, changing], { concurrency: 2 })
    }))

  chaos(
    "an upgrade that fails leaves what another lock of the same place has",
    50,
    (registry, outside) =>
      Effect.scoped(Effect.gen(function*() {
        const [a, b] = (yield* lockAll([{ name: "a/b", mode: "shared" }, "a_b"], { ...reentrant, registry })) as [
          Held<unknown>,
          Held<unknown>
        ]
        const error = yield* Effect.scoped(
          Effect.zipRight(lock("a/b", { mode: "shared", registry }), Effect.flip(a.upgrade))
        )
        assert.strictEqual(error instanceof AcquireLockFailed && error.reason, "UpgradeConflict")
        assert.deepStrictEqual([a.mode, b.mode], ["shared", "exclusive"])
        assert.deepStrictEqual(outside.modes("a_b"), ["exclusive"])
        yield* withLock(Effect.void, "a_b", { ...reentrant, registry })
      }))
  )

  chaos(
    "the place is shared when all locks of it are",
    50,
    (registry, outside) =>
      Effect.scoped(Effect.gen(function*() {
        const [a, b] = (yield* lockAll(["a/b", "a_b"], { ...external, registry })) as [Held<unknown>, Held<unknown>]
        yield* a.downgrade
        assert.deepStrictEqual(outside.modes("a_b"), ["exclusive"])
        yield* b.downgrade
        assert.deepStrictEqual(outside.modes("a_b"), ["shared"])
        yield* a.upgrade
        assert.deepStrictEqual([a.mode, b.mode, outside.modes("a_b")], ["exclusive", "shared", ["exclusive"]])
      }))
  )

  chaos("a downgrade that dies has changed nothing", 50, (registry, outside) =>
    Effect.scoped(Effect.gen(function*() {
      const held = yield* lock("a/b", { ...reentrant, registry })
      yield* Effect.scoped(Effect.gen(function*() {
        // Inside it by its place alone.
        const nested = yield* lock("a_b", { ...reentrant, registry })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(held.downgrade)))
        assert.strictEqual(held.mode, "exclusive")
        assert.isFalse(
          yield* Effect.isSuccess(withLock(Effect.void, "a/b", { mode: "shared", blocking: false, registry }))
        )
        assert.strictEqual(nested.mode, "exclusive")
        yield* nested.downgrade
        assert.deepStrictEqual([nested.mode, outside.modes("a_b")], ["shared", ["exclusive"]])
        assert.isTrue(Exit.isFailure(yield* Effect.timeout(nested.lost, Duration.millis(1)).pipe(Effect.exit)))
      }))
      yield* held.downgrade
      assert.deepStrictEqual(outside.modes("a_b"), ["shared"])
    })))
})

describe("the end of a hold", () => {
  chaos("is outside first: as long as it is held there, it is here", 300, (registry) =>
    Effect.gen(function*() {
      let seen = 0
      const { service } = MemoryLock.make(() => {
        seen++
        assert.isTrue(Effect.runSync(registry.isLocked("x")), "it was let go of here before")
      })
      const options = { ...external, registry }
      yield* Effect.all([
        withLock(Effect.yieldNow(), "x", options),
        Effect.exit(withLock(Effect.fail("why"), "x", options)),
        Effect.scoped(lock("x", options)),
        Effect.timeoutOption(withLock(Effect.never, "x", options), 5)
      ], { concurrency: "unbounded" }).pipe(Effect.provideService(ExternalLock, service))
      assert.isAtLeast(seen, 3)
    }))
})

describe("several", () => {
  chaos(
    "are taken outside in one order, whatever that of their names: nobody waits in a circle",
    100,
    (registry) =>
      Effect.gen(function*() {
        const other = yield* LockRegistry.make
        const visit = (names: ReadonlyArray<string>, registry: LockRegistry) =>
          Effect.repeatN(withLockAll(Effect.yieldNow(), names, { ...external, registry }), 3)
        yield* Effect.all([visit(["a", "b", "c"], registry), visit(["c", "b", "a"], other)], { concurrency: 2 })
      })
  )
})

describe("one inside another", () => {
  chaos("who is let in while the outer one leaves is in it still", 400, (registry) =>
    Effect.gen(function*() {
      const isIn = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const inner = { ...reentrant, registry, mode: "shared" } as const
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      const fork = (effect: Effect.Effect<unknown, unknown, ExternalLock>) =>
        Effect.map(Effect.forkDaemon(effect), (fiber) => fibers.push(fiber))
      yield* withLock(
        Effect.gen(function*() {
          // The first waits for the second, which comes when the outer hold may be over, and is let in if it is not.
          const first = Effect.gen(function*() {
            yield* Deferred.succeed(isIn, undefined)
            yield* Effect.timeoutOption(Deferred.await(done), 50)
            // The time may have passed while there was much to do.
            yield* Effect.repeatN(Effect.yieldNow(), 300)
            const inside = (yield* registry.snapshot).filter(({ within }) => within !== undefined)
            if (!(yield* Deferred.isDone(done))) {
              assert.deepStrictEqual(inside.map(({ holders }) => holders.length), [1])
            }
          })
          yield* fork(withLock(first, "x", inner))
          const second = withLock(Deferred.succeed(done, undefined), "x", inner)
          yield* fork(Effect.zipRight(Deferred.await(isIn), second))
          yield* Deferred.await(isIn)
          yield* Effect.yieldNow()
        }),
        "x",
        { ...reentrant, registry }
      )
      yield* Effect.forEach(fibers, Fiber.join)
    }))

  chaos(
    "holds, waits, deadlines and interruptions give back what they took",
    400,
    (registry) =>
      Effect.gen(function*() {
        const other = yield* LockRegistry.make
        const visit = (n: number) => {
          const options = {
            ...(n % 3 === 0 ? external : reentrant),
            mode: n % 4 === 0 ? "shared" : "exclusive",
            registry: n % 2 === 0 ? registry : other,
            ...(n % 5 === 0 ? { timeout: 3 } : {})
          } as const
          const body = n % 7 === 0
            ? Effect.exit(withLock(Effect.yieldNow(), "x", { ...options, timeout: 2 }))
            : Effect.sleep(n % 3)
          return withLock(body, n % 2 === 0 ? "x" : "y", options)
        }
        const fibers = yield* Effect.forEach(Array.from({ length: 12 }, (_, n) => n), (n) => Effect.fork(visit(n)))
        yield* Effect.sleep(4)
        yield* Fiber.interruptAll(fibers.filter((_, i) => i % 3 === 1))
        yield* Effect.forEach(fibers, Fiber.await)
        assert.deepStrictEqual(yield* other.snapshot, [])
      })
  )
})

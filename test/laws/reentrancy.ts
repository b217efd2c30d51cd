/** What a reentrant hold is good for, for whom, and for how long. */
import { assert } from "@effect/vitest"
import { Context, Deferred, Effect, Equal, Exit, Fiber, Layer, ManagedRuntime, Runtime, Scope, TestClock } from "effect"
import {
  AcquireLockFailed,
  type LocalLockOptions,
  lock,
  type LockRegistry,
  withLock as withOne,
  withLockAll
} from "effect-locks"
import { settle } from "../utils/sweep.js"
import { dies, ended, holder, inside, isFree, type Law, law, start, visit, withLock } from "./law.js"

const enter = (registry: LockRegistry, options?: LocalLockOptions) => <A, E, R>(body: Effect.Effect<A, E, R>) =>
  withOne(body, "x", { ...options, reentrant: true, registry })

const stay = (registry: LockRegistry, options?: LocalLockOptions) => visit(enter(registry, options))

/** Is the lock that is nested in the present hold free? */
const isNestedFree = (registry: LockRegistry) =>
  Effect.map(Effect.either(enter(registry, { blocking: false })(Effect.void)), ({ _tag }) => _tag === "Right")

const waits = (registry: LockRegistry) =>
  Effect.map(
    registry.snapshot,
    (locks) =>
      locks.map(({ holders, waiters, within }) =>
        `${within === undefined ? "main" : "nested"} ${holders.length} ${waiters.length}`
      ).sort()
  )

export const reentrancy: ReadonlyArray<Law> = [
  law(
    "the holder enters again, however deep, and the key passes on when the outermost ends",
    (registry) =>
      Effect.gen(function*() {
        const deep = enter(registry)(enter(registry)(enter(registry)(Effect.succeed(3))))
        assert.strictEqual(yield* deep, 3)
        const one = yield* visit((body) => enter(registry)(Effect.zipRight(deep, body)))
        const other = yield* holder(withLock, registry, "x")
        assert.deepStrictEqual(inside([one, other]), [0])
        yield* one.letGo
        assert.deepStrictEqual(inside([one, other]), [1])
        yield* other.letGo
      })
  ),

  law("by a scope too, until it closes", (registry) =>
    Effect.gen(function*() {
      const again = lock("x", { reentrant: true, registry })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* again
        yield* Effect.scoped(again)
        yield* enter(registry)(Effect.void)
        assert.isFalse(yield* isFree(withLock, registry, "x"))
        yield* again
      }))
      assert.isTrue(yield* isFree(withLock, registry, "x"))
    })),

  law("who does not ask for it does not get it", (registry) =>
    Effect.gen(function*() {
      const plain = Effect.flip(withOne(Effect.void, "x", { blocking: false, registry }))
      assert.strictEqual((yield* enter(registry)(plain)).reason, "Busy")
      const nested = Effect.flip(enter(registry, { blocking: false })(Effect.void))
      assert.strictEqual((yield* Effect.orDie(withOne(nested, "x", { registry }))).reason, "Busy")
    })),

  law("timeout, race and all inside it work", (registry) =>
    Effect.gen(function*() {
      const again = enter(registry)(Effect.succeed(1))
      assert.strictEqual(yield* enter(registry)(Effect.timeout(again, "1 second")), 1)
      assert.strictEqual(yield* enter(registry)(Effect.race(again, Effect.never)), 1)
      assert.deepStrictEqual(yield* enter(registry)(Effect.all([again, again], { concurrency: "unbounded" })), [1, 1])
    })),

  law("siblings inside one hold exclude each other", (registry) =>
    Effect.gen(function*() {
      let most = 0
      let now = 0
      const visitor = enter(registry)(Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++now)),
        () => Effect.repeatN(Effect.yieldNow(), 3),
        () => Effect.sync(() => now--)
      ))
      yield* enter(registry)(Effect.all([visitor, visitor, visitor], { concurrency: "unbounded" }))
      assert.strictEqual(most, 1)
      // Those inside shared holds share.
      const reader = (body: Effect.Effect<void, AcquireLockFailed>) => enter(registry, { mode: "shared" })(body)
      const [one, two] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const meeting = Effect.all([
        reader(Effect.zipRight(Deferred.succeed(one, undefined), Deferred.await(two))),
        reader(Effect.zipRight(Deferred.succeed(two, undefined), Deferred.await(one)))
      ], { concurrency: "unbounded" })
      yield* enter(registry)(meeting)
      yield* reader(Effect.asVoid(meeting))
    })),

  law("an exclusive request inside a shared hold is refused, and the hold kept", (registry) =>
    Effect.gen(function*() {
      const refused = Effect.zip(
        Effect.flip(enter(registry)(Effect.void)),
        Effect.flip(withLockAll(Effect.void, ["y", "x"], { reentrant: true, registry }))
      )
      const [one, all] = yield* enter(registry, { mode: "shared" })(Effect.zipLeft(
        refused,
        Effect.flatMap(isFree(withLock, registry, "x"), (free) => Effect.sync(() => assert.isFalse(free)))
      ))
      for (const failed of [one, all]) {
        assert.instanceOf(failed, AcquireLockFailed)
        assert.deepStrictEqual([failed.reason, failed.key.name], ["UpgradeConflict", "x"])
      }
      // Inside an exclusive hold both are legal, and deeper the same holds.
      yield* enter(registry)(enter(registry)(Effect.void))
      const deep = enter(registry)(enter(registry, { mode: "shared" })(Effect.flip(enter(registry)(Effect.void))))
      assert.strictEqual((yield* deep as Effect.Effect<AcquireLockFailed, unknown>).reason, "UpgradeConflict")
    })),

  law(
    "a forked child that outlives the body keeps the key while it holds, and no longer",
    (registry) =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const child = yield* Effect.orDie(
          enter(registry)(Effect.zipLeft(
            Effect.forkDaemon(enter(registry)(Deferred.await(gate))),
            settle
          ))
        )
        assert.deepStrictEqual(yield* waits(registry), ["main 1 0", "nested 1 0"])
        const other = yield* holder(withLock, registry, "x")
        assert.isFalse(other.isIn(), "the hold is over, but not the one inside it")
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(child)
        yield* settle
        assert.isTrue(other.isIn())
        yield* other.letGo
      })
  ),

  law(
    "inner requests that still wait when the hold ends go to the main line, by their arrival",
    (registry) =>
      Effect.gen(function*() {
        const order: Array<string> = []
        const [outer, inner] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const note = (name: string) => Effect.sync(() => order.push(name))
        const hold = yield* start(
          enter(registry)(Effect.gen(function*() {
            yield* Effect.forkDaemon(enter(registry)(Deferred.await(inner)))
            yield* settle
            yield* Effect.forkDaemon(enter(registry)(note("child")))
            yield* Deferred.await(outer)
          }))
        )
        yield* settle
        yield* start(withOne(note("stranger"), "x", { registry }))
        assert.deepStrictEqual(yield* waits(registry), ["main 1 1", "nested 1 1"])
        yield* Deferred.succeed(outer, undefined)
        yield* settle
        assert.isTrue(ended(hold))
        assert.deepStrictEqual(yield* waits(registry), ["main 1 2", "nested 1 0"])
        assert.deepStrictEqual(order, [])
        yield* Deferred.succeed(inner, undefined)
        yield* Effect.repeatN(settle, 2)
        assert.deepStrictEqual(order, ["child", "stranger"])
      })
  ),

  law("requests made after the end own nothing", (registry) =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const child = yield* Effect.orDie(
        enter(registry)(
          Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), isNestedFree(registry)))
        )
      )
      const other = yield* holder(withLock, registry, "x")
      assert.isTrue(other.isIn())
      yield* Deferred.succeed(gate, undefined)
      assert.isFalse(yield* Fiber.join(child))
      yield* other.letGo
    })),

  law("a join by a stranger owns nothing", (registry) =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const child = yield* Effect.fork(Effect.zipRight(
        Scope.extend(lock("x", { reentrant: true, registry }), scope),
        Deferred.await(gate)
      ))
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(child)
      assert.isFalse(yield* isNestedFree(registry), "the hold is that of the child")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* isNestedFree(registry))
    })),

  law(
    "a captured runtime owns what it was captured in, for as long as that lasts",
    (registry) =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const captured = yield* Deferred.make<Runtime.Runtime<never>>()
        const hold = yield* start(
          enter(registry)(Effect.zipRight(
            Effect.flatMap(Effect.runtime<never>(), (runtime) => Deferred.succeed(captured, runtime)),
            Deferred.await(gate)
          ))
        )
        const runtime = yield* Deferred.await(captured)
        assert.isTrue(Runtime.runSync(runtime)(isNestedFree(registry)))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(hold)
        const other = yield* holder(withLock, registry, "x")
        assert.isFalse(Runtime.runSync(runtime)(isNestedFree(registry)))
        yield* other.letGo
      })
  ),

  law("a layer built inside a hold owns nothing after it", (registry) =>
    Effect.gen(function*() {
      class Service extends Context.Tag("Service")<Service, { readonly ask: Effect.Effect<boolean> }>() {}
      const layer = Layer.scoped(
        Service,
        Effect.map(Effect.runtime<never>(), (runtime) => ({ ask: Effect.provide(isNestedFree(registry), runtime) }))
      )
      const managed = ManagedRuntime.make(layer)
      const built = yield* Effect.orDie(enter(registry)(Effect.provide(Service, managed)))
      assert.isTrue(yield* built.ask)
      const other = yield* holder(withLock, registry, "x")
      assert.isFalse(yield* built.ask)
      assert.isFalse(yield* Effect.flatMap(Service, ({ ask }) => ask).pipe(Effect.provide(managed)))
      yield* other.letGo
      yield* managed.disposeEffect
    })),

  law("a layer that holds a lock for its users gives it to none of them", (registry) =>
    Effect.gen(function*() {
      const layer = Layer.scopedDiscard(Effect.orDie(lock("x", { reentrant: true, registry })))
      const inner = Effect.gen(function*() {
        assert.isFalse(yield* isFree(withLock, registry, "x"))
        const nested = yield* isNestedFree(registry)
        assert.isFalse(yield* isFree(withLock, registry, "x"))
        return nested
      })
      yield* Effect.provide(inner, layer)
      assert.isTrue(yield* isFree(withLock, registry, "x"))
    })),

  law("several at once: each name is nested where it is held", (registry) =>
    Effect.gen(function*() {
      const all = (names: ReadonlyArray<string>) => <A>(body: Effect.Effect<A, unknown>) =>
        Effect.orDie(withLockAll(body, names, { reentrant: true, registry }))
      assert.strictEqual(yield* all(["x", "y"])(all(["y", "z"])(enter(registry)(Effect.succeed(1)))), 1)
      const gate = yield* Deferred.make<void>()
      const child = yield* all(["x", "y"])(Effect.zipLeft(
        Effect.forkDaemon(all(["y", "z"])(Deferred.await(gate))),
        settle
      ))
      assert.isTrue(yield* isFree(withLock, registry, "x"), "nothing inside it is held")
      assert.isFalse(yield* isFree(withLock, registry, "y"))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(child)
      assert.isTrue(yield* isFree(withLock, registry, "y"))
    })),

  law("a timed inner request gives up by itself", (registry) =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const hold = yield* start(
        enter(registry)(Effect.gen(function*() {
          const first = yield* Effect.fork(enter(registry)(Deferred.await(gate)))
          yield* settle
          const second = yield* Effect.flip(enter(registry, { timeout: "1 second" })(Effect.void))
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(first)
          return (second as AcquireLockFailed).reason
        }))
      )
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(yield* Fiber.join(hold), "Timeout")
    })),

  law("it can be upgraded and downgraded around what is nested in it", (registry) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const held = yield* lock("x", { mode: "shared", reentrant: true, registry })
        yield* enter(registry, { mode: "shared" })(Effect.void)
        yield* held.upgrade
        yield* enter(registry)(dies(
          held.downgrade,
          "lock \"x\" cannot be downgraded: an exclusive request inside the hold has not ended; let it end first"
        ))
        yield* held.downgrade
        const failed = yield* Effect.flip(enter(registry)(Effect.void))
        assert.strictEqual(failed.reason, "UpgradeConflict")
        yield* Effect.scoped(Effect.gen(function*() {
          const inner = yield* lock("x", { mode: "shared", reentrant: true, registry })
          assert.strictEqual((yield* Effect.flip(inner.upgrade)).reason, "UpgradeConflict")
        }))
      }))
      const stays = yield* stay(registry)
      assert.isTrue(stays.isIn())
      yield* stays.letGo
    })),

  law(
    "an upgraded hold that ends keeps everything until the exclusive lock nested in it has ended",
    (registry) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const gate = yield* Deferred.make<void>()
        const inner = yield* Effect.scoped(Effect.gen(function*() {
          const held = yield* lock("x", { mode: "shared", reentrant: true, registry })
          yield* held.upgrade
          return yield* Effect.zipLeft(Effect.forkIn(enter(registry)(Deferred.await(gate)), scope), settle)
        }))
        assert.deepStrictEqual(yield* waits(registry), ["main 1 0", "nested 1 0"])
        const reader = yield* holder(withLock, registry, "x", { mode: "shared" })
        assert.isFalse(reader.isIn())
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(inner)
        yield* settle
        assert.isTrue(reader.isIn())
        yield* reader.letGo
      })
  ),

  law(
    "an upgrade nested in a hold that has ended is granted when the other readers there leave",
    (registry) =>
      Effect.gen(function*() {
        const shared = lock("x", { mode: "shared", reentrant: true, registry })
        const [one, two] = [yield* Scope.make(), yield* Scope.make()]
        const upgrading = yield* Effect.orDie(
          enter(registry)(Effect.gen(function*() {
            // By fibers of their own: the second of one fiber would be nested in its first.
            const [held] = yield* Effect.all([Scope.extend(shared, one), Scope.extend(shared, two)], { concurrency: 2 })
            return yield* Effect.zipLeft(Effect.forkDaemon(held.upgrade), settle)
          }))
        )
        assert.isFalse(ended(upgrading))
        yield* Scope.close(two, Exit.void)
        yield* settle
        assert.isTrue(ended(upgrading))
        assert.isFalse(yield* isFree(withLock, registry, "x"))
        yield* Scope.close(one, Exit.void)
        assert.isTrue(yield* isFree(withLock, registry, "x"))
      })
  ),

  law(
    "an inner request outlives two holds around it, gives up, and leaves nothing",
    (registry) =>
      Effect.gen(function*() {
        const other = yield* holder(withLock, registry, "y")
        const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
        const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.zipLeft(Effect.forkDaemon(effect), settle)
        let deep: Fiber.RuntimeFiber<void, AcquireLockFailed> | undefined
        const inner = enter(registry)(Effect.zipRight(
          Effect.map(
            fork(withLockAll(Effect.void, ["y", "x"], { reentrant: true, registry })),
            (fiber) => deep = fiber
          ),
          Deferred.await(gates[1])
        ))
        const outer = yield* start(enter(registry)(Effect.zipRight(fork(inner), Deferred.await(gates[0]))))
        yield* settle
        for (const gate of gates) yield* Effect.zipRight(Deferred.succeed(gate, undefined), settle)
        assert.isTrue(ended(outer))
        assert.isFalse(ended(deep!))
        yield* Fiber.interrupt(deep!)
        assert.isTrue(yield* isFree(withLock, registry, "x"))
        yield* other.letGo
      })
  ),

  law(
    "a scoped hold that outlives the body in which it was made is not forgotten",
    (registry) =>
      Effect.gen(function*() {
        const inner = lock("y", { reentrant: true, registry })
        yield* Effect.scoped(Effect.zipRight(enter(registry)(inner), inner))
        assert.isTrue(yield* isFree(withLock, registry, "x"))
        assert.isTrue(yield* isFree(withLock, registry, "y"))
      })
  ),

  law("hand over hand", (registry) =>
    Effect.gen(function*() {
      let last: Scope.CloseableScope | undefined
      for (let i = 0; i < 100; i++) {
        const next = yield* Scope.make()
        yield* Scope.extend(lock(`hand ${i}`, { reentrant: true, registry }), next)
        if (last !== undefined) yield* Scope.close(last, Exit.void)
        last = next
      }
      yield* Scope.close(last!, Exit.void)
    })),

  law("its key is the key of the lock", (registry) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const again = lock("x", { reentrant: true, registry })
        const [one, two] = [yield* again, yield* again]
        assert.isTrue(Equal.equals(one.key, two.key))
        const keys = (yield* registry.snapshot).map(({ key }) => key)
        assert.isTrue(keys.length === 2 && keys.every((key) => Equal.equals(key, one.key)))
      }))
    }))
]

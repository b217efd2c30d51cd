import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Hash,
  Layer,
  Logger,
  LogLevel,
  Option,
  Scope,
  TestClock
} from "effect"
import {
  AcquireLockFailed,
  Deadlock,
  type LocalLockOptions,
  lock,
  lockAll,
  LockRegistry,
  synchronized,
  withLock,
  withLockAll
} from "effect-locks"
import { settle } from "./utils/sweep.js"

const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined

const busy = (name: string, options?: LocalLockOptions) =>
  withLock(Effect.succeed(false), name, { ...options, blocking: false }).pipe(
    Effect.catchIf((failed) => failed.reason === "Busy", () => Effect.succeed(true)),
    Effect.orDie
  )

const held = (name: string, options?: LocalLockOptions) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(withLock(Deferred.await(gate), name, options))
    yield* settle
    return { fiber, letGo: Effect.zipRight(Deferred.succeed(gate, undefined), Fiber.join(fiber)) }
  })

describe("keys", () => {
  // Two names with one hash, found by search: the table must keep them apart.
  const collision = (() => {
    const seen = new Map<number, string>()
    for (let i = 0;; i++) {
      const name = `name-${i}`
      const other = seen.get(Hash.string(name))
      if (other !== undefined) return [other, name]
      seen.set(Hash.string(name), name)
    }
  })()

  const names = [
    "",
    " ",
    "__proto__",
    "constructor",
    "toString",
    "a/b",
    "a\u0000b",
    "\ud800",
    "\udc00",
    "é",
    "e\u0301",
    "x".repeat(2 ** 20),
    "x".repeat(2 ** 20) + "y",
    ...collision
  ]

  it.effect("any string is a name, and each is a lock of its own", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      for (const name of names) {
        assert.isFalse(yield* busy(name))
        yield* Scope.extend(lock(name), scope)
        assert.isTrue(yield* busy(name))
      }
      assert.sameMembers((yield* LockRegistry.snapshot).map((one) => one.key.name), names)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("names whose hashes collide come and go without touching each other", () =>
    Effect.gen(function*() {
      const [a, b] = [collision[0]!, collision[1]!]
      assert.strictEqual(Hash.string(a), Hash.string(b))
      const first = yield* held(a)
      const second = yield* held(b)
      yield* first.letGo
      assert.deepStrictEqual([yield* busy(a), yield* busy(b)], [false, true])
      yield* second.letGo
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("prefixes whose hashes collide are different prefixes", () =>
    Effect.gen(function*() {
      const [a, b] = [collision[0]!, collision[1]!]
      const one = yield* held("x", { prefix: a })
      assert.deepStrictEqual([yield* busy("x", { prefix: a }), yield* busy("x", { prefix: b })], [true, false])
      yield* one.letGo
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a long key is shortened in messages, and nowhere else", () =>
    Effect.scoped(Effect.map(lock("n".repeat(81)), ({ key }) => {
      assert.strictEqual(String(key), `"${"n".repeat(80)}…"`)
      assert.strictEqual(key.name, "n".repeat(81))
    })).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("the prefix is part of the key; one trailing hyphen and the empty prefix are nothing, as in oslo", () =>
    Effect.gen(function*() {
      const one = yield* held("x", { prefix: "nova" })
      assert.deepStrictEqual(
        [
          yield* busy("x", { prefix: "nova" }),
          yield* busy("x", { prefix: "nova-" }),
          yield* busy("x", { prefix: "nova--" }),
          yield* busy("x", { prefix: "cinder" }),
          yield* busy("x"),
          yield* busy("nova-x"),
          yield* busy("-x", { prefix: "nova" })
        ],
        [true, true, false, false, false, false, false]
      )
      yield* one.letGo
      const bare = yield* held("x")
      assert.deepStrictEqual(
        [yield* busy("x", { prefix: "" }), yield* busy("x", { prefix: undefined }), yield* busy("x", { prefix: "-" })],
        [true, true, false]
      )
      yield* bare.letGo
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("registries", () => {
  it.effect("a layer provided at two places is two registries, and they exclude nothing", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const other = Deferred.await(gate).pipe(withLock("x"), Effect.provide(LockRegistry.layer))
      const fiber = yield* Effect.fork(other)
      yield* settle
      assert.isNull(fiber.unsafePoll())
      assert.isFalse(yield* Effect.provide(busy("x"), LockRegistry.layer))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
    }))

  it.effect("within one build a layer is one registry", () =>
    Effect.gen(function*() {
      class A extends Effect.Service<A>()("A", { effect: Effect.map(LockRegistry, (registry) => ({ registry })) }) {}
      class B extends Effect.Service<B>()("B", { effect: Effect.map(LockRegistry, (registry) => ({ registry })) }) {}
      const both = Layer.merge(
        Layer.provide(A.Default, LockRegistry.layer),
        Layer.provide(B.Default, LockRegistry.layer)
      )
      const [a, b] = yield* Effect.provide(Effect.all([A, B]), both)
      assert.strictEqual(a.registry, b.registry)
    }))

  it.effect("layerGlobal is one registry wherever it is provided, also when it is built afresh", () =>
    Effect.gen(function*() {
      const get = Effect.provide(LockRegistry, LockRegistry.layerGlobal)
      assert.strictEqual(yield* get, yield* Effect.provide(LockRegistry, Layer.fresh(LockRegistry.layerGlobal)))
      assert.strictEqual(yield* get, yield* get)
    }))

  it.effect("the registry option is used instead of the one provided, and needs none", () =>
    Effect.gen(function*() {
      const registry = yield* LockRegistry.make
      const one = yield* held("x", { registry })
      assert.isTrue(yield* busy("x", { registry }))
      assert.isFalse(yield* busy("x"))
      yield* one.letGo
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a snapshot tells who holds, who waits in what order, and since when", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000)
      const one = yield* held("x", { prefix: "p" })
      yield* TestClock.adjust("1 second")
      const two = yield* Effect.fork(withLock(Effect.never, "x", { prefix: "p" }))
      yield* settle
      const three = yield* Effect.fork(withLock(Effect.never, "x", { prefix: "p" }))
      yield* settle
      const snapshot = yield* LockRegistry.snapshot
      assert.strictEqual(snapshot.length, 1)
      const { holders, key, waiters } = snapshot[0]!
      assert.deepStrictEqual({ prefix: key.prefix, name: key.name }, { prefix: "p", name: "x" })
      assert.deepStrictEqual(holders, [{
        ticket: 1,
        mode: "exclusive",
        permits: Infinity,
        fiberId: one.fiber.id(),
        since: 1000
      }])
      assert.deepStrictEqual(waiters, [
        { ticket: 2, mode: "exclusive", permits: Infinity, fiberId: two.id(), since: 2000, position: 1 },
        { ticket: 3, mode: "exclusive", permits: Infinity, fiberId: three.id(), since: 2000, position: 2 }
      ])
      yield* TestClock.adjust("1 second")
      yield* one.letGo
      yield* settle
      const after = (yield* LockRegistry.snapshot)[0]!
      assert.deepStrictEqual(after.holders, [
        { ticket: 2, mode: "exclusive", permits: Infinity, fiberId: two.id(), since: 3000 }
      ])
      yield* Fiber.interruptAll([two, three])
      assert.deepStrictEqual(
        holders,
        [{ ticket: 1, mode: "exclusive", permits: Infinity, fiberId: one.fiber.id(), since: 1000 }],
        "a snapshot does not change"
      )
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("failing to acquire", () => {
  it.effect("the error says which lock, why, how long, and who holds it", () =>
    Effect.gen(function*() {
      const one = yield* held("x", { prefix: "p" })
      const waiter = yield* Effect.fork(Effect.flip(withLock(Effect.void, "x", { prefix: "p", timeout: "2 seconds" })))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      const timeout = yield* Fiber.join(waiter)
      assert.instanceOf(timeout, AcquireLockFailed)
      assert.strictEqual(timeout._tag, "AcquireLockFailed")
      assert.strictEqual(timeout.name, "AcquireLockFailed")
      assert.strictEqual(timeout.key.name, "x")
      assert.deepStrictEqual(timeout.waited, Duration.seconds(2))
      const by = `#${one.fiber.id().id}`
      assert.strictEqual(timeout.message, `lock "p-x" was not free within 2s: held by ${by}`)
      const refused = yield* Effect.flip(withLock(Effect.void, "x", { prefix: "p", blocking: false }))
      assert.strictEqual(refused.message, `lock "p-x" is busy: held by ${by}`)
      assert.deepStrictEqual(refused.waited, Duration.zero)
      yield* one.letGo
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a timeout of zero takes what is free, and an infinite one waits", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(withLock(Effect.void, "x", { timeout: 0 })), Exit.void)
      const one = yield* held("x")
      const now = yield* Effect.fork(Effect.flip(withLock(Effect.void, "x", { timeout: 0 })))
      const forever = yield* Effect.fork(withLock(Effect.void, "x", { timeout: Duration.infinity }))
      yield* settle
      yield* TestClock.adjust("1000 days")
      assert.strictEqual((yield* Fiber.join(now)).reason, "Timeout")
      assert.isNull(forever.unsafePoll())
      yield* one.letGo
      yield* Fiber.join(forever)
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("the timer of a timed wait ends with the wait", () =>
    Effect.gen(function*() {
      let sleeping = 0
      const clock: Clock.Clock = {
        ...Clock.make(),
        unsafeCurrentTimeMillis: () => 0,
        sleep: () =>
          Effect.acquireUseRelease(
            Effect.sync(() => sleeping++),
            () => Effect.never,
            () => Effect.sync(() => sleeping--)
          )
      }
      const one = yield* held("x")
      const waiters = yield* Effect.forEach(
        [1, 2, 3],
        () => Effect.fork(withLock(Effect.void, "x", { timeout: "1 hour" }))
      ).pipe(Effect.withClock(clock))
      yield* settle
      assert.strictEqual(sleeping, 3)
      yield* Fiber.interrupt(waiters[0]!)
      yield* settle
      assert.strictEqual(sleeping, 2)
      yield* one.letGo
      yield* Fiber.joinAll(waiters.slice(1))
      yield* settle
      assert.strictEqual(sleeping, 0)
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a lock that comes free just as the request gives up is held by nobody, and stays free", () =>
    Effect.gen(function*() {
      const alarm = yield* Deferred.make<void>()
      const clock: Clock.Clock = {
        ...Clock.make(),
        unsafeCurrentTimeMillis: () => 0,
        sleep: () => Deferred.await(alarm)
      }
      const gate = yield* Deferred.make<void>()
      const one = yield* Effect.fork(withLock(Deferred.await(gate), "x"))
      yield* settle
      const late = yield* Effect.fork(
        Effect.flip(withLock(Effect.void, "x", { timeout: "1 second" })).pipe(Effect.withClock(clock))
      )
      yield* settle
      yield* Effect.zipRight(Deferred.succeed(alarm, undefined), Deferred.succeed(gate, undefined))
      const failed = yield* Fiber.join(late)
      yield* Fiber.join(one)
      assert.deepStrictEqual(failed.holders, [])
      assert.match(failed.message, /held by nobody$/)
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("an interruption does not disarm the deadline of an uninterruptible wait", () =>
    Effect.gen(function*() {
      const one = yield* held("x")
      const request = Effect.flip(withLock(Effect.void, "x", { timeout: "1 second" }))
      const interrupted = yield* Effect.fork(Effect.uninterruptible(Effect.exit(request)))
      const acquiring = yield* Effect.fork(
        Effect.scoped(Effect.acquireRelease(Effect.exit(request), () => Effect.void))
      )
      yield* settle
      for (const fiber of [interrupted, acquiring]) yield* Fiber.interruptFork(fiber)
      yield* settle
      assert.deepStrictEqual([interrupted.unsafePoll(), acquiring.unsafePoll()], [null, null])
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.isNotNull(interrupted.unsafePoll())
      assert.isNotNull(acquiring.unsafePoll())
      assert.deepStrictEqual((yield* LockRegistry.snapshot)[0]!.waiters, [])
      yield* one.letGo
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a clock that dies costs its own fiber the wait, and nobody else", () =>
    Effect.gen(function*() {
      let broken = false
      const clock: Clock.Clock = {
        ...Clock.make(),
        unsafeCurrentTimeMillis: () => {
          if (broken) throw new Error("no clock")
          return 0
        },
        sleep: () => Effect.dieMessage("no clock")
      }
      const one = yield* held("x")
      const waiter = yield* Effect.fork(Effect.withClock(withLock(Effect.succeed("served"), "x"), clock))
      yield* settle
      broken = true
      yield* one.letGo
      assert.strictEqual(yield* Fiber.join(waiter), "served")
      broken = false
      const two = yield* held("x")
      const timed = withLock(Effect.void, "x", { timeout: "1 hour" })
      assert.strictEqual((yield* Effect.withClock(Effect.flip(timed), clock)).reason, "Timeout")
      yield* two.letGo
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("misuse is a defect that says what to change", () =>
    Effect.gen(function*() {
      const message = (options: unknown, name: unknown = "x") =>
        Effect.map(
          Effect.exit(withLock(Effect.void, name as string, options as LocalLockOptions)),
          (exit) => (defectOf(exit) as Error).message
        )
      assert.match(yield* message({ timeout: "soon" }), /lock "x": the timeout soon is not a duration; give milli/)
      assert.match(yield* message({ prefix: 3 }), /lock "x": the prefix must be a string, not 3/)
      assert.match(yield* message({ mode: "read" }), /lock "x": the mode must be "exclusive" or "shared", not read/)
      assert.match(yield* message({ timeout: Number.NaN }), /the timeout NaN is not a duration/)
      assert.match(yield* message({ timeout: Object.create(null) }), /the timeout \[object Object\] is not a duration/)
      assert.match(yield* message({}, 3), /the name of a lock must be a string, not 3/)
      assert.match(yield* message("fair"), /lock "x": the options must be an object, not fair/)
      for (const priority of [Infinity, NaN, "1"]) {
        assert.match(yield* message({ priority }), /lock "x": the priority must be a finite number, not/)
      }
      for (const maxWaiting of [-1, NaN, "1"]) {
        assert.match(
          yield* message({ maxWaiting }),
          /lock "x": maxWaiting must be a number of requests, 0 or more, not/
        )
      }
      const all = Effect.exit(Effect.scoped(lockAll("x" as never)))
      assert.match((defectOf(yield* all) as Error).message, /lockAll takes an array of names, not x/)
      const one = Effect.exit(withLockAll(Effect.void, ["x", { name: 1 } as never]))
      assert.match((defectOf(yield* one) as Error).message, /the name of a lock must be a string, not 1/)
      const mode = Effect.exit(withLockAll(Effect.void, ["x", { name: "y", mode: "read" as never }]))
      assert.match(
        (defectOf(yield* mode) as Error).message,
        /lock "y": the mode must be "exclusive" or "shared", not read/
      )
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
      for (const registry of [{}, LockRegistry.layer, LockRegistry.make, LockRegistry]) {
        assert.match(yield* message({ registry }), /lock "x": the registry must come from LockRegistry.make or the/)
      }
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("asking for what one's own fiber holds", () => {
  const inside: Record<string, <A, E>(body: Effect.Effect<A, E, LockRegistry>) => Effect.Effect<A, E, LockRegistry>> = {
    withLock: withLock("x"),
    synchronized: (body) => synchronized("x")(() => body)()
  }
  const requests: Record<string, Effect.Effect<unknown, AcquireLockFailed, LockRegistry>> = {
    withLock: withLock(Effect.void, "x"),
    lock: Effect.scoped(lock("x")),
    synchronized: synchronized("x")(() => Effect.void)(),
    "an infinite timeout": withLock(Effect.void, "x", { timeout: Duration.infinity })
  }

  for (const [outer, hold] of Object.entries(inside)) {
    for (const [inner, request] of Object.entries(requests)) {
      it.effect(`${inner} inside ${outer} dies at once and loses nothing`, () =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(hold(Effect.zipRight(Effect.yieldNow(), request)))
          const defect = defectOf(exit)
          assert.instanceOf(defect, Deadlock)
          assert.match(
            defect.message,
            /^lock "x" is already held by #\d+, which asks for it again inside that hold .* Take it once/
          )
          assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
        }).pipe(Effect.provide(LockRegistry.layer)))
    }
  }

  it.effect("it is seen while others wait, and the outer hold goes on", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const outer = yield* Effect.fork(withLock(
        Effect.zipRight(Deferred.await(gate), Effect.zip(Effect.exit(withLock(Effect.void, "x")), busy("x"))),
        "x"
      ))
      yield* settle
      const waiter = yield* Effect.fork(withLock(Effect.void, "x"))
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      const [exit, stillHeld] = yield* Fiber.join(outer)
      assert.instanceOf(defectOf(exit), Deadlock)
      assert.isTrue(stillHeld)
      yield* Fiber.join(waiter)
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("with blocking: false it is Busy, with a timeout it is Timeout", () =>
    Effect.gen(function*() {
      const reason = (options: LocalLockOptions) =>
        Effect.map(
          Effect.flip(withLock(Effect.flip(withLock(Effect.void, "x", options)), "x").pipe(Effect.flip)),
          (e) => (e as AcquireLockFailed).reason
        )
      assert.strictEqual(yield* reason({ blocking: false }), "Busy")
      const timed = yield* Effect.fork(reason({ timeout: "1 second" }))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(timed), "Timeout")
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("no false alarm: another name, another registry, another fiber, or a hold that is over", () =>
    Effect.gen(function*() {
      const registry = yield* LockRegistry.make
      yield* withLock(withLock(Effect.void, "y"), "x")
      yield* withLock(withLock(Effect.void, "x", { registry }), "x")
      yield* withLock(withLock(Effect.void, "x", { prefix: "p" }), "x")
      yield* Effect.zipRight(withLock(Effect.void, "x"), withLock(Effect.void, "x"))
      const asking = Effect.tap(
        Effect.fork(withLock(Effect.succeed(1), "x")),
        (fiber) => Effect.map(settle, () => assert.isNull(fiber.unsafePoll(), "the child waits for its parent"))
      )
      const child = yield* withLock(asking, "x")
      assert.strictEqual(yield* Fiber.join(child), 1)
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("a scoped hold belongs to its scope, not to a fiber: asking again waits", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const fiber = yield* Effect.fork(Effect.zipRight(Scope.extend(lock("x"), scope), withLock(Effect.void, "x")))
      yield* settle
      assert.isNull(fiber.unsafePoll())
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(fiber)
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("withLock", () => {
  it.effect("takes its effect first or last, with and without options", () =>
    Effect.gen(function*() {
      const all = [
        Effect.succeed(1).pipe(withLock("x")),
        Effect.succeed(1).pipe(withLock("x", { fair: true })),
        withLock(Effect.succeed(1), "x"),
        withLock(Effect.succeed(1), "x", { fair: true }),
        withLock(Effect.succeed(1), "x", undefined)
      ]
      assert.deepStrictEqual(yield* Effect.all(all), [1, 1, 1, 1, 1])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("keeps the body's interruptibility, and holds until a finalizer inside it is done", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        withLock(Effect.onInterrupt(Effect.never, () => Deferred.await(gate)), "x")
      )
      yield* settle
      yield* Fiber.interruptFork(fiber)
      yield* settle
      assert.isTrue(yield* busy("x"))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.await(fiber)
      assert.isFalse(yield* busy("x"))
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("in an uninterruptible region the wait is uninterruptible too", () =>
    Effect.gen(function*() {
      const one = yield* held("x")
      const fiber = yield* Effect.fork(Effect.uninterruptible(withLock(Effect.void, "x")))
      yield* settle
      yield* Fiber.interruptFork(fiber)
      yield* settle
      assert.isNull(fiber.unsafePoll())
      yield* one.letGo
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("reentrant holds may be many thousands deep", () =>
    Effect.gen(function*() {
      const deep = (n: number): Effect.Effect<number, AcquireLockFailed, LockRegistry> =>
        n === 0 ? Effect.succeed(0) : withLock(Effect.suspend(() => deep(n - 1)), "x", { reentrant: true })
      assert.strictEqual(yield* deep(20_000), 0)
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)), 60_000)

  it.effect("one value may run many times, at once", () =>
    Effect.gen(function*() {
      let count = 0
      const visit = withLock(
        Effect.suspend(() => {
          const before = count
          return Effect.andThen(Effect.yieldNow(), Effect.sync(() => count = before + 1))
        }),
        "x"
      )
      yield* Effect.all(Array.from({ length: 100 }, () => visit), { concurrency: "unbounded" })
      assert.strictEqual(count, 100)
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("lock", () => {
  it.effect("tells the holder what it holds", () =>
    Effect.scoped(Effect.map(lock("x", { prefix: "p-" }), ({ key, mode }) => {
      assert.deepStrictEqual([key.prefix, key.name, mode, String(key)], ["p", "x", "exclusive", `"p-x"`])
    })).pipe(
      Effect.zipRight(Effect.scoped(lock("x", { mode: "shared" }))),
      Effect.map(({ mode }) => assert.strictEqual(mode, "shared")),
      Effect.provide(LockRegistry.layer)
    ))

  it.effect("in a scope that is already closed it does not stay held", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Scope.close(scope, Exit.void)
      yield* Scope.extend(lock("x"), scope)
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("synchronized", () => {
  it.effect("wraps a function and a generator function; keeps this, arguments, name and length", () =>
    Effect.gen(function*() {
      class Account {
        balance = 1
        add = synchronized("account")(function(this: Account, a: number, b: number) {
          return Effect.sync(() => this.balance += a + b)
        })
        addLater = synchronized("account")(function* addLater(this: Account, amount: number) {
          yield* Effect.yieldNow()
          return this.balance += amount
        })
      }
      const account = new Account()
      assert.strictEqual(yield* account.add(1, 2), 4)
      assert.strictEqual(yield* account.addLater(3), 7)
      assert.deepStrictEqual([account.add.length, account.addLater.length, account.addLater.name], [2, 1, "addLater"])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("is a method decorator", () =>
    Effect.gen(function*() {
      class Counter {
        count = 0
        @synchronized("counter")
        increment(by: number): Effect.Effect<number, never, LockRegistry> {
          const before = this.count
          return Effect.andThen(Effect.yieldNow(), Effect.sync(() => this.count = before + by))
        }
      }
      const counter = new Counter()
      yield* Effect.all(Array.from({ length: 20 }, () => counter.increment(1)), { concurrency: "unbounded" })
      assert.strictEqual(counter.count, 20)
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("calls the function under the lock, when the effect runs, anew on each run", () =>
    Effect.gen(function*() {
      const calls: Array<boolean> = []
      const call = synchronized("x")(() => Effect.map(busy("x"), (isBusy) => calls.push(isBusy)))()
      assert.deepStrictEqual(calls, [])
      yield* call
      yield* call
      assert.deepStrictEqual(calls, [true, true])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("releases when the function throws, and says so when it returns no Effect", () =>
    Effect.gen(function*() {
      const boom = new Error("boom")
      const thrower = synchronized("x")((): Effect.Effect<void> => {
        throw boom
      })
      assert.strictEqual(defectOf(yield* Effect.exit(thrower())), boom)
      const wrong = synchronized("x")(function promised() {
        return Promise.resolve(1) as unknown as Effect.Effect<number>
      })
      assert.match(
        (defectOf(yield* Effect.exit(wrong())) as Error).message,
        /a function that returns an Effect, or a generator function; "promised" returned \[object Promise\]/
      )
      const misuses: ReadonlyArray<readonly [unknown, RegExp]> = [
        [() => [1, 2].values(), /"" returned \[object Array Iterator\]/],
        [async function*() {}, /"" returned \[object AsyncGenerator\]/],
        [Effect.void, /not \{/],
        [undefined, /not undefined/]
      ]
      for (const [body, expected] of misuses) {
        const defect = defectOf(yield* Effect.exit(synchronized("x")(body as () => Effect.Effect<void>)()))
        assert.match((defect as Error).message, /^synchronized takes a function that returns an Effect, or a generator/)
        assert.match((defect as Error).message, expected)
      }
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))
})

describe("debug lines", () => {
  const collect = <A, E>(effect: Effect.Effect<A, E, LockRegistry>, level: LogLevel.LogLevel = LogLevel.Debug) =>
    Effect.suspend(() => {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      return effect.pipe(
        Effect.exit,
        Effect.as(lines),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(level),
        Effect.provide(LockRegistry.layer)
      )
    })

  it.effect("are written before waiting, after the grant and after the release", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* collect(withLock(TestClock.adjust("1500 millis"), "x", { prefix: "p" })), [
        `Acquiring lock "p-x"`,
        `Acquired lock "p-x" :: waited 0.000s`,
        `Released lock "p-x" :: held 1.500s`
      ])
      assert.deepStrictEqual(yield* collect(Effect.scoped(lock("x"))), [
        `Acquiring lock "x"`,
        `Acquired lock "x" :: waited 0.000s`,
        `Released lock "x" :: held 0.000s`
      ])
    }))

  it.effect("tell the wait from the hold", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const one = yield* held("x")
      const two = yield* Effect.fork(
        withLock(Effect.sleep("3 seconds"), "x").pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.Debug)
        )
      )
      yield* settle
      assert.deepStrictEqual(lines, [`Acquiring lock "x"`])
      yield* TestClock.adjust("2 seconds")
      yield* one.letGo
      yield* settle
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(two)
      assert.deepStrictEqual(lines.slice(1), [
        `Acquired lock "x" :: waited 2.000s`,
        `Released lock "x" :: held 3.000s`
      ])
    }).pipe(Effect.provide(LockRegistry.layer)))

  it.effect("are true when they are written: acquired while it is held, released when it is free", () =>
    Effect.gen(function*() {
      const registry = yield* LockRegistry.make
      const seen: Array<readonly [string, number]> = []
      const logger = Logger.make(({ message }) =>
        void seen.push([String(message).split(" ")[0]!, Effect.runSync(registry.snapshot).length])
      )
      yield* withLock(Effect.void, "x", { registry }).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.Debug)
      )
      assert.deepStrictEqual(seen, [["Acquiring", 0], ["Acquired", 1], ["Released", 0]])
    }))

  it.effect("name the function that is synchronized", () =>
    Effect.map(
      collect(
        synchronized("x")(function transfer() {
          return Effect.fail("failure")
        })()
      ),
      (lines) => {
        assert.deepStrictEqual(lines, [
          `Acquiring lock "x" by "transfer"`,
          `Acquired lock "x" by "transfer" :: waited 0.000s`,
          `Released lock "x" by "transfer" :: held 0.000s`
        ])
      }
    ))

  it.effect("say nothing of a function that has no name", () =>
    Effect.map(collect(synchronized("x")(() => Effect.void)()), ([line]) => {
      assert.strictEqual(line, `Acquiring lock "x"`)
    }))

  it.effect("name all of several locks", () =>
    Effect.map(collect(withLockAll(Effect.void, ["x", "y", "x"], { prefix: "p" })), ([line]) => {
      assert.strictEqual(line, `Acquiring locks "p-x", "p-y"`)
    }))

  it.effect("say why a lock was not acquired", () =>
    Effect.map(collect(Effect.scoped(Effect.zipRight(lock("x", { log: false }), busy("x")))), (lines) => {
      assert.deepStrictEqual(lines, [`Acquiring lock "x"`, `Did not acquire lock "x" :: Busy, waited 0.000s`])
    }))

  it.effect("are not written with log: false, nor above the level of Debug", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* collect(withLock(Effect.void, "x", { log: false })), [])
      assert.deepStrictEqual(yield* collect(withLock(Effect.void, "x"), LogLevel.Info), [])
    }))

  it.effect("a logger that dies costs neither the lock nor the outcome", () =>
    Effect.gen(function*() {
      const logger = Logger.make(() => {
        throw new Error("no disk")
      })
      const loud = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        effect.pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.Debug)
        )
      assert.strictEqual(yield* loud(withLock(Effect.succeed(1), "x")), 1)
      assert.deepStrictEqual(yield* Effect.exit(loud(withLock(Effect.fail("failure"), "x"))), Exit.fail("failure"))
      yield* loud(Effect.scoped(lock("x")))
      assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
    }).pipe(Effect.provide(LockRegistry.layer)))
})

import type { Path } from "@effect/platform"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Layer,
  Option,
  Schedule,
  Scope
} from "effect"
import {
  AcquireLockFailed,
  Deadlock,
  ExternalLock,
  ExternalLockError,
  FileLock,
  lock,
  lockAll,
  LockLost,
  LockRegistry,
  synchronized,
  withLock,
  withLockAll
} from "effect-locks"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FileName from "../../src/internal/fileName.js"
import * as Key from "../../src/internal/lockKey.js"
import { KernelLock } from "../../src/KernelLock.js"
import { holding } from "../utils/holding.js"
import { openFiles } from "../utils/openFiles.js"

const external = { external: true } as const

/** A lock path that lives as long as the test, and the services over it. */
const files = Layer.provideMerge(FileLock.layerTemp, NodeContext.layer)
const test = (name: string, body: Effect.Effect<void, unknown, Services>) =>
  it.live(name, () => Effect.provide(body, Layer.merge(LockRegistry.layer, files)))
type Services = LockRegistry | FileLock | ExternalLock | FileSystem.FileSystem | Path.Path

const pathOf = (name: string) => Effect.flatMap(FileLock, (files) => files.path(name))
const remove = (name: string) => Effect.flatMap(FileLock, (files) => files.remove(name))
const holders = (name: string) => Effect.flatMap(FileLock, (files) => files.holders(name))

/** Another layer over the same lock path, with a registry of its own: as another process would have. */
const asOther = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.flatMap(pathOf("any"), (file) =>
    Effect.provide(
      effect,
      Layer.merge(
        LockRegistry.layer,
        Layer.provideMerge(FileLock.layer({ lockPath: path.dirname(file) }), NodeContext.layer)
      )
    ))

/** Is it free, for somebody else? */
const isFree = (name: string) =>
  asOther(Effect.isSuccess(withLock(Effect.void, name, { ...external, blocking: false })))

const failure = <A, E>(effect: Effect.Effect<A, E, Services>) => Effect.flip(effect)

describe("a lock held by a file", () => {
  test(
    "excludes another layer on the same path, and is free afterwards",
    Effect.gen(function*() {
      assert.isTrue(yield* isFree("x"))
      assert.isFalse(yield* withLock(isFree("x"), "x", external))
      assert.isTrue(yield* withLock(isFree("y"), "x", external))
      assert.isTrue(yield* isFree("x"))
    })
  )

  test(
    "is shared with other readers, and excludes writers",
    Effect.gen(function*() {
      const reading = { ...external, mode: "shared", blocking: false } as const
      const othersCan = asOther(Effect.all([
        Effect.isSuccess(withLock(Effect.void, "x", reading)),
        Effect.isSuccess(withLock(Effect.void, "x", { ...external, blocking: false }))
      ]))
      assert.deepStrictEqual(yield* withLock(othersCan, "x", { ...external, mode: "shared" }), [true, false])
      assert.deepStrictEqual(yield* withLock(othersCan, "x", external), [false, false])
      assert.deepStrictEqual(yield* othersCan, [true, true])
    })
  )

  test(
    "is waited for until somebody else lets go",
    Effect.gen(function*() {
      const holder = yield* holding((body) => asOther(withLock(body, "x", external)))
      const waiter = yield* Effect.fork(withLock(Effect.succeed("mine"), "x", external))
      yield* Effect.sleep(60)
      assert.isNull(waiter.unsafePoll())
      yield* holder.letGo
      assert.strictEqual(yield* Fiber.join(waiter), "mine")
      assert.isTrue(yield* isFree("x"))
    })
  )

  test(
    "blocking: false and timeout fail at once and in time, and say that it is held outside",
    Effect.gen(function*() {
      const asked = withLock(
        Effect.all([
          failure(asOther(withLock(Effect.void, "x", { ...external, blocking: false }))),
          failure(asOther(withLock(Effect.void, "x", { ...external, timeout: 30 }))),
          failure(asOther(withLock(Effect.void, "x", { ...external, timeout: 0 }))),
          failure(asOther(withLock(Effect.void, "x", { ...external, timeout: 30, retry: Schedule.spaced(5) })))
        ]),
        "x",
        external
      )
      const errors = yield* asked
      assert.deepStrictEqual(
        errors.map((error) => error instanceof AcquireLockFailed && [error.reason, error.outside]),
        [["Busy", true], ["Timeout", true], ["Timeout", true], ["Timeout", true]]
      )
      assert.include(String(errors[0]!.message), `lock "x" is busy: held by another process`)
      for (const error of [errors[1], errors[3]]) {
        assert.isTrue(error instanceof AcquireLockFailed && Duration.greaterThan(error.waited, "20 millis"))
      }
      assert.isTrue(yield* isFree("x"), "nothing is left behind")
    })
  )

  test(
    "retry asks as the schedule says, and fails when it ends",
    Effect.gen(function*() {
      let asked = 0
      const counting = Effect.map(ExternalLock, (service) =>
        ExternalLock.of({
          ...service,
          tryAcquire: (request) => Effect.zipRight(Effect.sync(() => asked++), service.tryAcquire(request))
        }))
      const ask = withLock(Effect.void, "x", { ...external, retry: Schedule.recurs(3) })
      const error = yield* withLock(
        failure(asOther(Effect.provideServiceEffect(ask, ExternalLock, counting))),
        "x",
        external
      )
      assert.strictEqual(error instanceof AcquireLockFailed && error.reason, "RetriesExhausted")
      assert.strictEqual(asked, 4)
      const holder = yield* holding((body) => asOther(withLock(body, "x", external)))
      const waiter = yield* Effect.fork(withLock(Effect.void, "x", { ...external, retry: Schedule.spaced(1) }))
      yield* Effect.sleep(10)
      yield* holder.letGo
      yield* Fiber.join(waiter)
    })
  )

  test(
    "an interrupted wait leaves at once, and leaves no lock, no gate and no open file",
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      const start = (options: { readonly retry?: Schedule.Schedule<unknown, unknown>; readonly timeout?: number }) =>
        Effect.fork(withLock(Effect.void, "x", { ...external, ...options }))
      yield* asOther(withLock(
        Effect.gen(function*() {
          // Long enough to take the gate.
          const waiters = [
            yield* start({}),
            yield* start({ timeout: 10_000 }),
            yield* start({ retry: Schedule.spaced(1) })
          ]
          yield* Effect.sleep(60)
          yield* Fiber.interruptAll(waiters)
        }),
        "x",
        external
      ))
      assert.isTrue(yield* isFree("x"))
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(withLock(Effect.void, "x", { ...external, blocking: false }))))
      assert.isAtMost(openFiles(file), 1, "one may be kept for the next")
      assert.deepStrictEqual(yield* Effect.flatMap(LockRegistry, (registry) => registry.snapshot), [])
    })
  )

  test(
    "the lock of the registry is released also when the file cannot be locked",
    Effect.gen(function*() {
      const error = yield* failure(withLock(Effect.void, "x", { ...external, lockPath: "/proc/none" }))
      assert.instanceOf(error, ExternalLockError)
      const prefixed = yield* failure(withLock(Effect.void, "x", { ...external, prefix: "a/b" }))
      assert.instanceOf(prefixed, ExternalLockError)
      assert.deepStrictEqual(yield* Effect.flatMap(LockRegistry, (registry) => registry.snapshot), [])
      yield* withLock(Effect.void, "x", external)
    })
  )

  test(
    "synchronized and scoped locks hold it too",
    Effect.gen(function*() {
      const probe = synchronized("x", external)(function*() {
        return yield* isFree("x")
      })
      assert.isFalse(yield* probe())
      const scope = yield* Scope.make()
      const held = yield* Scope.extend(lock("x", external), scope)
      assert.strictEqual(held.mode, "exclusive")
      assert.isFalse(yield* isFree("x"))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* isFree("x"))
    })
  )

  test(
    "a plain lock of the same name excludes it in this process, and not outside",
    Effect.gen(function*() {
      const busy = yield* withLock(failure(withLock(Effect.void, "x", { ...external, timeout: 1 })), "x")
      assert.strictEqual(busy instanceof AcquireLockFailed && busy.outside, false)
      assert.isTrue(yield* withLock(isFree("x"), "x"))
    })
  )

  test(
    "to read the file, to open it again and to write into it does not let go of it",
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      yield* withLock(
        Effect.gen(function*() {
          const fileSystem = yield* FileSystem.FileSystem
          yield* fileSystem.readFileString(file)
          fs.closeSync(fs.openSync(file, "r"))
          yield* fileSystem.writeFileString(file, "touched")
          assert.isFalse(yield* isFree("x"))
        }),
        "x",
        external
      )
      assert.isTrue(yield* isFree("x"))
      assert.strictEqual(fs.readFileSync(file, "utf8"), "touched", "what is in the file stays")
    })
  )

  test(
    "ExternalLock alone holds it without a registry",
    Effect.scoped(Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        yield* ExternalLock.acquire("x")
        assert.isTrue(Option.isNone(yield* ExternalLock.tryAcquire("x")))
        assert.isTrue(Option.isNone(yield* ExternalLock.tryAcquire("x", { mode: "shared" })))
        assert.isTrue(Option.isSome(yield* ExternalLock.tryAcquire("x", { prefix: "p" })))
        assert.isFalse(yield* isFree("x"))
        assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
      }))
      assert.isTrue(Option.isSome(yield* ExternalLock.tryAcquire("x", { mode: "shared" })))
      yield* ExternalLock.acquire("x", { mode: "shared" })
      assert.isFalse(yield* isFree("x"))
      const waiter = yield* Effect.fork(Effect.scoped(ExternalLock.acquire("x")))
      yield* Effect.sleep(30)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(waiter)))
      assert.strictEqual((yield* Effect.flip(ExternalLock.acquire(".."))).reason, "UnsafeName")
    }))
  )
})

describe("several at once, and one inside another", () => {
  test(
    "lockAll holds all of the files, and none when one cannot be had",
    Effect.gen(function*() {
      const freeNow = Effect.all(["a", "b", "c"].map(isFree))
      assert.deepStrictEqual(yield* withLockAll(freeNow, ["c", "a", "b"], external), [false, false, false])
      yield* asOther(withLock(
        Effect.gen(function*() {
          const error = yield* failure(withLockAll(Effect.void, ["a", "b", "c"], { ...external, timeout: 20 }))
          assert.strictEqual(error instanceof AcquireLockFailed && error.key.name, "b")
          assert.deepStrictEqual(yield* freeNow, [true, false, true])
        }),
        "b",
        external
      ))
      yield* Effect.scoped(Effect.gen(function*() {
        const held = yield* lockAll(["b", { name: "a", mode: "shared" }], external)
        assert.deepStrictEqual(held.map(({ key, mode }) => [key.name, mode]), [["b", "exclusive"], ["a", "shared"]])
      }))
      assert.deepStrictEqual(yield* freeNow, [true, true, true])
    })
  )

  test(
    "names that lead to one file exclude each other here too, and the strongest mode counts",
    Effect.gen(function*() {
      const busy = yield* withLock(
        failure(withLock(Effect.void, "a_b", { ...external, timeout: 5 })),
        "a/b",
        external
      )
      assert.strictEqual(busy instanceof AcquireLockFailed && busy.reason, "Timeout")
      const both = [{ name: "a/b", mode: "shared" }, "a_b"] as const
      const reading = { ...external, mode: "shared", blocking: false } as const
      assert.isFalse(
        yield* withLockAll(asOther(Effect.isSuccess(withLock(Effect.void, "a/b", reading))), both, external)
      )
      assert.isTrue(yield* isFree("a_b"))
    })
  )

  test(
    "a fiber that waits for itself through another name dies with Deadlock",
    Effect.gen(function*() {
      const exit = yield* Effect.exit(withLock(withLock(Effect.void, "a_b", external), "a/b", external))
      const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
      assert.instanceOf(defect, Deadlock)
      assert.isTrue(yield* isFree("a_b"))
    })
  )

  test(
    "reentrant holds share the file, which is held until the last of them ends",
    Effect.gen(function*() {
      const reentrant = { ...external, reentrant: true } as const
      const child = yield* withLock(holding((body) => withLock(body, "x", reentrant)), "x", reentrant)
      assert.isFalse(yield* isFree("x"), "the child outlived the hold that it is inside of")
      yield* child.letGo
      assert.isTrue(yield* isFree("x"))
      assert.isFalse(yield* withLock(withLock(isFree("x"), "x", reentrant), "x", { reentrant: true }))
      assert.isTrue(yield* isFree("x"))
    })
  )

  test(
    "an upgrade tries once, and a downgrade lets readers in",
    Effect.scoped(Effect.gen(function*() {
      const reading = { ...external, mode: "shared", blocking: false } as const
      const othersRead = asOther(Effect.isSuccess(withLock(Effect.void, "x", reading)))
      const held = yield* lock("x", { ...external, mode: "shared" })
      yield* asOther(withLock(
        Effect.void,
        "x",
        reading
      ))
      yield* held.upgrade
      assert.strictEqual(held.mode, "exclusive")
      assert.isFalse(yield* othersRead)
      yield* held.upgrade
      yield* held.downgrade
      assert.strictEqual(held.mode, "shared")
      assert.isTrue(yield* othersRead)

      const reader = yield* holding((body) => asOther(withLock(body, "x", reading)))
      const outside = yield* failure(held.upgrade)
      assert.deepStrictEqual(outside instanceof AcquireLockFailed && [outside.reason, outside.outside], [
        "UpgradeConflict",
        true
      ])
      assert.strictEqual(held.mode, "shared")
      yield* reader.letGo

      const inside = yield* Effect.scoped(Effect.zipRight(lock("x", reading), failure(held.upgrade)))
      assert.deepStrictEqual(inside instanceof AcquireLockFailed && [inside.reason, inside.outside], [
        "UpgradeConflict",
        false
      ])
      yield* held.upgrade
      assert.strictEqual(held.mode, "exclusive")
    }))
  )
})

describe("loss", () => {
  const replaced = (name: string) =>
    Effect.flatMap(pathOf(name), (file) =>
      Effect.sync(() => {
        fs.unlinkSync(file)
        fs.writeFileSync(file, "")
      }))

  const lostAs = <A, E>(exit: Exit.Exit<A, E>) =>
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

  test(
    "interrupts the body within a second, which keeps its fiber and what it holds, and fails",
    Effect.gen(function*() {
      const name = FiberRef.unsafeMake("before")
      let interrupted = false
      let after = false
      const started = performance.now()
      const program = Effect.gen(function*() {
        const body = Effect.gen(function*() {
          yield* FiberRef.set(name, "set inside")
          yield* replaced("x")
          return yield* Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
        })
        const error = yield* Effect.flip(withLock(body, "x", external))
        assert.instanceOf(error, LockLost)
        assert.isFalse(error instanceof LockLost && error.completed)
        assert.strictEqual(yield* FiberRef.get(name), "set inside")
        assert.isFalse(yield* Effect.map(LockRegistry.isLocked("x"), (locked) => locked))
        // The fiber is as good as new.
        yield* Effect.sleep(1)
        after = true
        return "went on"
      })
      assert.strictEqual(yield* Effect.flatMap(Effect.fork(program), Fiber.join), "went on")
      assert.isTrue(interrupted && after)
      assert.isBelow(performance.now() - started, 5000)
    })
  )

  test(
    "found at the release of a body that succeeded says that it completed",
    Effect.gen(function*() {
      const error = yield* Effect.flip(withLock(replaced("x"), "x", external))
      assert.strictEqual(error instanceof LockLost && error.completed, true)
      assert.include(error.message, "ran to its end")
      const failed = yield* Effect.flip(withLock(Effect.zipRight(replaced("x"), Effect.fail("mine")), "x", external))
      assert.strictEqual(failed, "mine")
    })
  )

  test(
    "waits for an uninterruptible body, and `lost` fails at once all the same",
    Effect.gen(function*() {
      let ran = false
      const body = Effect.uninterruptible(Effect.zipRight(
        replaced("x"),
        Effect.zipRight(Effect.sleep(1200), Effect.sync(() => ran = true))
      ))
      const error = yield* Effect.flip(withLock(body, "x", external))
      assert.strictEqual(error instanceof LockLost && error.completed, false, "it was interrupted after all that")
      assert.isTrue(ran)
      const whole = yield* Effect.flip(Effect.uninterruptible(withLock(body, "x", external)))
      assert.strictEqual(whole instanceof LockLost && whole.completed, true)
      yield* Effect.scoped(Effect.gen(function*() {
        const held = yield* lock("x", external)
        yield* replaced("x")
        assert.instanceOf(yield* Effect.flip(held.lost), LockLost)
      }))
    })
  )

  test(
    "completes `lost` of a scoped lock when it is released",
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const held = yield* Scope.extend(lock("x", external), scope)
      yield* replaced("x")
      yield* Scope.close(scope, Exit.void)
      assert.instanceOf(yield* Effect.flip(held.lost), LockLost)
    })
  )

  // The hold is lost, and the fiber interrupted, one right before the other, or both at once.
  for (const order of ["before", "with", "after"] as const) {
    test(
      `a real interruption ${order} it wins`,
      Effect.gen(function*() {
        const place = yield* pathOf("x")
        const lose = yield* Deferred.make<void>()
        const service = yield* ExternalLock
        // Loses the hold when it is told to.
        const losing = ExternalLock.of({
          ...service,
          tryAcquire: (request) =>
            Effect.tap(service.tryAcquire(request), (hold) =>
              Effect.forkDaemon(Effect.zipRight(
                Deferred.await(lose),
                Effect.sync(() =>
                  Option.getOrThrow(hold).lose(
                    new LockLost({ key: request.key, explanation: "test", completed: false })
                  )
                )
              )))
        })
        const isIn = yield* Deferred.make<void>()
        let after = false
        const body = Effect.zipRight(Deferred.succeed(isIn, undefined), Effect.never)
        const fiber = yield* withLock(body, "x", external).pipe(
          Effect.catchAll(() => Effect.void),
          Effect.zipRight(Effect.sync(() => after = true)),
          Effect.provideService(ExternalLock, losing),
          Effect.fork
        )
        yield* Deferred.await(isIn)
        const loss = Effect.zipRight(
          Deferred.succeed(lose, undefined),
          order === "with" ? Effect.void : Effect.sleep(5)
        )
        if (order === "before") {
          yield* Fiber.interruptFork(fiber)
          yield* loss
        } else {
          yield* loss
          yield* Fiber.interruptFork(fiber)
        }
        const exit = yield* Fiber.await(fiber)
        // After the loss is dealt with, the fiber has gone on before the interruption came.
        if (order === "after") assert.isTrue(after || Exit.isInterrupted(exit))
        else assert.isTrue(Exit.isInterrupted(exit) && !after)
        assert.isTrue(yield* isFree("x"))
        assert.isTrue(fs.existsSync(place))
      })
    )
  }

  test(
    "of the outer lock ends what is inside it, and of the inner one leaves the outer alone",
    Effect.gen(function*() {
      const inner = yield* withLock(
        Effect.zipLeft(
          Effect.flip(withLock(Effect.zipRight(replaced("b"), Effect.never), "b", external)),
          Effect.sleep(1)
        ),
        "a",
        external
      )
      assert.strictEqual(inner instanceof LockLost && inner.key.name, "b")
      const outer = yield* Effect.exit(
        withLock(withLock(Effect.zipRight(replaced("a"), Effect.never), "b", external), "a", external)
      )
      const error = lostAs(outer)
      assert.strictEqual(error instanceof LockLost && error.key.name, "a")
    })
  )
})

describe("FileLock", () => {
  test(
    "remove takes the lock first, and those who wait lock the next file",
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      yield* remove("x")
      assert.isFalse(fs.existsSync(file), "to remove what is not there does nothing")
      yield* withLock(Effect.void, "x", external)
      yield* remove("x")
      assert.isFalse(fs.existsSync(file))
      const holder = yield* holding((body) => asOther(withLock(body, "x", external)))
      const removing = yield* Effect.fork(remove("x"))
      yield* Effect.sleep(30)
      assert.isNull(removing.unsafePoll())
      let inside = 0
      const visit = withLock(
        Effect.acquireUseRelease(
          Effect.sync(() => assert.strictEqual(++inside, 1)),
          () => Effect.sleep(2),
          () => Effect.sync(() => inside--)
        ),
        "x",
        external
      )
      const others: ReadonlyArray<Effect.Effect<void, unknown, Services>> = [
        visit,
        asOther(visit),
        asOther(remove("x")),
        visit,
        asOther(visit)
      ]
      const visits = yield* Effect.forEach(others, (effect) => Effect.fork(effect))
      yield* Effect.sleep(5)
      yield* holder.letGo
      yield* Fiber.join(removing)
      yield* Effect.forEach(visits, Fiber.join)
    })
  )

  test(
    "remove inside one's own hold dies",
    Effect.gen(function*() {
      const dies = <A, E>(effect: Effect.Effect<A, E, Services>) =>
        Effect.map(
          Effect.exit(effect),
          (exit) => Exit.isFailure(exit) ? String(Option.getOrUndefined(Cause.dieOption(exit.cause))) : "no"
        )
      const message = `lock "x" is held by the fiber that wants to remove it`
      assert.include(yield* dies(withLock(remove("x"), "x", external)), message)
      assert.include(yield* dies(Effect.scoped(Effect.zipRight(lock("x", external), remove("x")))), message)
      yield* remove("x")
    })
  )

  test(
    "holders tells pid, command and mode",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* holders("x"), { holders: [], complete: true })
      const held = yield* withLock(holders("x"), "x", { ...external, mode: "shared" })
      if (process.platform !== "linux") {
        assert.deepStrictEqual(held, { holders: [], complete: false })
        return
      }
      assert.deepStrictEqual(held.holders.map(({ mode, pid }) => [pid, mode]), [[process.pid, "shared"]])
      assert.include(held.holders[0]!.command, "node")
      assert.isTrue(held.complete)
      assert.deepStrictEqual(yield* holders("x"), { holders: [], complete: true })
    })
  )

  test(
    "the name of the file is oslo's, and names that would lead elsewhere are refused",
    Effect.gen(function*() {
      const files = yield* FileLock
      const directory = path.dirname(yield* files.path("x"))
      const name = (name: string, prefix?: string) =>
        Effect.map(files.path(name, { prefix }), (file) => file.slice(directory.length + 1))
      const same: ReadonlyArray<[string, string | undefined, string]> = [
        ["a", "nova", "nova-a"],
        ["a", "nova-", "nova-a"],
        ["x", "--", "--x"],
        ["x", "", "x"],
        ["a/b", undefined, "a_b"],
        ["/abs", "p", "p-_abs"],
        ["..", "p", "p-.."],
        ["../x", undefined, ".._x"],
        ["ünïcode 🔒", undefined, "ünïcode 🔒"],
        ["x".repeat(255), undefined, "x".repeat(255)]
      ]
      for (const [given, prefix, expected] of same) assert.strictEqual(yield* name(given, prefix), expected)
      const refused: ReadonlyArray<[string, string | undefined]> = [
        ["", undefined],
        [".", undefined],
        ["..", undefined],
        ["a\0b", undefined],
        ["x", "a/b"],
        ["x", "/etc"],
        ["x".repeat(256), undefined],
        ["🔒".repeat(64), undefined]
      ]
      for (const [given, prefix] of refused) {
        const error = yield* Effect.flip(files.path(given, { prefix }))
        assert.strictEqual(error.reason, "UnsafeName", JSON.stringify(given.slice(0, 5)))
        assert.instanceOf(yield* Effect.flip(withLock(Effect.void, given, { ...external, prefix })), ExternalLockError)
      }
      assert.deepStrictEqual(fs.readdirSync(directory), [], "nothing is left behind")
    })
  )

  it.live("layerTemp is a private directory, and is removed with its layer", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(files, scope)
      const file = yield* Context.get(services, FileLock).path("x")
      assert.strictEqual(fs.statSync(path.dirname(file)).mode & 0o777, 0o700)
      yield* Effect.provide(
        withLock(Effect.void, "x", external),
        Layer.merge(LockRegistry.layer, Layer.succeed(ExternalLock, Context.get(services, ExternalLock)))
      )
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(fs.existsSync(path.dirname(file)))
      assert.strictEqual(openFiles(file), 0)
    }))
})

describe("what a lock path must be", () => {
  const build = (lockPath: string, mode?: number) =>
    Effect.scoped(Layer.build(FileLock.layer({ lockPath, mode }))).pipe(Effect.provide(NodeContext.layer))

  const refused = (lockPath: string) => Effect.flip(build(lockPath))

  const inTemp = (name: string, body: (directory: string) => Effect.Effect<void, unknown>) =>
    it.live(name, () =>
      Effect.scoped(
        Effect.flatMap(Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped()), body)
      ).pipe(Effect.provide(NodeContext.layer)))

  inTemp("it is made, with all that is above it, for this user alone", (directory) =>
    Effect.gen(function*() {
      const lockPath = path.join(directory, "a", "b")
      yield* build(lockPath)
      assert.strictEqual(fs.statSync(lockPath).mode & 0o777, 0o700)
    }))

  inTemp(
    "a mode is for its files, and it may be searched by whom they may be read by",
    (directory) =>
      Effect.gen(function*() {
        const lockPath = path.join(directory, "shared")
        const services = FileLock.layer({ lockPath, mode: 0o660 })
        yield* withLock(Effect.void, "x", external).pipe(
          Effect.provide(Layer.merge(LockRegistry.layer, Layer.provide(services, NodeContext.layer)))
        )
        assert.strictEqual(fs.statSync(path.join(lockPath, "x")).mode & 0o777, 0o660)
        assert.strictEqual(fs.statSync(lockPath).mode & 0o110, 0o110)
      })
  )

  inTemp("a directory, not a file or below one", (directory) =>
    Effect.gen(function*() {
      const file = path.join(directory, "file")
      fs.writeFileSync(file, "")
      for (const lockPath of [file, path.join(file, "below")]) {
        const error = yield* refused(lockPath)
        assert.strictEqual(error.reason, "Misconfigured")
        assert.include(error.message, lockPath)
      }
      for (const lockPath of ["", "a\0b"]) assert.strictEqual((yield* refused(lockPath)).reason, "Misconfigured")
    }))

  inTemp("not a symbolic link, and not writable by everybody", (directory) =>
    Effect.gen(function*() {
      const target = path.join(directory, "target")
      fs.mkdirSync(target)
      fs.symlinkSync(target, path.join(directory, "link"))
      assert.include((yield* refused(path.join(directory, "link"))).message, "symbolic link")
      fs.chmodSync(target, 0o777)
      assert.include((yield* refused(target)).message, "chmod o-w")
      fs.chmodSync(target, 0o1777)
      yield* build(target)
      assert.deepStrictEqual(fs.readdirSync(target), [])
    }))

  inTemp(
    "a lock file is no symbolic link, not even later: nothing is made where it leads",
    (directory) =>
      Effect.gen(function*() {
        const [target, file] = [path.join(directory, "target"), path.join(directory, "locks", "x")]
        yield* build(path.dirname(file))
        fs.symlinkSync(target, file)
        yield* Effect.gen(function*() {
          const linked = yield* Effect.flip(withLock(Effect.void, "x", external))
          assert.strictEqual(linked instanceof ExternalLockError && linked.reason, "Misconfigured")
          assert.include(linked.message, `lock "x": ${file}: the lock file is a symbolic link`)
          assert.isFalse(fs.existsSync(target))
          fs.unlinkSync(file)
          const lost = yield* Effect.flip(withLock(
            Effect.sync(() => {
              fs.renameSync(file, target)
              fs.symlinkSync(target, file)
            }),
            "x",
            external
          ))
          assert.instanceOf(lost, LockLost)
        }).pipe(
          Effect.provide(Layer.merge(
            LockRegistry.layer,
            Layer.provide(FileLock.layer({ lockPath: path.dirname(file) }), NodeContext.layer)
          ))
        )
      })
  )

  inTemp("removed meanwhile, it is made again", (directory) =>
    Effect.gen(function*() {
      const lockPath = path.join(directory, "locks")
      yield* Effect.gen(function*() {
        fs.rmdirSync(lockPath)
        yield* withLock(Effect.void, "x", external)
        fs.rmSync(lockPath, { recursive: true })
        yield* withLock(Effect.void, "x", external)
      }).pipe(
        Effect.provide(Layer.merge(
          LockRegistry.layer,
          Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer)
        ))
      )
    }))

  it.live("one that this process may not use", () =>
    Effect.gen(function*() {
      const error = yield* refused("/proc/locks-of-nobody")
      assert.include(error.message, "/proc/locks-of-nobody")
      assert.include(["PermissionDenied", "Misconfigured"], error.reason)
    }))
})

describe("what the system may refuse", () => {
  const failing = (code: string) => Object.assign(new Error(code), { code })

  /** The kernel, or the file system, fails with `code`. */
  const lockWith = (change: {
    readonly kernel?: (kernel: KernelLock) => KernelLock
    readonly fs?: (fs: FileSystem.FileSystem) => FileSystem.FileSystem
  }) =>
    Effect.scoped(Effect.gen(function*() {
      const real = yield* FileSystem.FileSystem
      const lockPath = yield* real.makeTempDirectoryScoped()
      const kernel = yield* KernelLock
      const platform = Layer.merge(
        Layer.succeed(FileSystem.FileSystem, change.fs?.(real) ?? real),
        Layer.succeed(KernelLock, change.kernel?.(kernel) ?? kernel)
      )
      const layer = Layer.provide(FileLock.layerKernelLock({ lockPath }), platform)
      return yield* Effect.gen(function*() {
        const error = yield* Effect.flip(withLock(Effect.void, "x", external))
        assert.deepStrictEqual(yield* LockRegistry.snapshot, [])
        assert.strictEqual(openFiles(lockPath), 0)
        return error
      }).pipe(Effect.provide(Layer.merge(LockRegistry.layer, layer)))
    })).pipe(Effect.provide(Layer.merge(NodeContext.layer, KernelLock.layer)))

  const systemError = (code: string) => Effect.fail({ _tag: "SystemError", cause: failing(code) } as never)

  for (
    const [code, reason, advice] of [
      ["ENOSPC", "Exhausted", "the disk is full"],
      ["EMFILE", "Exhausted", "too many files"],
      ["EACCES", "PermissionDenied", "permission"],
      ["EROFS", "PermissionDenied", "read-only"],
      ["ENAMETOOLONG", "UnsafeName", "too long"],
      ["EISDIR", "Misconfigured", "something else"],
      ["EIO", "Unavailable", "EIO"]
    ] as const
  ) {
    it.live(`to open the file: ${code}`, () =>
      Effect.gen(function*() {
        const error = yield* lockWith({ fs: (fs) => ({ ...fs, open: () => systemError(code) }) })
        assert.strictEqual(error instanceof ExternalLockError && error.reason, reason)
        assert.include(error.message, advice)
        assert.match(error.message, /^lock "x": \/.*\/x: /)
      }))
  }

  for (const code of ["ENOLCK", "EOPNOTSUPP", "EINVAL"]) {
    it.live(`to lock it: ${code}, and the layer for such file systems is named`, () =>
      Effect.gen(function*() {
        const error = yield* lockWith({
          kernel: (kernel) => ({
            ...kernel,
            tryLock: () => {
              throw failing(code)
            }
          })
        })
        assert.strictEqual(error instanceof ExternalLockError && error.reason, "Unsupported")
        assert.include(error.message, "FileLock.layerPortable")
      }))
  }

  it.live("files that are none of the system", () =>
    Effect.gen(function*() {
      const error = yield* lockWith({
        fs: (real) => ({
          ...real,
          open: (file, options) =>
            Effect.map(real.open(file, options), (open) => ({ ...open, fd: 0 as never, stat: open.stat }))
        })
      })
      assert.strictEqual(error instanceof ExternalLockError && error.reason, "Unsupported")
      assert.include(error.message, "NodeFileSystem")
    }))

  it.live("koffi locks as fs-native-extensions does", () =>
    Effect.scoped(Effect.gen(function*() {
      if (process.platform !== "linux") return
      const lockPath = yield* Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())
      const services = (kernel: Layer.Layer<KernelLock, ExternalLockError>) =>
        Layer.merge(
          LockRegistry.layer,
          Layer.provide(FileLock.layerKernelLock({ lockPath }), Layer.merge(kernel, NodeContext.layer))
        )
      const free = (kernel: Layer.Layer<KernelLock, ExternalLockError>, mode: "exclusive" | "shared") =>
        Effect.provide(
          Effect.isSuccess(withLock(Effect.void, "x", { ...external, mode, blocking: false })),
          services(kernel)
        )
      const all = Effect.all([
        free(KernelLock.layer, "exclusive"),
        free(KernelLock.layerKoffi, "exclusive"),
        free(KernelLock.layer, "shared"),
        free(KernelLock.layerKoffi, "shared")
      ])
      const held = (kernel: Layer.Layer<KernelLock, ExternalLockError>, mode: "exclusive" | "shared") =>
        Effect.provide(withLock(all, "x", { ...external, mode }), services(kernel))
      for (const kernel of [KernelLock.layer, KernelLock.layerKoffi]) {
        assert.deepStrictEqual(yield* held(kernel, "exclusive"), [false, false, false, false])
        assert.deepStrictEqual(yield* held(kernel, "shared"), [false, false, true, true])
      }
      assert.deepStrictEqual(yield* all, [true, true, true, true])
    })).pipe(Effect.provide(NodeContext.layer)))
})

describe("a file that is not at its path any more", () => {
  /** Another layer holds the file, and does not let go of it when it is lost. */
  const keeping = holding((body) => asOther(Effect.exit(withLock(Effect.uninterruptible(body), "x", external))))

  test(
    "keeps nobody waiting, however long it is held",
    Effect.gen(function*() {
      const holder = yield* keeping
      const waiters = [
        yield* Effect.fork(withLock(Effect.void, "x", external)),
        yield* Effect.fork(asOther(withLock(Effect.void, "x", { ...external, retry: Schedule.spaced(2) })))
      ]
      yield* Effect.sleep(60)
      fs.unlinkSync(yield* pathOf("x"))
      yield* Effect.forEach(waiters, Fiber.join)
      yield* holder.letGo
    })
  )

  test(
    "and that is open still is not taken for the lock",
    Effect.gen(function*() {
      yield* withLock(Effect.void, "x", external)
      const holder = yield* keeping
      fs.unlinkSync(yield* pathOf("x"))
      yield* withLock(Effect.void, "x", { ...external, blocking: false })
      yield* holder.letGo
    })
  )

  test(
    "cannot be upgraded",
    Effect.scoped(Effect.gen(function*() {
      const held = yield* lock("x", { ...external, mode: "shared" })
      fs.unlinkSync(yield* pathOf("x"))
      const error = yield* asOther(withLock(Effect.flip(held.upgrade), "x", external))
      assert.strictEqual(error instanceof AcquireLockFailed && error.reason, "UpgradeConflict")
      assert.strictEqual(held.mode, "shared")
      assert.instanceOf(yield* Effect.flip(held.lost), LockLost)
    }))
  )

  test(
    "is lost for whoever held it, not for who removes the next one",
    Effect.scoped(Effect.gen(function*() {
      const held = yield* ExternalLock.acquire("x")
      fs.unlinkSync(yield* pathOf("x"))
      yield* remove("x")
      assert.instanceOf(yield* Effect.flip(held.lost), LockLost)
    }))
  )

  test(
    "is lost for the outer hold that ends, although one inside it goes on",
    Effect.gen(function*() {
      const reentrant = { ...external, reentrant: true } as const
      const [isIn, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const file = yield* pathOf("x")
      const inner = withLock(Effect.zipRight(Deferred.succeed(isIn, undefined), Deferred.await(gate)), "x", reentrant)
      const outer = Effect.gen(function*() {
        const fiber = yield* Effect.forkDaemon(Effect.exit(inner))
        yield* Deferred.await(isIn)
        yield* Effect.sync(() => fs.unlinkSync(file))
        return fiber
      })
      const error = yield* Effect.flip(withLock(outer, "x", reentrant))
      assert.strictEqual(error instanceof LockLost && error.completed, true)
      yield* Deferred.succeed(gate, undefined)
    })
  )

  test(
    "remove does not mind that it is gone",
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      const others = setInterval(() => fs.rmSync(file, { force: true }), 0)
      yield* Effect.ensuring(
        Effect.forEach(Array.from({ length: 50 }), () => remove("x")),
        Effect.sync(() => clearInterval(others))
      )
    })
  )

  it.live("where it never is, by what the file system says, is an error", () =>
    Effect.scoped(Effect.gen(function*() {
      const lockPath = yield* Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())
      const strange = Layer.effect(
        KernelLock,
        Effect.map(KernelLock, (kernel) => ({
          ...kernel,
          identify: (file: number | string) => {
            const identity = kernel.identify(file)
            return identity === undefined || typeof file === "number"
              ? identity
              : { ...identity, device: identity.device + 1n }
          }
        }))
      ).pipe(Layer.provide(KernelLock.layer))
      const error = yield* withLock(Effect.void, "x", external).pipe(
        Effect.flip,
        Effect.provide(Layer.merge(
          LockRegistry.layer,
          Layer.provide(FileLock.layerKernelLock({ lockPath }), strange)
        ))
      )
      assert.strictEqual(error instanceof ExternalLockError && error.reason, "Unsupported")
      assert.include(error.message, "layerPortable")
    })).pipe(Effect.provide(NodeContext.layer)))
})

describe("what a program sees of it", () => {
  test(
    "keys, and not the paths that they lead to",
    Effect.scoped(Effect.gen(function*() {
      yield* lock("a/b", external)
      const error = yield* Effect.flip(lock("a_b", { ...external, blocking: false }))
      assert.strictEqual(error instanceof AcquireLockFailed && error.key.name, "a_b")
      assert.deepStrictEqual((yield* LockRegistry.snapshot).map(({ key }) => key.name), ["a/b"])
    }))
  )

  test(
    "a hold inside another, by another name of the file, can do what any can",
    Effect.scoped(Effect.gen(function*() {
      const reentrant = { ...external, reentrant: true } as const
      yield* lock("a/b", reentrant)
      yield* Effect.scoped(Effect.gen(function*() {
        const held = yield* lock("a_b", reentrant)
        yield* held.downgrade
        yield* held.upgrade
        assert.strictEqual(held.mode, "exclusive")
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(held.lost, 5)))
      }))
      assert.isFalse(yield* isFree("a_b"))
    }))
  )

  test(
    "the cause of an error",
    Effect.gen(function*() {
      fs.mkdirSync(yield* pathOf("x"))
      const error = yield* Effect.flip(withLock(Effect.void, "x", external))
      assert.isTrue(error instanceof ExternalLockError && error.cause !== undefined)
    })
  )

  test(
    "remove dies inside a local hold of the same name too",
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Effect.zipRight(lock("x"), remove("x"))))
      assert.isTrue(Exit.isFailure(exit) && Option.isSome(Cause.dieOption(exit.cause)))
    })
  )

  test(
    "a loss alone, and no interruption of what the body had forked",
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      const bodies: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.timeout(Effect.never, "1 hour"),
        Effect.all([Effect.never, Effect.never], { concurrency: 2 }),
        Effect.race(Effect.never, Effect.never),
        Effect.uninterruptible(Effect.flatMap(Effect.fork(Effect.interruptible(Effect.never)), Fiber.join))
      ]
      // Not by Effect.forEach, under which Effect.timeout cannot be interrupted (pinned.test.ts).
      const fibers = yield* Effect.forEach(
        bodies,
        (body, i) =>
          Effect.fork(withLock(Effect.zipRight(Effect.sync(() => fs.rmSync(`${file}${i}`)), body), `x${i}`, external))
      )
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      for (const exit of exits) {
        assert.isTrue(Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause))
        assert.isTrue(
          Exit.isFailure(exit) && Option.exists(Cause.failureOption(exit.cause), (error) => error instanceof LockLost)
        )
      }
    })
  )
})

describe("the name of a file", () => {
  it("of half a character is refused, which is written as another is", () => {
    assert.isDefined(FileName.objection("\ud800", "", "/"))
    assert.isUndefined(FileName.objection("\ufffd🔒", "", "/"))
  })

  it("does not lead out of the lock path on Windows, and is no device there", () => {
    const name = (name: string) => FileName.objection(FileName.make(Key.make(undefined, name), "\\"), "", "\\")
    for (const bad of ["../../evil", "C:x", "x:stream", "NUL", "con.txt", "x.", "x ", "a*"]) {
      assert.isDefined(name(bad), bad)
    }
    for (const good of ["a\\b", "..x", "console", "x"]) assert.isUndefined(name(good), good)
  })
})

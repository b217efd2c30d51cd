/** A mode that changes while something else happens to the hold: each was wrong once. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { AcquireLockFailed, ExternalLock, FileLock, lock, LockRegistry, withLock } from "effect-locks"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { ExternalHold } from "../../src/ExternalLock.js"
import { KernelLock } from "../../src/KernelLock.js"
import * as Chaos from "../utils/chaos.js"
import { external as fileLock } from "../utils/external.js"
import * as MemoryLock from "../utils/memoryLock.js"
import { openFiles } from "../utils/openFiles.js"

const external = { external: true } as const
const shared = { external: true, mode: "shared" } as const
const settle = Effect.repeatN(Effect.yieldNow(), 50)

/** The memory lock, whose holds answer as `change` has it. */
const memoryLock = (change: (hold: ExternalHold) => Partial<ExternalHold>) => {
  const outside = MemoryLock.make()
  const changed = (hold: ExternalHold): ExternalHold => {
    const changes = change(hold)
    return new Proxy(hold, {
      get: (hold, name) => {
        if (name in changes) return Reflect.get(changes, name)
        const value: unknown = Reflect.get(hold, name, hold)
        return typeof value === "function" ? value.bind(hold) : value
      }
    })
  }
  const service = ExternalLock.of({
    ...outside.service,
    acquire: (request, restore) => Effect.map(outside.service.acquire(request, restore), changed),
    tryAcquire: (request) => Effect.map(outside.service.tryAcquire(request), Option.map(changed))
  })
  return { ...outside, service }
}

const test = (name: string, body: Effect.Effect<void, unknown, Scope.Scope>) => it.scopedLive(name, () => body)

describe("what is nested, while the hold around it changes its mode", () => {
  const setting = Effect.gen(function*() {
    const go = yield* Deferred.make<void>()
    const outside = memoryLock((hold) => ({
      tryUpgrade: Effect.zipRight(Deferred.await(go), hold.tryUpgrade),
      // The change is made, and the answer is on its way.
      downgrade: Effect.zipLeft(hold.downgrade, Deferred.await(go))
    }))
    const registry = yield* LockRegistry.make
    const elsewhere = yield* LockRegistry.make
    const scope = yield* Scope.make()
    return {
      go: Deferred.succeed(go, undefined),
      modes: () => outside.modes("x"),
      outside: Effect.provideService(ExternalLock, outside.service),
      registry,
      reentrant: { reentrant: true, registry } as const,
      reads: lock("x", { ...shared, registry: elsewhere, blocking: false }),
      scope
    }
  })

  test(
    "is not made exclusive before the upgrade of that is sure",
    Effect.flatMap(setting, ({ go, modes, outside, reads, reentrant, registry }) =>
      outside(Effect.gen(function*() {
        yield* reads
        const outer = yield* lock("x", { ...reentrant, ...shared })
        const inner = yield* lock("x", { ...reentrant, mode: "shared" })
        const upgrading = yield* Effect.fork(Effect.exit(outer.upgrade))
        yield* settle
        assert.isTrue(Exit.isFailure(yield* Effect.exit(inner.upgrade)))
        yield* go
        assert.isTrue(Exit.isFailure(yield* Fiber.join(upgrading)))
        yield* lock("x", { mode: "shared", blocking: false, registry })
        assert.deepStrictEqual([outer.mode, inner.mode, modes()], ["shared", "shared", ["shared", "shared"]])
      })))
  )

  test(
    "is not made exclusive while that is downgraded",
    Effect.flatMap(setting, ({ go, modes, outside, reads, reentrant, scope }) =>
      outside(Effect.gen(function*() {
        const outer = yield* lock("x", { ...reentrant, ...external })
        const inner = yield* Scope.extend(lock("x", { ...reentrant, mode: "shared" }), scope)
        const downgrading = yield* Effect.fork(outer.downgrade)
        yield* settle
        assert.isTrue(Exit.isFailure(yield* Effect.exit(inner.upgrade)))
        yield* go
        yield* Fiber.join(downgrading)
        yield* Scope.close(scope, Exit.void)
        const other = yield* reads
        assert.isTrue(Exit.isFailure(yield* Effect.exit(outer.upgrade)))
        assert.deepStrictEqual([outer.mode, other.mode, modes()], ["shared", "shared", ["shared", "shared"]])
      })))
  )

  test(
    "is not made exclusive when that ended as it was downgraded",
    Effect.flatMap(setting, ({ go, modes, outside, reads, reentrant, scope }) =>
      outside(Effect.gen(function*() {
        const outer = yield* Scope.extend(lock("x", { ...reentrant, ...external }), scope)
        const inner = yield* lock("x", { ...reentrant, ...shared })
        const downgrading = yield* Effect.fork(outer.downgrade)
        yield* settle
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* settle
        yield* go
        yield* Fiber.join(downgrading)
        yield* Fiber.join(closing)
        const other = yield* reads
        assert.isTrue(Exit.isFailure(yield* Effect.exit(inner.upgrade)))
        assert.deepStrictEqual([inner.mode, other.mode, modes()], ["shared", "shared", ["shared", "shared"]])
      })))
  )
})

describe("a hold that ends", () => {
  const ends = (take: (registry: LockRegistry) => Effect.Effect<unknown, unknown, Scope.Scope | ExternalLock>) =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const outside = memoryLock((hold) => ({
        release: Effect.zipRight(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.sleep(10)), hold.release)
      }))
      const registry = yield* LockRegistry.make
      const scope = yield* Scope.make()
      yield* Effect.provideService(Scope.extend(take(registry), scope), ExternalLock, outside.service)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(closing)
      assert.deepStrictEqual([outside.modes("x"), yield* registry.snapshot], [[], []])
    })

  test(
    "is let go of outside even when who ends it is interrupted",
    ends((registry) => lock("x", { external: true, registry }))
  )

  test("the same of an external lock alone", ends(() => ExternalLock.acquire("x")))

  it("is no conflict with the upgrade of it: that is done, or dies", async () => {
    const program = Effect.gen(function*() {
      const registry = yield* LockRegistry.make
      const scope = yield* Scope.make()
      const held = yield* Scope.extend(lock("x", { ...shared, registry }), scope)
      const changes = yield* Effect.forEach(
        [held.upgrade, held.downgrade],
        (change) => Effect.fork(Effect.exit(change))
      )
      yield* Scope.close(scope, Exit.void)
      for (const exit of yield* Effect.forEach(changes, Fiber.join)) {
        if (Exit.isFailure(exit)) assert.include(String(exit.cause), "it is not held any more")
      }
      assert.deepStrictEqual(yield* registry.snapshot, [])
    })
    assert.isUndefined(
      await Chaos.failure(() => Effect.provideService(program, ExternalLock, fileLock), 300)
    )
  })
})

test(
  "an upgrade that throws leaves the hold shared, and lets readers in",
  Effect.gen(function*() {
    const outside = memoryLock(() => ({
      get tryUpgrade(): never {
        throw new Error("a bug of the service")
      }
    }))
    const registry = yield* LockRegistry.make
    const held = yield* Effect.provideService(lock("x", { ...shared, registry }), ExternalLock, outside.service)
    assert.isTrue(Exit.isFailure(yield* Effect.exit(held.upgrade)))
    assert.strictEqual(held.mode, "shared")
    yield* lock("x", { mode: "shared", blocking: false, registry })
  })
)

const lockPath = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

describe("of a lock file", () => {
  const withKernel = (lockPath: string, kernel: KernelLock) =>
    Effect.provide(Layer.merge(
      LockRegistry.layer,
      Layer.provide(
        FileLock.layerKernelLock({ lockPath }),
        Layer.merge(NodeContext.layer, Layer.succeed(KernelLock, kernel))
      )
    ))
  const kernel = Effect.map(Layer.build(KernelLock.layer), (services) => Context.get(services, KernelLock))

  test(
    "a lost one never becomes exclusive",
    Effect.gen(function*() {
      const directory = yield* lockPath
      yield* Effect.gen(function*() {
        const held = yield* lock("x", shared)
        fs.rmSync(path.join(directory, "x"))
        yield* lock("x", { ...external, registry: yield* LockRegistry.make, blocking: false })
        for (let i = 0; i < 2; i++) {
          assert.instanceOf(yield* Effect.flip(held.upgrade), AcquireLockFailed)
          assert.strictEqual(held.mode, "shared")
        }
      }).pipe(withKernel(directory, yield* kernel))
    })
  )

  for (const [what, mode] of [["upgrade", "shared"], ["downgrade", "exclusive"]] as const) {
    test(
      `whichever call of the kernel fails in an ${what}, others see the mode that the hold has, and it ends`,
      Effect.gen(function*() {
        const directory = yield* lockPath
        const real = yield* kernel
        for (let failing = 1; failing < 5; failing++) {
          let calls = -Infinity
          const step = () => {
            if (++calls === failing) throw Object.assign(new Error("no"), { code: "ENOLCK" })
          }
          const faulty: KernelLock = {
            ...real,
            tryLock: (...args) => (step(), real.tryLock(...args)),
            unlock: (...args) => (step(), real.unlock(...args)),
            identify: (...args) => (step(), real.identify(...args))
          }
          const isFree = (mode: "shared" | "exclusive") =>
            Effect.isSuccess(withLock(Effect.void, "x", { ...external, mode, blocking: false })).pipe(
              withKernel(directory, real)
            )
          yield* Effect.scoped(Effect.gen(function*() {
            const held = yield* lock("x", { ...external, mode })
            calls = 0
            const failed = Exit.isFailure(yield* Effect.exit(held[what]))
            if (what === "upgrade") assert.strictEqual(failed, failing <= 4)
            calls = -Infinity
            assert.strictEqual(yield* isFree("shared"), held.mode === "shared" && (what === "upgrade" || !failed))
            assert.isFalse(yield* isFree("exclusive"))
          })).pipe(withKernel(directory, faulty))
          assert.isTrue(yield* isFree("exclusive"))
          assert.strictEqual(openFiles(directory), 0)
        }
      })
    )
  }

  test(
    "where the kernel does not change a mode in one step, none is changed outside",
    Effect.gen(function*() {
      const directory = yield* lockPath
      const real = yield* kernel
      const asked: Array<string> = []
      const whole: KernelLock = {
        ...real,
        hasRanges: false,
        changesMode: false,
        tryLock: (fd, range, mode) => {
          asked.push(mode)
          return real.tryLock(fd, range, mode)
        }
      }
      yield* Effect.gen(function*() {
        const held = yield* lock("x", external)
        yield* held.downgrade
        assert.strictEqual(held.mode, "shared")
        assert.deepStrictEqual(asked, ["exclusive"])
        yield* lock("x", { ...shared, blocking: false, registry: yield* LockRegistry.make }).pipe(
          Effect.flip,
          Effect.map((error) => assert.strictEqual(error._tag === "AcquireLockFailed" && error.reason, "Busy"))
        )
        yield* lock("x", { mode: "shared", blocking: false })
        yield* held.upgrade.pipe(Effect.flip)
      }).pipe(Effect.scoped, withKernel(directory, whole))
    })
  )
})

describe("of a lock that is a directory", () => {
  const portably = (lockPath: string, platform = NodeContext.layer) =>
    Effect.provide(Layer.merge(
      LockRegistry.layer,
      Layer.provide(FileLock.layerPortable({ lockPath }), platform)
    ))

  test(
    "its end waits for a downgrade, and leaves nothing behind",
    Effect.gen(function*() {
      const directory = yield* lockPath
      yield* Effect.gen(function*() {
        for (let i = 0; i < 20; i++) {
          const scope = yield* Scope.make()
          const held = yield* Scope.extend(lock(`${i}`, external), scope)
          const watching = yield* Effect.fork(Effect.exit(held.lost))
          yield* Effect.yieldNow()
          const changing = yield* Effect.fork(Effect.exit(held.downgrade))
          yield* Effect.yieldNow()
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.join(changing)
          assert.isNull(watching.unsafePoll(), "it was not lost")
          yield* withLock(Effect.void, `${i}`, { ...external, blocking: false })
          yield* Fiber.interrupt(watching)
        }
      }).pipe(portably(directory))
    })
  )

  test(
    "a look at it during the downgrade finds no loss",
    Effect.gen(function*() {
      const directory = yield* lockPath
      const renamed = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const late = Layer.map(NodeContext.layer, (context) => {
        const files = Context.get(context, FileSystem.FileSystem)
        return Context.add(context, FileSystem.FileSystem, {
          ...files,
          rename: (from, to) =>
            from.endsWith(".x")
              ? Effect.zipLeft(
                files.rename(from, to),
                Effect.zipRight(Deferred.succeed(renamed, undefined), Deferred.await(answer))
              )
              : files.rename(from, to)
        })
      })
      yield* Effect.gen(function*() {
        const held = yield* ExternalLock.acquire("x")
        const changing = yield* Effect.fork(held.downgrade)
        yield* Deferred.await(renamed)
        yield* held.check
        assert.isUndefined(held.lostAs)
        yield* Deferred.succeed(answer, undefined)
        yield* Fiber.join(changing)
        yield* held.check
        assert.isUndefined(held.lostAs)
      }).pipe(Effect.scoped, portably(directory, late))
    })
  )
})

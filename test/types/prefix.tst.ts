// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import type { Scope } from "effect"
import type { Effect } from "effect"
import type { FileLock, LockRegistry } from "effect-locks"
import {
  type AcquireLockFailed,
  type ExternalLock,
  type ExternalLockError,
  type Held,
  type HeldPermits,
  type LockLost,
  withPrefix
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const body: Effect.Effect<number, "E", "R">
declare const files: FileLock

const nova = withPrefix("nova")

describe("withPrefix", () => {
  test("each call has the type of the one of its name", () => {
    expect(nova.lock("x")).type.toBe<Effect.Effect<Held, never, LockRegistry | Scope.Scope>>()
    expect(nova.lock("x", { timeout: 1, registry })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Scope.Scope>>()
    expect(nova.withLock(body, "x")).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(body.pipe(nova.withLock("x", { external: true }))).type.toBe<
      Effect.Effect<number, "E" | ExternalLockError | LockLost, "R" | LockRegistry | ExternalLock>
    >()
    expect(nova.synchronized("x")(() => body)()).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(nova.synchronized("x", { blocking: false })(() => body)()).type.toBe<
      Effect.Effect<number, "E" | AcquireLockFailed, "R" | LockRegistry>
    >()
    expect(nova.lockAll(["a", { name: "b", mode: "shared" }])).type.toBe<
      Effect.Effect<ReadonlyArray<Held>, never, LockRegistry | Scope.Scope>
    >()
    expect(nova.withLockAll(body, ["a"], { maxWaiting: 1 })).type.toBe<
      Effect.Effect<number, "E" | AcquireLockFailed, "R" | LockRegistry>
    >()
    expect(nova.semaphore("x", { permits: 2 })).type.toBe<
      Effect.Effect<HeldPermits, never, LockRegistry | Scope.Scope>
    >()
    expect(body.pipe(nova.withSemaphore("x", { permits: 2, blocking: false }))).type.toBe<
      Effect.Effect<number, "E" | AcquireLockFailed, "R" | LockRegistry>
    >()
    expect(nova.removeLockFile("x", { registry })).type.toBe<
      Effect.Effect<void, ExternalLockError | LockLost, FileLock>
    >()
  })

  test("takes no prefix, and no option that does not exist", () => {
    expect(nova.lock).type.not.toBeCallableWith("x", { prefix: "cinder" })
    expect(nova.withLock).type.not.toBeCallableWith(body, "x", { prefix: "cinder" })
    expect(nova.synchronized).type.not.toBeCallableWith("x", { prefix: "cinder" })
    expect(nova.lockAll).type.not.toBeCallableWith(["x"], { prefix: "cinder" })
    expect(nova.semaphore).type.not.toBeCallableWith("x", { permits: 2, prefix: "cinder" })
    expect(nova.removeLockFile).type.not.toBeCallableWith("x", { prefix: "cinder" })
    expect(nova.lock).type.not.toBeCallableWith("x", { tiemout: 1 })
    expect(nova.lock).type.toBeCallableWith("x", { timeout: 1 })
  })
})

describe("remove of FileLock", () => {
  test("can fail as the options say, and needs no registry when it is given one", () => {
    expect(files.remove("x")).type.toBe<Effect.Effect<void, ExternalLockError | LockLost, LockRegistry>>()
    expect(files.remove("x", { prefix: "p", lockPath: "/l" })).type.toBe<
      Effect.Effect<void, ExternalLockError | LockLost, LockRegistry>
    >()
    expect(files.remove("x", { timeout: 1, registry })).type.toBe<
      Effect.Effect<void, ExternalLockError | LockLost | AcquireLockFailed>
    >()
    expect(files.remove).type.not.toBeCallableWith("x", { mode: "shared" })
  })
})

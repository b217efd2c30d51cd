// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import { type Cause, type Context, type Duration, Effect, type FiberId, type Layer, type Stream } from "effect"
import {
  AcquireLockFailed,
  Deadlock,
  type DeadlockWait,
  lock,
  type LockEvent,
  type LockKey,
  type LockName,
  LockRegistry,
  type LockRequest,
  type LockSnapshot,
  type LockWaiter
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const failed: AcquireLockFailed
declare const deadlock: Deadlock
declare const key: LockKey
declare const fiberId: FiberId.Runtime
declare const waited: Duration.Duration

describe("LockRegistry", () => {
  test("is a service that is made or provided", () => {
    expect(LockRegistry).type.toBeAssignableTo<Context.Tag<LockRegistry, LockRegistry>>()
    expect(LockRegistry.make).type.toBe<Effect.Effect<LockRegistry>>()
    expect(LockRegistry.layer).type.toBe<Layer.Layer<LockRegistry>>()
    expect(LockRegistry.layerGlobal).type.toBe<Layer.Layer<LockRegistry>>()
    expect(Effect.flatMap(LockRegistry, Effect.succeed)).type.toBe<Effect.Effect<LockRegistry, never, LockRegistry>>()
    expect(Effect.provide(Effect.scoped(lock("x")), LockRegistry.layer).pipe(Effect.asVoid))
      .type.toBe<Effect.Effect<void>>()
  })

  test("on the tag, looking needs the service", () => {
    expect(LockRegistry.snapshot).type.toBe<Effect.Effect<ReadonlyArray<LockSnapshot>, never, LockRegistry>>()
    expect(LockRegistry.changes).type.toBe<Stream.Stream<LockEvent, never, LockRegistry>>()
    expect(LockRegistry.isLocked("x")).type.toBe<Effect.Effect<boolean, never, LockRegistry>>()
    expect(LockRegistry.isLocked)
      .type.toBe<(name: string, options?: LockName) => Effect.Effect<boolean, never, LockRegistry>>()
  })

  test("on the service, looking needs nothing", () => {
    expect(registry.snapshot).type.toBe<Effect.Effect<ReadonlyArray<LockSnapshot>>>()
    expect(registry.changes).type.toBe<Stream.Stream<LockEvent>>()
    expect(registry.isLocked("x", { prefix: "p" })).type.toBe<Effect.Effect<boolean>>()
    expect(registry.isLocked).type.toBe<(name: string, options?: LockName) => Effect.Effect<boolean>>()
  })

  test("isLocked takes a prefix and no other option", () => {
    expect(LockRegistry.isLocked).type.toBeCallableWith("x", { prefix: undefined })
    expect(LockRegistry.isLocked).type.not.toBeCallableWith()
    expect(LockRegistry.isLocked).type.not.toBeCallableWith("x", { perfix: "p" })
    expect(LockRegistry.isLocked).type.not.toBeCallableWith("x", { registry })
    expect(registry.isLocked).type.not.toBeCallableWith(["x"])
    expect(registry.isLocked).type.not.toBeCallableWith("x", "p")
  })

  test("nothing that looks like a registry is one", () => {
    const { changes, isLocked, snapshot } = registry
    expect({ changes, isLocked, snapshot }).type.not.toBeAssignableTo<LockRegistry>()
  })
})

describe("what a registry tells", () => {
  test("LockKey", () => {
    expect<LockKey>().type.toBe<
      {
        readonly prefix: string | undefined
        readonly name: string
        readonly toJSON: () => { readonly prefix: string | undefined; readonly name: string }
        readonly toString: () => string
      }
    >()
  })

  test("LockRequest", () => {
    expect<LockRequest>().type.toBe<{
      readonly ticket: number
      readonly mode: "exclusive" | "shared"
      readonly permits: number
      readonly fiberId: FiberId.Runtime
      readonly since: number
    }>()
  })

  test("LockSnapshot", () => {
    expect<LockSnapshot>().type.toBe<{
      readonly key: LockKey
      readonly permits: number
      readonly holders: ReadonlyArray<LockRequest>
      readonly waiters: ReadonlyArray<LockWaiter>
      readonly within: LockRequest | undefined
    }>()
  })

  test("LockWaiter", () => {
    expect<LockWaiter>().type.toBeAssignableTo<LockRequest>()
    expect<Exclude<keyof LockWaiter, keyof LockRequest>>().type.toBe<"position">()
    expect<LockWaiter["position"]>().type.toBe<number>()
  })

  test("LockEvent", () => {
    expect<LockEvent>().type.toBe<{
      readonly _tag: "Waiting" | "Granted" | "Released" | "Abandoned"
      readonly key: LockKey
      readonly request: LockRequest
      readonly within: LockRequest | undefined
    }>()
  })
})

describe("AcquireLockFailed", () => {
  test("tells why, and who holds the lock", () => {
    expect(failed).type.toBeAssignableTo<Cause.YieldableError>()
    expect(failed._tag).type.toBe<"AcquireLockFailed">()
    expect(failed.reason).type.toBe<"Busy" | "Timeout" | "QueueFull" | "RetriesExhausted" | "UpgradeConflict">()
    expect(failed.key).type.toBe<LockKey>()
    expect(failed.waited).type.toBe<Duration.Duration>()
    expect(failed.holders).type.toBe<ReadonlyArray<LockRequest>>()
    expect(failed.message).type.toBe<string>()
  })

  test("is caught by its tag", () => {
    const limited = lock("x", { maxWaiting: 1, registry }).pipe(Effect.scoped, Effect.asVoid)
    expect(limited.pipe(Effect.catchTag("AcquireLockFailed", (error) => Effect.succeed(error.reason))))
      .type.toBe<Effect.Effect<"Busy" | "Timeout" | "QueueFull" | "RetriesExhausted" | "UpgradeConflict" | void>>()
  })

  test("is made with all of it", () => {
    const all = { key, reason: "QueueFull", waited, holders: [], outside: false } as const
    expect(AcquireLockFailed).type.toBeConstructableWith(all)
    expect(AcquireLockFailed).type.not.toBeConstructableWith({ ...all, reason: "Other" })
    expect(AcquireLockFailed).type.not.toBeConstructableWith({ key, reason: "Busy" })
  })
})

describe("Deadlock", () => {
  test("tells who waits for whom", () => {
    expect(deadlock).type.toBeAssignableTo<Cause.YieldableError>()
    expect(deadlock._tag).type.toBe<"Deadlock">()
    expect(deadlock.key).type.toBe<LockKey>()
    expect(deadlock.fiberId).type.toBe<FiberId.Runtime>()
    expect(deadlock.cycle).type.toBe<ReadonlyArray<DeadlockWait>>()
    expect(deadlock.message).type.toBe<string>()
    expect<DeadlockWait>().type.toBe<
      { readonly key: LockKey; readonly request: LockRequest; readonly hold: LockRequest }
    >()
    expect(Deadlock).type.toBeConstructableWith({ key, fiberId, cycle: [] })
    expect(Deadlock).type.not.toBeConstructableWith({ key, fiberId })
  })
})

// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import { type Cause, type Duration, Effect, flow, Option, pipe, type Scope } from "effect"
import {
  type AcquireLockFailed,
  type HeldPermits,
  type LocalLockOptions,
  type LockKey,
  type LockRegistry,
  semaphore,
  type SemaphoreOptions,
  withSemaphore
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const registryOrNot: LockRegistry | undefined
declare const options: SemaphoreOptions
declare const lockOptions: LocalLockOptions
declare const maybe: SemaphoreOptions | undefined
declare const flag: boolean
declare const flagOrNot: boolean | undefined
declare const count: number
declare const countOrNot: number | undefined
declare const timeout: Duration.DurationInput | undefined
declare const anything: any
declare const permitsOrNot: { readonly permits?: number }
declare const body: Effect.Effect<number, "E", "R">

type Needs = LockRegistry | Scope.Scope

const typo = { permits: 1, block: false }

describe("semaphore", () => {
  test("permits alone cannot fail", () => {
    expect(semaphore("x", { permits: 4 })).type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", { permits: count })).type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", { permits: 4, take: 2 })).type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", { permits: 4, take: countOrNot })).type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
  })

  test("permits are required", () => {
    expect(semaphore).type.toBeCallableWith("x", { permits: 1 })
    expect(semaphore).type.not.toBeCallableWith("x")
    expect(semaphore).type.not.toBeCallableWith("x", undefined)
    expect(semaphore).type.not.toBeCallableWith("x", {})
    expect(semaphore).type.not.toBeCallableWith("x", { take: 1 })
    expect(semaphore).type.not.toBeCallableWith("x", { permits: undefined })
    expect(semaphore).type.not.toBeCallableWith("x", { permits: "1" })
    expect(semaphore).type.not.toBeCallableWith("x", permitsOrNot)
    expect(semaphore).type.not.toBeCallableWith("x", maybe)
    expect(semaphore).type.not.toBeCallableWith("x", flag ? { permits: 1 } : undefined)
    expect(semaphore).type.not.toBeCallableWith(1, { permits: 1 })
  })

  test("what the holder gets", () => {
    expect<keyof HeldPermits>().type.toBe<"key" | "permits">()
    expect<HeldPermits["key"]>().type.toBe<LockKey>()
    expect<HeldPermits["permits"]>().type.toBe<number>()
  })

  test("options that do not limit the wait add no error", () => {
    expect(semaphore("x", { permits: 4, fair: flag, prefix: "p", log: false, priority: countOrNot }))
      .type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", { permits: 4, blocking: true, timeout: undefined, maxWaiting: undefined }))
      .type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
  })

  test("blocking, timeout and maxWaiting add AcquireLockFailed, for every value they may have", () => {
    expect(semaphore("x", { permits: 4, blocking: false }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { permits: 4, blocking: flagOrNot }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { permits: 4, timeout: 0 })).type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { permits: 4, timeout })).type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { permits: 4, maxWaiting: 0 }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { permits: 4, maxWaiting: countOrNot }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
  })

  test("a registry removes the requirement only when it is surely there", () => {
    expect(semaphore("x", { permits: 4, registry })).type.toBe<Effect.Effect<HeldPermits, never, Scope.Scope>>()
    expect(semaphore("x", { permits: 4, registry: registryOrNot })).type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", flag ? { permits: 4, registry } : { permits: 4 }))
      .type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
  })

  test("cannot be external", () => {
    expect(semaphore).type.not.toBeCallableWith("x", { permits: 4, external: true })
    expect(withSemaphore).type.not.toBeCallableWith(Effect.void, "x", { permits: 4, external: true })
  })

  test("a variable, a spread and a union admit all that their types admit", () => {
    expect(semaphore("x", options)).type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", anything)).type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
    expect(semaphore("x", { ...options, registry }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Scope.Scope>>()
    expect(semaphore("x", { ...options, blocking: true, timeout: undefined, maxWaiting: undefined }))
      .type.toBe<Effect.Effect<HeldPermits, never, Needs>>()
    expect(semaphore("x", flag ? { permits: 1 } : { permits: 1, timeout: 1 }))
      .type.toBe<Effect.Effect<HeldPermits, AcquireLockFailed, Needs>>()
  })

  test("an option of another lock, or of none, is an error", () => {
    expect(semaphore).type.not.toBeCallableWith("x", { permits: 1, mode: "shared" })
    expect(semaphore).type.not.toBeCallableWith("x", { permits: 1, reentrant: true })
    expect(semaphore).type.not.toBeCallableWith("x", { permits: 1, tiemout: 1 })
    expect(semaphore).type.not.toBeCallableWith("x", typo)
    expect(semaphore).type.not.toBeCallableWith("x", { ...lockOptions, permits: 1 })
    expect(semaphore).type.not.toBeCallableWith("x", flag ? { permits: 1 } : { permits: 1, mode: "shared" })
    expect(semaphore).type.not.toBeCallableWith("x", { permits: 1, take: "1" })
  })
})

describe("withSemaphore", () => {
  test("data-last", () => {
    expect(pipe(body, withSemaphore("x", { permits: 4, take: count })))
      .type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(body.pipe(withSemaphore("x", { permits: 4, priority: 1, registry })))
      .type.toBe<Effect.Effect<number, "E", "R">>()
    expect(body.pipe(withSemaphore("x", { permits: 4, blocking: false })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
    expect(body.pipe(withSemaphore("x", { permits: 4, maxWaiting: countOrNot, registry })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(body.pipe(withSemaphore("x", options)))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
  })

  test("data-last, kept for later", () => {
    expect(withSemaphore("x", { permits: 4, timeout, registry }))
      .type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>>()
    expect(flow((_: string) => body, withSemaphore("x", { permits: 4 })))
      .type.toBe<(_: string) => Effect.Effect<number, "E", "R" | LockRegistry>>()
  })

  test("data-first", () => {
    expect(withSemaphore(body, "x", { permits: 4, take: count }))
      .type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withSemaphore(body, "x", { permits: 4, registry })).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(withSemaphore(body, "x", { permits: 4, timeout })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withSemaphore(body, "x", { ...options, registry }))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(withSemaphore(Option.some(1), "x", { permits: 4, registry }))
      .type.toBe<Effect.Effect<number, Cause.NoSuchElementException>>()
  })

  test("what is not there is an error in both styles", () => {
    expect(withSemaphore).type.toBeCallableWith("x", { permits: 1, timeout: 1 })
    expect(withSemaphore).type.toBeCallableWith(body, "x", { permits: 1, timeout: 1 })
    expect(withSemaphore).type.not.toBeCallableWith("x")
    expect(withSemaphore).type.not.toBeCallableWith(body, "x")
    expect(withSemaphore).type.not.toBeCallableWith("x", { take: 1 })
    expect(withSemaphore).type.not.toBeCallableWith(body, "x", { take: 1 })
    expect(withSemaphore).type.not.toBeCallableWith("x", { permits: 1, mode: "shared" })
    expect(withSemaphore).type.not.toBeCallableWith(body, "x", { permits: 1, mode: "shared" })
    expect(withSemaphore).type.not.toBeCallableWith("x", { permits: 1, reentrant: true })
    expect(withSemaphore).type.not.toBeCallableWith(body, "x", { permits: 1, reentrant: true })
    expect(withSemaphore).type.not.toBeCallableWith("x", typo)
    expect(withSemaphore).type.not.toBeCallableWith(body, "x", typo)
    expect(withSemaphore).type.not.toBeCallableWith("x", maybe)
    expect(withSemaphore).type.not.toBeCallableWith(body, "x", maybe)
  })
})

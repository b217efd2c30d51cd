import type { Scope } from "effect"
import { Duration, Effect, pipe } from "effect"
import {
  type AcquireLockFailed,
  type Held,
  lock,
  type LockOptions,
  LockRegistry,
  synchronized,
  withLock
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const options: LockOptions
declare const maybe: LockOptions | undefined
declare const flag: boolean
declare const flagOrNot: boolean | undefined
declare const timeout: Duration.DurationInput | undefined
declare const typoInOneMember: { timeout: number } | { tiemout: number; blocking: false }
declare const registryOrNot: LockRegistry | undefined
declare const body: Effect.Effect<number, "E", "R">

type Needs = LockRegistry | Scope.Scope

describe("lock", () => {
  test("without options cannot fail", () => {
    expect(lock("x")).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", {})).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", undefined)).type.toBe<Effect.Effect<Held, never, Needs>>()
  })

  test("options that do not limit the wait add no error", () => {
    expect(lock("x", { fair: true, prefix: "p", log: false })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { mode: "shared" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock).type.not.toBeCallableWith("x", { mode: "read" })
    expect(lock("x", { fair: flag })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { blocking: true })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { blocking: undefined, timeout: undefined })).type.toBe<Effect.Effect<Held, never, Needs>>()
  })

  test("blocking and timeout add AcquireLockFailed, for every value they may have", () => {
    expect(lock("x", { blocking: false })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { blocking: flag })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { blocking: flagOrNot })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout: "1 second" })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout: 0 })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout: [1, 0] })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout: Duration.infinity })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
  })

  test("a registry removes the requirement only when it is surely there", () => {
    expect(lock("x", { registry })).type.toBe<Effect.Effect<Held, never, Scope.Scope>>()
    expect(lock("x", { registry: registryOrNot })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { registry: undefined })).type.toBe<Effect.Effect<Held, never, Needs>>()
    const either = flag ? { registry } : undefined
    expect(lock("x", either)).type.toBe<Effect.Effect<Held, never, Needs>>()
  })

  test("a variable, a spread and a union admit all that their types admit", () => {
    expect(lock("x", options)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", maybe)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { ...options })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { ...options, registry })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Scope.Scope>>()
    expect(lock("x", { ...options, registry, blocking: true, timeout: undefined }))
      .type.toBe<Effect.Effect<Held, never, Scope.Scope>>()
    const fair = { fair: true }
    expect(lock("x", { ...fair, prefix: "p" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    const union = flag ? { blocking: false } as const : { registry } as const
    expect(lock("x", union)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
  })

  test("an unknown option is an error", () => {
    expect(lock).type.not.toBeCallableWith("x", { tiemout: "1 second" })
    expect(lock).type.not.toBeCallableWith("x", { fair: true, block: false })
    const typo = { fair: true, block: false }
    expect(lock).type.not.toBeCallableWith("x", typo)
    expect(lock).type.not.toBeCallableWith("x", typoInOneMember)
    expect(lock).type.not.toBeCallableWith("x", { fair: "yes" })
    expect(lock).type.not.toBeCallableWith(1)
  })
})

describe("withLock", () => {
  test("data-last", () => {
    expect(pipe(body, withLock("x"))).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(pipe(body, withLock("x", { blocking: false })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
    expect(pipe(body, withLock("x", { registry, blocking: flag })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(pipe(body, withLock("x", maybe)))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
  })

  test("data-first", () => {
    expect(withLock(body, "x")).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withLock(body, "x", undefined)).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withLock(body, "x", { timeout })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withLock(body, "x", { ...options, registry })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R">
    >()
  })

  test("an unknown option is an error in both styles", () => {
    expect(withLock).type.not.toBeCallableWith("x", { tiemout: 1 })
    expect(withLock).type.not.toBeCallableWith(body, "x", { tiemout: 1 })
  })
})

describe("synchronized", () => {
  test("a function that returns an Effect keeps its arguments", () => {
    expect(synchronized("x")((_: string, __?: number) => body))
      .type.toBe<(this: unknown, _: string, __?: number) => Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(synchronized("x", { timeout: 1, registry })(() => body)())
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
  })

  test("a generator function gives an Effect", () => {
    const f = synchronized("x")(function*(a: number) {
      yield* Effect.fail("E" as const)
      yield* LockRegistry
      return String(yield* Effect.succeed(a))
    })
    expect(f(1)).type.toBe<Effect.Effect<string, "E", LockRegistry>>()
    expect(
      synchronized("x", { blocking: false, registry })(function*() {
        return 1
      })()
    ).type.toBe<Effect.Effect<number, AcquireLockFailed>>()
  })

  test("this is kept", () => {
    const f = synchronized("x")(function(this: { readonly a: number }) {
      return Effect.succeed(this.a)
    })
    expect(f).type.toBe<(this: { readonly a: number }) => Effect.Effect<number, never, LockRegistry>>()
  })

  test("only functions that give an Effect are taken", () => {
    expect(synchronized("x")).type.not.toBeCallableWith(() => Promise.resolve(1))
    expect(synchronized("x")).type.not.toBeCallableWith(body)
    expect(synchronized).type.not.toBeCallableWith("x", { tiemout: 1 })
  })
})

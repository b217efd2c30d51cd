// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import type { Cause, Scope } from "effect"
import { Duration, Effect, flow, Option, pipe, Schedule } from "effect"
import {
  type AcquireLockFailed,
  type ExternalLock,
  type ExternalLockError,
  type Held,
  type LocalLockOptions,
  lock,
  type LockKey,
  type LockLost,
  type LockOptions,
  LockRegistry,
  type Synchronized,
  synchronized,
  withLock
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const options: LocalLockOptions
declare const maybe: LocalLockOptions | undefined
declare const lockOptions: LockOptions
declare const maybeExternal: { readonly external?: boolean }
declare const flag: boolean
declare const flagOrNot: boolean | undefined
declare const timeout: Duration.DurationInput | undefined
declare const typoInOneMember: { timeout: number } | { tiemout: number; blocking: false }
declare const registryOrNot: LockRegistry | undefined
declare const count: number
declare const countOrNot: number | undefined
declare const perhaps: { readonly reentrant?: boolean; readonly mode?: "shared"; readonly maxWaiting?: number }
declare const mode: "exclusive" | "shared"
declare const anything: any
declare const body: Effect.Effect<number, "E", "R">

type Needs = LockRegistry | Scope.Scope
type Outside = Held<ExternalLockError>

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
    expect(lock("x", { mode })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { priority: 1 })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { priority: countOrNot })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock).type.not.toBeCallableWith("x", { priority: "high" })
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

  test("maxWaiting adds AcquireLockFailed, unless it is surely not given", () => {
    expect(lock("x", { maxWaiting: 0 })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { maxWaiting: count })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { maxWaiting: countOrNot })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { maxWaiting: count, blocking: true, registry }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Scope.Scope>>()
    expect(lock("x", { maxWaiting: undefined })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { ...(flag ? { maxWaiting: 1 } : {}) })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock).type.not.toBeCallableWith("x", { maxWaiting: "1" })
  })

  test("reentrant adds AcquireLockFailed, unless the mode is surely shared", () => {
    expect(lock("x", { reentrant: true })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode: "exclusive" })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode: undefined })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode: flag ? "shared" : undefined }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: flag })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: flagOrNot })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()

    expect(lock("x", { reentrant: true, mode: "shared" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { reentrant: flagOrNot, mode: "shared" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { reentrant: true, mode: "shared", registry })).type.toBe<Effect.Effect<Held, never, Scope.Scope>>()
    expect(lock("x", { reentrant: false })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { reentrant: undefined, mode: "exclusive" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { reentrant: true, mode: "shared", timeout }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode: "shared", maxWaiting: count }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock).type.not.toBeCallableWith("x", { reentrant: "yes" })
  })

  test("what is reentrant in one member of a union is not shared by the other", () => {
    const union = flag ? { reentrant: true } as const : { mode: "shared" } as const
    expect(lock("x", union)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    const harmless = flag ? { reentrant: true, mode: "shared" } as const : { mode: "exclusive" } as const
    expect(lock("x", harmless)).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", flag ? { reentrant: true } : undefined)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
  })

  test("an optional property may be there or not", () => {
    expect(lock("x", perhaps)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { ...perhaps, maxWaiting: undefined })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { ...perhaps, maxWaiting: undefined, mode: "shared" }))
      .type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { ...perhaps, maxWaiting: undefined, reentrant: false }))
      .type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { reentrant: true, mode: "shared", ...options }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    const harmless: Pick<LocalLockOptions, "fair" | "log" | "mode" | "prefix" | "priority"> = {}
    expect(lock("x", harmless)).type.toBe<Effect.Effect<Held, never, Needs>>()
  })

  test("any may be anything", () => {
    expect(lock("x", anything))
      .type.toBe<
        Effect.Effect<Held<ExternalLockError>, AcquireLockFailed | ExternalLockError, Needs | ExternalLock>
      >()
    expect(lock("x", { blocking: anything })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { timeout: anything })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { maxWaiting: anything })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: anything })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { reentrant: true, mode: anything })).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
    expect(lock("x", { registry: anything })).type.toBe<Effect.Effect<Held, never, Needs>>()
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
    const none = { blocking: true, timeout: undefined, maxWaiting: undefined } as const
    expect(lock("x", { ...options, registry, ...none, reentrant: false }))
      .type.toBe<Effect.Effect<Held, never, Scope.Scope>>()
    expect(lock("x", { ...options, registry, ...none, mode: "shared" }))
      .type.toBe<Effect.Effect<Held, never, Scope.Scope>>()
    expect(lock("x", { ...options, registry, ...none, reentrant: false, maxWaiting: count }))
      .type.toBe<Effect.Effect<Held, AcquireLockFailed, Scope.Scope>>()
    const fair = { fair: true }
    expect(lock("x", { ...fair, prefix: "p" })).type.toBe<Effect.Effect<Held, never, Needs>>()
    const union = flag ? { blocking: false } as const : { registry } as const
    expect(lock("x", union)).type.toBe<Effect.Effect<Held, AcquireLockFailed, Needs>>()
  })

  test("an unknown option is an error", () => {
    expect(lock).type.toBeCallableWith("x", { timeout: "1 second" })
    expect(lock).type.not.toBeCallableWith("x", { tiemout: "1 second" })
    expect(lock).type.not.toBeCallableWith("x", { fair: true, block: false })
    const typo = { fair: true, block: false }
    expect(lock).type.not.toBeCallableWith("x", typo)
    expect(lock).type.not.toBeCallableWith("x", typoInOneMember)
    expect(lock).type.not.toBeCallableWith("x", { fair: "yes" })
    expect(lock).type.not.toBeCallableWith(1)
  })
})

describe("external", () => {
  const external = { external: true } as const

  test("adds how it may fail to lock at all, and what it needs", () => {
    expect(lock("x", external)).type.toBe<Effect.Effect<Outside, ExternalLockError, Needs | ExternalLock>>()
    expect(lock("x", { external: false })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { external: undefined })).type.toBe<Effect.Effect<Held, never, Needs>>()
    expect(lock("x", { ...external, timeout: 1 }))
      .type.toBe<Effect.Effect<Outside, AcquireLockFailed | ExternalLockError, Needs | ExternalLock>>()
    expect(lock("x", { ...external, retry: Schedule.spaced(10) }))
      .type.toBe<Effect.Effect<Outside, AcquireLockFailed | ExternalLockError, Needs | ExternalLock>>()
    expect(lock("x", { ...external, registry }))
      .type.toBe<Effect.Effect<Outside, ExternalLockError, ExternalLock | Scope.Scope>>()
  })

  test("adds the loss where an effect runs under the lock", () => {
    expect(withLock(Effect.void, "x", external))
      .type.toBe<Effect.Effect<void, ExternalLockError | LockLost, LockRegistry | ExternalLock>>()
    expect(Effect.void.pipe(withLock("x", external)))
      .type.toBe<Effect.Effect<void, ExternalLockError | LockLost, LockRegistry | ExternalLock>>()
    expect(synchronized("x", external)(() => Effect.void)())
      .type.toBe<Effect.Effect<void, ExternalLockError | LockLost, LockRegistry | ExternalLock>>()
  })

  test("a variable admits all that its type admits", () => {
    expect(lock("x", maybeExternal)).type.toBe<Effect.Effect<Outside, ExternalLockError, Needs | ExternalLock>>()
    expect(withLock(Effect.void, "x", lockOptions))
      .type.toBe<
        Effect.Effect<void, AcquireLockFailed | ExternalLockError | LockLost, LockRegistry | ExternalLock>
      >()
    expect(withLock(Effect.void, "x", options))
      .type.toBe<Effect.Effect<void, AcquireLockFailed, LockRegistry>>()
  })

  test("what is not an option of it is refused", () => {
    expect(lock).type.not.toBeCallableWith("x", { external: true, retry: 10 })
    expect(lock).type.not.toBeCallableWith("x", { external: true, lockPath: 1 })
    expect(lock).type.not.toBeCallableWith("x", { external: "yes" })
  })

  test("a hold can fail outside, and be lost", () => {
    expect<Outside["upgrade"]>().type.toBe<Effect.Effect<void, AcquireLockFailed | ExternalLockError>>()
    expect<Outside["downgrade"]>().type.toBe<Effect.Effect<void, ExternalLockError>>()
    expect<Held["lost"]>().type.toBe<Effect.Effect<never, LockLost>>()
  })
})

describe("Held", () => {
  test("tells the key and the mode, and can change the mode", () => {
    expect<keyof Held>().type.toBe<"downgrade" | "key" | "lost" | "mode" | "token" | "upgrade">()
    expect<Held["key"]>().type.toBe<LockKey>()
    expect<Held["mode"]>().type.toBe<"exclusive" | "shared">()
    expect<Held["upgrade"]>().type.toBe<Effect.Effect<void, AcquireLockFailed>>()
    expect<Held["downgrade"]>().type.toBe<Effect.Effect<void>>()
  })

  test("upgrading brings its own error, not that of the lock", () => {
    const upgrade = Effect.flatMap(lock("x", { mode: "shared" }), (held) => held.upgrade)
    expect(upgrade).type.toBe<Effect.Effect<void, AcquireLockFailed, Needs>>()
    const downgrade = Effect.tap(lock("x"), (held) => held.downgrade)
    expect(downgrade).type.toBe<Effect.Effect<Held, never, Needs>>()
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
    expect(body.pipe(withLock("x", { priority: 1 }))).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(body.pipe(withLock("x", { maxWaiting: countOrNot })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
    expect(body.pipe(withLock("x", { reentrant: true, registry })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(body.pipe(withLock("x", { reentrant: true, mode: "shared", registry })))
      .type.toBe<Effect.Effect<number, "E", "R">>()
  })

  test("data-last, kept for later", () => {
    expect(withLock("x", { maxWaiting: 1, registry }))
      .type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>>()
    expect(flow((_: string) => body, withLock("x", { maxWaiting: 1 })))
      .type.toBe<(_: string) => Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
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
    expect(withLock(body, "x", { priority: count })).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withLock(body, "x", { maxWaiting: 1, registry }))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(withLock(body, "x", { reentrant: flag })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withLock(body, "x", { reentrant: true, mode: "shared" }))
      .type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
  })

  test("what is an Effect and more is taken as an Effect", () => {
    expect(withLock(Option.some(1), "x", { maxWaiting: 1, registry }))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | Cause.NoSuchElementException>>()
    expect(withLock(LockRegistry, "x")).type.toBe<Effect.Effect<LockRegistry, never, LockRegistry>>()
  })

  test("an unknown option is an error in both styles", () => {
    expect(withLock).type.toBeCallableWith("x", { timeout: 1 })
    expect(withLock).type.toBeCallableWith(body, "x", { timeout: 1 })
    expect(withLock).type.not.toBeCallableWith("x", { tiemout: 1 })
    expect(withLock).type.not.toBeCallableWith(body, "x", { tiemout: 1 })
    expect(withLock).type.not.toBeCallableWith("x", { fair: true, block: false })
    expect(withLock).type.not.toBeCallableWith(body, "x", { fair: true, block: false })
    expect(withLock).type.not.toBeCallableWith("x", { permits: 1, fair: true })
  })
})

describe("synchronized", () => {
  test("a function that returns an Effect keeps its arguments", () => {
    expect(synchronized("x")((_: string, __?: number) => body))
      .type.toBe<(this: unknown, _: string, __?: number) => Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(synchronized("x", { timeout: 1, registry })(() => body)())
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
  })

  test("the options say how the function can fail", () => {
    expect(synchronized("x", { priority: 1 })).type.toBe<Synchronized<never, LockRegistry>>()
    expect(synchronized("x", { maxWaiting: countOrNot })).type.toBe<Synchronized<AcquireLockFailed, LockRegistry>>()
    expect(synchronized("x", { reentrant: flag, registry })).type.toBe<Synchronized<AcquireLockFailed, never>>()
    expect(synchronized("x", { reentrant: true, mode: "shared", registry })).type.toBe<Synchronized<never, never>>()
    expect(synchronized("x", maybe)).type.toBe<Synchronized<AcquireLockFailed, LockRegistry>>()
  })

  test("a method says what its decorator adds", () => {
    class Account {
      @(expect(synchronized("x", { reentrant: true, registry })).type.toBeApplicable)
      declared(): Effect.Effect<number, AcquireLockFailed> {
        return Effect.succeed(1)
      }
      @(expect(synchronized("x", { reentrant: true, registry })).type.not.toBeApplicable)
      undeclared(): Effect.Effect<number> {
        return Effect.succeed(1)
      }
      @(expect(synchronized("x", { reentrant: true, mode: "shared", registry })).type.toBeApplicable)
      reader(): Effect.Effect<number> {
        return Effect.succeed(1)
      }
    }
    expect<Account["declared"]>().type.toBe<() => Effect.Effect<number, AcquireLockFailed>>()
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
    expect(synchronized("x")).type.toBeCallableWith(() => body)
    expect(synchronized("x")).type.not.toBeCallableWith(() => Promise.resolve(1))
    expect(synchronized("x")).type.not.toBeCallableWith(body)
    expect(synchronized).type.toBeCallableWith("x", { timeout: 1 })
    expect(synchronized).type.not.toBeCallableWith("x", { tiemout: 1 })
    expect(synchronized).type.not.toBeCallableWith("x", { fair: true, block: false })
  })
})

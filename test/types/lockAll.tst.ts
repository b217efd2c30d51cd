// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import { type Duration, Effect, flow, Option, pipe, type Scope } from "effect"
import {
  type AcquireAllError,
  type AcquireLockFailed,
  type ExternalLock,
  type ExternalLockError,
  type Held,
  type LocalLockOptions,
  lockAll,
  type LockLost,
  type LockRegistry,
  type LockTarget,
  withLockAll
} from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const registry: LockRegistry
declare const registryOrNot: LockRegistry | undefined
declare const options: LocalLockOptions
declare const maybe: LocalLockOptions | undefined
declare const flag: boolean
declare const flagOrNot: boolean | undefined
declare const count: number | undefined
declare const timeout: Duration.DurationInput | undefined
declare const mode: "exclusive" | "shared"
declare const anything: any
declare const targets: ReadonlyArray<LockTarget>
declare const body: Effect.Effect<number, "E", "R">

type Holds = ReadonlyArray<Held>
type Outside = ReadonlyArray<Held<ExternalLockError>>
type Needs = LockRegistry | Scope.Scope

const names = ["x", { name: "y", mode: "shared" }] as const
const typo = { fair: true, block: false }

describe("lockAll", () => {
  test("names are strings, or objects that may bring a mode", () => {
    expect(lockAll([])).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(["x", "y"])).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(["x", { name: "y" }, { name: "z", mode: "shared" }])).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll([{ name: "x", mode: undefined }, { name: "y", mode }])).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names)).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(targets)).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect<LockTarget>().type.toBe<
      string | { readonly name: string; readonly mode?: "exclusive" | "shared" | undefined }
    >()
  })

  test("no other names are taken", () => {
    expect(lockAll).type.toBeCallableWith([{ name: "x" }])
    expect(lockAll).type.not.toBeCallableWith()
    expect(lockAll).type.not.toBeCallableWith("x")
    expect(lockAll).type.not.toBeCallableWith("x", "y")
    expect(lockAll).type.not.toBeCallableWith(new Set(["x"]))
    expect(lockAll).type.not.toBeCallableWith([1])
    expect(lockAll).type.not.toBeCallableWith(["x", undefined])
    expect(lockAll).type.not.toBeCallableWith([{ mode: "shared" }])
    expect(lockAll).type.not.toBeCallableWith([{ name: "x", mode: "read" }])
    expect(lockAll).type.not.toBeCallableWith([{ name: "x", prefix: "p" }])
    expect(lockAll).type.not.toBeCallableWith([{ name: "x", reentrant: true }])
  })

  test("options that do not limit the wait add no error", () => {
    expect(lockAll(names, {})).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, undefined)).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { fair: flag, prefix: "p", log: false, priority: 1 }))
      .type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { mode })).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { mode: "shared", reentrant: false })).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { blocking: true, timeout: undefined, maxWaiting: undefined }))
      .type.toBe<Effect.Effect<Holds, never, Needs>>()
  })

  test("blocking, timeout and maxWaiting add AcquireLockFailed, for every value they may have", () => {
    expect(lockAll(names, { blocking: false })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { blocking: flagOrNot })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { timeout: "1 second" })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { timeout })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { maxWaiting: 0 })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { maxWaiting: count, mode: "shared" }))
      .type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
  })

  test("reentrant adds AcquireLockFailed, also when the mode is shared: a name may bring its own", () => {
    expect(lockAll(names, { reentrant: true })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { reentrant: flagOrNot })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(["x", { name: "y", mode: "exclusive" }], { reentrant: true, mode: "shared" }))
      .type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(["x"], { reentrant: flag, mode: "shared" }))
      .type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    const either = flag ? { reentrant: true, mode: "shared" } as const : undefined
    expect(lockAll(names, either)).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, { reentrant: undefined })).type.toBe<Effect.Effect<Holds, never, Needs>>()
  })

  test("external locks can fail outside, and be lost where an effect runs", () => {
    expect(lockAll(names, { external: true }))
      .type.toBe<Effect.Effect<Outside, ExternalLockError, Needs | ExternalLock>>()
    expect(lockAll(names, { external: true, registry, blocking: false }))
      .type.toBe<Effect.Effect<Outside, AcquireLockFailed | ExternalLockError, Scope.Scope | ExternalLock>>()
    expect(withLockAll(Effect.void, names, { external: true }))
      .type.toBe<Effect.Effect<void, ExternalLockError | LockLost, LockRegistry | ExternalLock>>()
  })

  test("a registry removes the requirement only when it is surely there", () => {
    expect(lockAll(names, { registry })).type.toBe<Effect.Effect<Holds, never, Scope.Scope>>()
    expect(lockAll(names, { registry, reentrant: true, mode: "shared" }))
      .type.toBe<Effect.Effect<Holds, AcquireLockFailed, Scope.Scope>>()
    expect(lockAll(names, { registry: registryOrNot })).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { registry: undefined })).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, flag ? { registry } : undefined)).type.toBe<Effect.Effect<Holds, never, Needs>>()
  })

  test("a variable, a spread and a union admit all that their types admit", () => {
    expect(lockAll(names, options)).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, maybe)).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    expect(lockAll(names, anything))
      .type.toBe<Effect.Effect<Outside, AcquireLockFailed | ExternalLockError, Needs | ExternalLock>>()
    expect(lockAll(names, { ...options, registry })).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Scope.Scope>>()
    const none = { blocking: true, timeout: undefined, maxWaiting: undefined } as const
    expect(lockAll(names, { ...options, ...none, reentrant: false })).type.toBe<Effect.Effect<Holds, never, Needs>>()
    expect(lockAll(names, { ...options, ...none, mode: "shared" }))
      .type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
    const union = flag ? { blocking: false } as const : { registry } as const
    expect(lockAll(names, union)).type.toBe<Effect.Effect<Holds, AcquireLockFailed, Needs>>()
  })

  test("an unknown option is an error", () => {
    expect(lockAll).type.toBeCallableWith(["x"], { timeout: 1 })
    expect(lockAll).type.not.toBeCallableWith(["x"], { tiemout: 1 })
    expect(lockAll).type.not.toBeCallableWith(["x"], { fair: true, block: false })
    expect(lockAll).type.not.toBeCallableWith(["x"], typo)
    expect(lockAll).type.not.toBeCallableWith(["x"], flag ? { timeout: 1 } : { tiemout: 1, fair: true })
    expect(lockAll).type.not.toBeCallableWith(["x"], { permits: 1 })
    expect(lockAll).type.not.toBeCallableWith(["x"], { mode: "read" })
    expect(lockAll).type.not.toBeCallableWith(["x"], { maxWaiting: "1" })
  })

  test("the error can be told from the type of the options", () => {
    expect<AcquireAllError<undefined>>().type.toBe<never>()
    expect<AcquireAllError<{ readonly mode: "shared" }>>().type.toBe<never>()
    expect<AcquireAllError<{ readonly mode: "shared"; readonly reentrant: true }>>().type.toBe<AcquireLockFailed>()
    expect<AcquireAllError<LocalLockOptions | undefined>>().type.toBe<AcquireLockFailed>()
  })
})

describe("withLockAll", () => {
  test("data-last", () => {
    expect(pipe(body, withLockAll([]))).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(pipe(body, withLockAll(["x", { name: "y", mode: "shared" }])))
      .type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(body.pipe(withLockAll(names, { priority: 1 }))).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(body.pipe(withLockAll(names, { blocking: false })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
    expect(body.pipe(withLockAll(names, { registry, timeout })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(body.pipe(withLockAll(names, { registry, reentrant: true, mode: "shared" })))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(body.pipe(withLockAll(names, { registry }))).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(body.pipe(withLockAll(names, maybe)))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
  })

  test("data-last, kept for later", () => {
    expect(withLockAll(targets))
      .type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>>()
    expect(withLockAll(targets, { maxWaiting: 1, registry }))
      .type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>>()
    expect(flow((_: string) => body, withLockAll(["x"], { reentrant: flag })))
      .type.toBe<(_: string) => Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>>()
  })

  test("data-first", () => {
    expect(withLockAll(body, ["x", { name: "y", mode: "shared" }]))
      .type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withLockAll(body, names, undefined)).type.toBe<Effect.Effect<number, "E", "R" | LockRegistry>>()
    expect(withLockAll(body, names, { registry })).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(withLockAll(body, names, { timeout })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withLockAll(body, names, { reentrant: true, mode: "shared" })).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withLockAll(body, names, { ...options, registry }))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(withLockAll(body, names, maybe)).type.toBe<
      Effect.Effect<number, AcquireLockFailed | "E", "R" | LockRegistry>
    >()
    expect(withLockAll(Effect.void, names)).type.toBe<Effect.Effect<void, never, LockRegistry>>()
    expect(withLockAll(Option.none(), names, { registry }).pipe(Effect.ignore)).type.toBe<Effect.Effect<void>>()
  })

  test("what is not there is an error in both styles", () => {
    expect(withLockAll).type.toBeCallableWith(["x"], { timeout: 1 })
    expect(withLockAll).type.toBeCallableWith(body, ["x"], { timeout: 1 })
    expect(withLockAll).type.not.toBeCallableWith(["x"], { tiemout: 1 })
    expect(withLockAll).type.not.toBeCallableWith(body, ["x"], { tiemout: 1 })
    expect(withLockAll).type.not.toBeCallableWith(["x"], typo)
    expect(withLockAll).type.not.toBeCallableWith(body, ["x"], typo)
    expect(withLockAll).type.not.toBeCallableWith([{ name: "x", mode: "read" }])
    expect(withLockAll).type.not.toBeCallableWith(body, [{ name: "x", mode: "read" }])
    expect(withLockAll).type.not.toBeCallableWith("x")
    expect(withLockAll).type.not.toBeCallableWith(body, "x")
    expect(withLockAll).type.not.toBeCallableWith(body)
  })
})

// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import { Effect, type Option, pipe, type Scope } from "effect"
import { type AcquireLockFailed, ReaderWriterLock } from "effect-locks"
import { describe, expect, test } from "tstyche"

declare const lock: ReaderWriterLock
declare const body: Effect.Effect<number, "E", "R">

describe("ReaderWriterLock", () => {
  test("is made from nothing", () => {
    expect(ReaderWriterLock).type.toBe<{ readonly make: Effect.Effect<ReaderWriterLock> }>()
  })

  test("only writing can fail", () => {
    expect(lock.readLock).type.toBe<Effect.Effect<void, never, Scope.Scope>>()
    expect(lock.writeLock).type.toBe<Effect.Effect<void, AcquireLockFailed, Scope.Scope>>()
    expect(lock.withReadLock).type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>>()
    expect(lock.withWriteLock)
      .type.toBe<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, AcquireLockFailed | E, R>>()
  })

  test("what runs under it keeps its types", () => {
    expect(lock.withReadLock(body)).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(pipe(body, lock.withReadLock)).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(lock.withWriteLock(body)).type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(body.pipe(lock.withReadLock, lock.withWriteLock))
      .type.toBe<Effect.Effect<number, AcquireLockFailed | "E", "R">>()
    expect(Effect.scoped(Effect.zipRight(lock.readLock, body))).type.toBe<Effect.Effect<number, "E", "R">>()
    expect(lock.withReadLock).type.not.toBeCallableWith("x")
    expect(lock.withWriteLock).type.not.toBeCallableWith(() => body)
  })

  test("looking at it cannot fail", () => {
    expect(lock.owner).type.toBe<Effect.Effect<Option.Option<"reader" | "writer">>>()
    expect(lock.isReader).type.toBe<Effect.Effect<boolean>>()
    expect(lock.isWriter()).type.toBe<Effect.Effect<boolean>>()
    expect(lock.isWriter({ checkPending: false })).type.toBe<Effect.Effect<boolean>>()
    expect(lock.hasPendingWriters).type.toBe<Effect.Effect<boolean>>()
    expect(lock.isWriter).type.toBeCallableWith({ checkPending: undefined })
    expect(lock.isWriter).type.not.toBeCallableWith({ checkPendign: false })
    expect(lock.isWriter).type.not.toBeCallableWith(true)
  })

  test("has nothing else", () => {
    expect<keyof ReaderWriterLock>().type.toBe<
      | "hasPendingWriters"
      | "isReader"
      | "isWriter"
      | "owner"
      | "readLock"
      | "withReadLock"
      | "withWriteLock"
      | "writeLock"
    >()
  })
})

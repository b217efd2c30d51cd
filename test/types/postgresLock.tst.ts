// A call that is only checked yields nothing. Without this, `not.toBeCallableWith` would hold for every call.
// @effect-diagnostics floatingEffect:off
import type { PgClient } from "@effect/sql-pg/PgClient"
import { Config, type ConfigError, type Effect, type Layer } from "effect"
import { type ExternalLock, type ExternalLockError, Fence, type Held, type StaleToken } from "effect-locks"
import type { Guarantees } from "effect-locks/ExternalLock"
import * as PostgresLock from "effect-locks/PostgresLock"
import { describe, expect, test } from "tstyche"

describe("PostgresLock", () => {
  test("provides what external locks need, and needs a client", () => {
    expect(PostgresLock.layer()).type.toBe<Layer.Layer<ExternalLock, ExternalLockError, PgClient>>()
    expect(PostgresLock.layerLease({ silence: "5 seconds" })).type.toBe<
      Layer.Layer<ExternalLock, ExternalLockError, PgClient>
    >()
    expect(PostgresLock.layerConfig({ namespace: Config.string("NAMESPACE") })).type.toBe<
      Layer.Layer<ExternalLock, ExternalLockError | ConfigError.ConfigError, PgClient>
    >()
  })

  test("knows its options", () => {
    expect(PostgresLock.layer).type.toBeCallableWith({ namespace: "n", silence: 3000, schema: "s", migrate: false })
    expect(PostgresLock.layer).type.not.toBeCallableWith({ lockPath: "/tmp" })
    expect(PostgresLock.layer).type.not.toBeCallableWith({ migrate: "yes" })
  })

  test("tells the number of a name, and the SQL of what it needs", () => {
    expect(PostgresLock.keyOf("x", { prefix: "p", namespace: "n" })).type.toBe<bigint>()
    expect(PostgresLock.migration({ schema: "s" })).type.toBe<string>()
  })
})

describe("fencing tokens", () => {
  test("are there when the backend has them", () => {
    expect<Held["token"]>().type.toBe<bigint | undefined>()
    expect<Guarantees["fencing"]>().type.toBe<boolean>()
  })

  test("are admitted or stale", () => {
    expect(Fence.make).type.toBe<Effect.Effect<Fence.Fence>>()
    expect<ReturnType<Fence.Fence["admit"]>>().type.toBe<Effect.Effect<void, StaleToken>>()
  })
})

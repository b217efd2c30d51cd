import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Key from "../src/internal/lockKey.js"
import { Ticket } from "../src/internal/ticket.js"

const ticket = Effect.withFiberRuntime<Ticket>((fiber) =>
  Effect.succeed(
    new Ticket({ key: Key.make(undefined, "x"), mode: "exclusive", limit: 1, permits: 1 }, 0, true, false, fiber)
  )
)

describe("the gate of a ticket", () => {
  for (const [first, second] of [["granted", "expired"], ["expired", "granted"]] as const) {
    it.effect(`opens once: ${first}, whatever comes after`, () =>
      Effect.gen(function*() {
        const one = yield* ticket
        one.open(first)
        one.open(second)
        assert.strictEqual(yield* one.wait(), first)
      }))
  }
})

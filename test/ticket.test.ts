import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Key from "../src/internal/lockKey.js"
import { forEver } from "../src/internal/patience.js"
import { Demand, Ticket } from "../src/internal/ticket.js"

const terms = { priority: 0, reentrant: false, patience: forEver }

const ticket = Effect.withFiberRuntime<Ticket>((fiber) =>
  Effect.succeed(
    new Ticket(new Demand(Key.make(undefined, "x"), "exclusive", 1, 1), terms, true, fiber)
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

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import { broken } from "./fixtures/broken.js"
import { findings } from "./laws/suite.js"

const chaosSeeds = 300

describe("the suite catches", () => {
  for (const [name, { caughtBy, make }] of Object.entries(broken)) {
    it.live(name, () =>
      Effect.map(findings(make, chaosSeeds), (found) => {
        const catchers = Object.entries(found).filter(([_, what]) => what.length > 0).map(([part]) => part)
        assert.deepStrictEqual(catchers, Array.from<string>(caughtBy))
      }), 120_000)
  }

  it.live(
    "nothing in the registry that is not broken",
    () =>
      Effect.map(findings(LockRegistry.make, chaosSeeds), (found) => {
        assert.deepStrictEqual(found, { laws: [], sweeps: [], chaos: [] })
      }),
    120_000
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import { kinds } from "../utils/kinds.js"
import { sweep } from "../utils/sweep.js"
import { situations } from "./sweeps.js"

for (const kind of kinds) {
  describe(`${kind.name}, interrupted at every operation`, () => {
    for (const { name, subject } of situations) {
      it.effect(name, () =>
        Effect.map(sweep(subject(LockRegistry.make, kind)), ({ bad, operations }) => {
          assert.isAbove(operations, 15, "the sweep saw the operations")
          assert.deepStrictEqual(bad, [])
        }), 60_000)
    }
  })
}

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import { externalKinds, kinds } from "../utils/kinds.js"
import { sweep } from "../utils/sweep.js"
import { featureSituations } from "./featureSweeps.js"
import { situations } from "./sweeps.js"

for (const kind of [...kinds, ...externalKinds]) {
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

describe("what only some locks can do, interrupted at every operation", () => {
  for (const { name, subject } of featureSituations) {
    it.effect(name, () =>
      Effect.map(sweep(subject(LockRegistry.make)), ({ bad, operations }) => {
        assert.isAbove(operations, 15, "the sweep saw the operations")
        assert.deepStrictEqual(bad, [])
      }), 60_000)
  }
})

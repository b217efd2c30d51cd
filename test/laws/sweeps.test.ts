import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import * as fs from "node:fs"
import * as path from "node:path"
import { portablePath } from "../utils/external.js"
import { externalKinds, kinds, portableKind } from "../utils/kinds.js"
import { sweep } from "../utils/sweep.js"
import { featureSituations } from "./featureSweeps.js"
import { situations } from "./sweeps.js"

for (const kind of [...kinds, ...externalKinds, portableKind]) {
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

describe("afterwards", () => {
  it("nothing is left of the locks that were held by directories", () => {
    const [drafts, ...locks] = fs.readdirSync(portablePath).sort()
    assert.strictEqual(drafts, ".drafts")
    assert.isAbove(locks.length, 0)
    for (const left of [".drafts", ...locks]) {
      assert.deepStrictEqual(fs.readdirSync(path.join(portablePath, left)), [], left)
    }
  })
})

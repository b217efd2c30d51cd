import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import { externalKinds, kindOf, kinds, portableKind } from "../utils/kinds.js"
import * as MemoryLock from "../utils/memoryLock.js"
import { lawsOf } from "./laws.js"

const sources = {
  "LockRegistry.make": LockRegistry.make,
  "LockRegistry.layer": Effect.provide(LockRegistry, LockRegistry.layer),
  "LockRegistry.layerGlobal": Effect.provide(LockRegistry, LockRegistry.layerGlobal)
}

for (const kind of [...externalKinds, portableKind, kindOf("in memory", MemoryLock.make().service)]) {
  describe(kind.name, () => {
    for (const law of lawsOf(kind)) it.effect(law.name, () => law.check(LockRegistry.make, kind))
  })
}

for (const [source, make] of Object.entries(sources)) {
  for (const kind of kinds) {
    describe(`${kind.name}, ${source}`, () => {
      for (const law of lawsOf(kind)) it.effect(law.name, () => law.check(make, kind))
    })
  }
}

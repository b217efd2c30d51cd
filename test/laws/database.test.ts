/** The same laws over locks of a real PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LockRegistry } from "effect-locks"
import * as PostgresLock from "effect-locks/PostgresLock"
import * as database from "../utils/database.js"
import { kindOf } from "../utils/kinds.js"
import { settleOutside } from "../utils/sweep.js"
import { lawsOf } from "./laws.js"

const { missing } = database
const layers = { PostgreSQL: PostgresLock.layer, "leases of PostgreSQL": PostgresLock.layerLease }

settleOutside(database.rest)

for (const [name, layer] of Object.entries(layers)) {
  describe.skipIf(missing !== undefined)(name, async () => {
    const service = missing === undefined ? await database.host(layer) : undefined
    const kind = kindOf(name, service!)
    for (const law of lawsOf(kind)) {
      it.effect(law.name, () =>
        Effect.gen(function*() {
          yield* law.check(LockRegistry.make, kind)
          yield* database.rest
          assert.deepStrictEqual(yield* database.advisory, [])
          assert.deepStrictEqual(yield* database.leases, [])
        }))
    }
  })
}

/** Everything a lock is held to, run over any registry; says what it found. */
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, TestContext } from "effect"
import type { LockRegistry } from "effect-locks"
import type { Broken } from "../fixtures/broken.js"
import * as Chaos from "../utils/chaos.js"
import { kinds } from "../utils/kinds.js"
import { sweep } from "../utils/sweep.js"
import { featureSituations } from "./featureSweeps.js"
import { lawsOf } from "./laws.js"
import { situations } from "./sweeps.js"
import { workload } from "./workload.js"

interface Findings {
  readonly laws: ReadonlyArray<string>
  readonly sweeps: ReadonlyArray<string>
  readonly chaos: ReadonlyArray<string>
}

/** All kinds are held to all of it by the tests of the suite; to see that it catches something, a few do. */
const sample = ["lock", "withLock", "lockAll"]

const findings = (make: Effect.Effect<LockRegistry>, chaosSeeds: number): Effect.Effect<Findings> =>
  Effect.gen(function*() {
    const brokenLaws: Array<string> = []
    const badSweeps: Array<string> = []
    for (const kind of kinds.filter(({ name }) => sample.includes(name))) {
      for (const law of lawsOf(kind)) {
        const exit = yield* Effect.exit(Effect.provide(law.check(make, kind), TestContext.TestContext))
        if (Exit.isFailure(exit)) brokenLaws.push(`${kind.name}: ${law.name}: ${Cause.pretty(exit.cause)}`)
      }
      for (const { name, subject } of situations) {
        const { bad } = yield* Effect.provide(sweep(subject(make, kind)), TestContext.TestContext)
        if (bad.length > 0) badSweeps.push(`${kind.name}: ${name}: ${bad}`)
      }
    }
    for (const { name, subject } of featureSituations) {
      const { bad } = yield* Effect.provide(sweep(subject(make)), TestContext.TestContext)
      if (bad.length > 0) badSweeps.push(`${name}: ${bad}`)
    }
    const stuckOrWrong = yield* Effect.promise(() => Chaos.failure(workload(make), chaosSeeds))
    return { laws: brokenLaws, sweeps: badSweeps, chaos: stuckOrWrong === undefined ? [] : [stuckOrWrong] }
  })

const chaosSeeds = 300

/** Every part of the suite that should see what is wrong does, and no other. */
export const catches = (broken: Readonly<Record<string, Broken>>) => {
  for (const [name, { caughtBy, make }] of Object.entries(broken)) {
    it.live(`the suite catches ${name}`, () =>
      Effect.map(findings(make, chaosSeeds), (found) => {
        const catchers = Object.entries(found).filter(([_, what]) => what.length > 0).map(([part]) => part)
        assert.deepStrictEqual(catchers, Array.from<string>(caughtBy))
      }), 120_000)
  }
}

export const catchesNothing = (make: Effect.Effect<LockRegistry>) =>
  it.live(
    "the suite catches nothing in the registry that is not broken",
    () =>
      Effect.map(findings(make, chaosSeeds), (found) => {
        assert.deepStrictEqual(found, { laws: [], sweeps: [], chaos: [] })
      }),
    120_000
  )

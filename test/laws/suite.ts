/** Everything a lock is held to, run over any registry; says what it found. */
import { Cause, Effect, Exit, TestContext } from "effect"
import type { LockRegistry } from "effect-locks"
import * as Chaos from "../utils/chaos.js"
import { kinds } from "../utils/kinds.js"
import { sweep } from "../utils/sweep.js"
import { featureSituations } from "./featureSweeps.js"
import { lawsOf } from "./laws.js"
import { situations } from "./sweeps.js"
import { workload } from "./workload.js"

export interface Findings {
  readonly laws: ReadonlyArray<string>
  readonly sweeps: ReadonlyArray<string>
  readonly chaos: ReadonlyArray<string>
}

/** All kinds are held to all of it by the tests of the suite; to see that it catches something, a few do. */
const sample = ["lock", "withLock", "lockAll"]

export const findings = (make: Effect.Effect<LockRegistry>, chaosSeeds: number): Effect.Effect<Findings> =>
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

/** Everything a lock is held to, run over any registry; says what it found. */
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, TestContext } from "effect"
import type { LockRegistry } from "effect-locks"
import type { Broken } from "../fixtures/broken.js"
import * as Chaos from "../utils/chaos.js"
import { kinds } from "../utils/kinds.js"
import { type Subject, sweep } from "../utils/sweep.js"
import { featureSituations } from "./featureSweeps.js"
import { lawsOf } from "./laws.js"
import { situations } from "./sweeps.js"
import { workload } from "./workload.js"

/** What each part of the suite finds first, if it finds something. */
interface Findings {
  readonly laws: string | undefined
  readonly sweeps: string | undefined
  readonly chaos: string | undefined
}

/** All kinds are held to all of it by the tests of the suite; to see that it catches something, a few do. */
const sample = ["lock", "withLock", "lockAll"]

/** Runs checks in order until one finds something. */
const first = (checks: ReadonlyArray<Effect.Effect<string | undefined>>): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    for (const check of checks) {
      const found = yield* Effect.provide(check, TestContext.TestContext)
      if (found !== undefined) return found
    }
    return undefined
  })

const findings = (make: Effect.Effect<LockRegistry>, chaosSeeds: number): Effect.Effect<Findings> => {
  const sampled = kinds.filter(({ name }) => sample.includes(name))
  const laws = sampled.flatMap((kind) =>
    lawsOf(kind).map((law) =>
      Effect.map(
        Effect.exit(law.check(make, kind)),
        (exit) => Exit.isFailure(exit) ? `${kind.name}: ${law.name}: ${Cause.pretty(exit.cause)}` : undefined
      )
    )
  )
  const swept = (name: string, subject: Effect.Effect<Subject>) =>
    Effect.map(sweep(subject), ({ bad }) => bad.length > 0 ? `${name}: ${bad}` : undefined)
  const sweeps = [
    ...sampled.flatMap((kind) =>
      situations.map(({ name, subject }) => swept(`${kind.name}: ${name}`, subject(make, kind)))
    ),
    ...featureSituations.map(({ name, subject }) => swept(name, subject(make)))
  ]
  return Effect.all({
    laws: first(laws),
    sweeps: first(sweeps),
    chaos: Effect.promise(() => Chaos.failure(workload(make), chaosSeeds))
  })
}

const chaosSeeds = 100

/** Every part of the suite that should see what is wrong does, and no other. */
export const catches = (broken: Readonly<Record<string, Broken>>) => {
  for (const [name, { caughtBy, make }] of Object.entries(broken)) {
    it.live(`the suite catches ${name}`, () =>
      Effect.map(findings(make, chaosSeeds), (found) => {
        const catchers = Object.entries(found).filter(([_, what]) => what !== undefined).map(([part]) => part)
        assert.deepStrictEqual(catchers, Array.from<string>(caughtBy))
      }), 600_000)
  }
}

export const catchesNothing = (make: Effect.Effect<LockRegistry>) =>
  it.live(
    "the suite catches nothing in the registry that is not broken",
    () =>
      Effect.map(findings(make, chaosSeeds), (found) => {
        assert.deepStrictEqual(found, { laws: undefined, sweeps: undefined, chaos: undefined })
      }),
    600_000
  )

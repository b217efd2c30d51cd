import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExternalLock, LockRegistry } from "effect-locks"
import * as path from "node:path"
import { type Table, transitions } from "../src/internal/ledger.js"
import * as Lines from "../src/internal/lines.js"
import { Registry } from "../src/internal/registry.js"
import { type Census, workload } from "./laws/workload.js"
import * as Chaos from "./utils/chaos.js"
import { external, lockPath, portable, portablePath } from "./utils/external.js"

describe("seeded chaos", () => {
  it("a mixed workload of 6 fibers over 4 names in 2 registries, 2,000 seeds", async () => {
    const census: Census = new Map()
    assert.isUndefined(await Chaos.failure(workload(LockRegistry.make, census), 2000))
    if (process.env.CHAOS_SEED !== undefined) return
    for (
      const what of [
        "Busy",
        "Timeout",
        "QueueFull",
        "UpgradeConflict",
        "Deadlock",
        "upgraded",
        "gave up upgrading",
        "downgraded",
        "outlived its hold"
      ]
    ) assert.isAbove(census.get(what) ?? 0, 20, what)
    assert.isUndefined(census.get("not upgraded"))
  }, 600_000)

  for (
    const [how, service, directory, seeds] of [
      ["a file", external, lockPath, 500],
      ["a file, portable", portable, portablePath, 200]
    ] as const
  ) {
    it(`the same with every second lock held by ${how}, ${seeds} seeds`, async () => {
      const census: Census = new Map()
      const program = workload(LockRegistry.make, census, [path.join(directory, "one"), path.join(directory, "two")])
      assert.isUndefined(
        await Chaos.failure((seed) => Effect.provideService(program(seed), ExternalLock, service), seeds)
      )
      if (process.env.CHAOS_SEED !== undefined) return
      for (const what of ["Busy", "Timeout", "UpgradeConflict", "Deadlock", "downgraded"]) {
        assert.isAbove(census.get(what) ?? 0, 20, what)
      }
    }, 600_000)
  }

  it("every transition keeps the invariant of the lines, 500 seeds", async () => {
    let steps = 0
    const wrong = new Set<string>()
    const check = <S extends { readonly lines: Table }>(step: S): S => {
      const violation = Lines.violation(step.lines)
      if (violation !== undefined) wrong.add(violation)
      steps++
      return step
    }
    const checked = Effect.sync(() =>
      new Registry({
        ...transitions,
        request: (lines, ticket) => check(Lines.request(lines, ticket)),
        leave: (lines, ticket) => check(Lines.leave(lines, ticket)),
        release: (lines, ticket) => check(Lines.release(lines, ticket))
      })
    )
    assert.isUndefined(await Chaos.failure(workload(checked), 500))
    assert.deepStrictEqual(Array.from(wrong), [])
    assert.isAbove(steps, 20 * Chaos.seeds(500).length)
  }, 600_000)

  it("a seed replays its interleaving", () => {
    const trace = (seed: number) => {
      const seen: Array<string> = []
      const say = (name: string) =>
        Effect.repeatN(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => seen.push(name))), 5)
      Chaos.run(Effect.all(["a", "b", "c"].map(say), { concurrency: "unbounded" }), seed)
      return seen.join("")
    }
    assert.strictEqual(trace(1), trace(1))
    assert.isAbove(new Set([1, 2, 3, 4, 5, 6].map(trace)).size, 1)
  })

  it("a program that can go no further is seen to be stuck", () => {
    assert.isUndefined(Chaos.run(Effect.never, 0))
    assert.isUndefined(Chaos.run(Effect.forever(Effect.sleep(1)), 0))
  })
})

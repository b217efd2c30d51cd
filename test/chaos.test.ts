import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, STM, TRef } from "effect"
import { LockRegistry } from "effect-locks"
import * as Line from "../src/internal/line.js"
import { Registry, type Table } from "../src/internal/registry.js"
import type { Ticket } from "../src/internal/ticket.js"
import { workload } from "./laws/workload.js"
import * as Chaos from "./utils/chaos.js"

describe("seeded chaos", () => {
  it("a mixed workload of 7 fibers over 3 names in 2 registries, 2,000 seeds", () => {
    assert.isUndefined(Chaos.failure(workload(LockRegistry.make), 2000))
  }, 120_000)

  it("every transition keeps the line's invariant and serves in order of arrival, 500 seeds", () => {
    let served = 0
    const wrong: Array<string> = []
    const checked = STM.commit(STM.map(TRef.make<Table>(HashMap.empty()), (table) => {
      const lastServed = new Map<string, number>()
      const check = (step: Line.Step<Ticket>): Line.Step<Ticket> => {
        const violation = Line.violation(step.line)
        if (violation !== undefined) wrong.push(violation)
        for (const ticket of step.granted) {
          const last = lastServed.get(String(ticket.key)) ?? 0
          if (ticket.ticket <= last) wrong.push(`${ticket.ticket} was served after ${last}`)
          lastServed.set(String(ticket.key), ticket.ticket)
          served++
        }
        return step
      }
      return new Registry(table, {
        request: (line, ticket) => check(Line.request(line, ticket)),
        cancel: (line, ticket) => check(Line.cancel(line, ticket)),
        release: (line, ticket) => check(Line.release(line, ticket))
      })
    }))
    assert.isUndefined(Chaos.failure(workload(checked), 500))
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(served, 10 * Chaos.seeds(500).length)
  }, 120_000)

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
  })
})

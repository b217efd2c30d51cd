/** Two hosts over a real PostgreSQL: every operation of what one does, interrupted, while the other holds or waits. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import {
  ExternalLock,
  lock,
  type LockOptions,
  LockRegistry,
  withLock as withOne,
  withLockAll as withAll
} from "effect-locks"
import * as PostgresLock from "effect-locks/PostgresLock"
import * as database from "../utils/database.js"
import { allEnded, settleOutside, type Subject, sweep } from "../utils/sweep.js"
import { type Visit, visit } from "./law.js"

const { missing } = database

settleOutside(database.rest)

/** The locks of one process. */
class Host {
  readonly registry: LockRegistry
  private readonly service: ExternalLock
  constructor(service: ExternalLock) {
    this.service = service
    this.registry = Effect.runSync(LockRegistry.make)
  }
  private on<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, ExternalLock>> {
    return Effect.provideService(effect, ExternalLock, this.service)
  }
  private options<O extends LockOptions>(options: O) {
    return { ...options, external: true as const, registry: this.registry }
  }
  run<A, E>(body: Effect.Effect<A, E>, options: LockOptions = {}): Effect.Effect<unknown, unknown> {
    return this.on(withOne(body, "x", this.options(options))) as Effect.Effect<unknown, unknown>
  }
  all<A, E>(body: Effect.Effect<A, E>, ...names: ReadonlyArray<string>): Effect.Effect<unknown, unknown> {
    return this.on(withAll(body, names, this.options({})))
  }
  changing(mode: "exclusive" | "shared", change: "upgrade" | "downgrade"): Effect.Effect<unknown, unknown> {
    return this.on(
      Effect.scoped(Effect.flatMap(lock("x", this.options({ mode })), (held) => Effect.zipRight(held[change], body)))
    )
  }
  visit(options: LockOptions = {}): Effect.Effect<Visit> {
    return visit((body) => this.run(body, options) as Effect.Effect<void>)
  }
  visitAll(...names: ReadonlyArray<string>): Effect.Effect<Visit> {
    return visit((body) => this.all(body, ...names) as Effect.Effect<void>)
  }
}

const body = Effect.yieldNow()
const shared = { mode: "shared" } as const

interface Setting {
  readonly program: Effect.Effect<unknown, unknown>
  /** Those who are there before the program, and let go while it runs. */
  readonly before?: ReadonlyArray<Effect.Effect<Visit>>
  /** Those who come after it, and must be served in the end. */
  readonly after?: ReadonlyArray<Effect.Effect<Visit>>
  /** Runs before the first lets go. */
  readonly meanwhile?: Effect.Effect<void>
}

/** `polls`: who waits asks again, so nobody knows when everything is at rest. */
const situations = (here: Host, there: Host, polls: boolean): Record<string, Setting> => ({
  "free": { program: here.run(body), after: [there.visit()] },
  "free, shared": { program: here.run(body, shared), after: [there.visit(shared)] },
  "an upgrade": { program: here.changing("shared", "upgrade"), after: [there.visit()] },
  "a downgrade": { program: here.changing("exclusive", "downgrade"), after: [there.visit(shared), there.visit()] },
  "busy, blocking: false": { program: here.run(body, { blocking: false }), before: [there.visit()] },
  "several": { program: here.all(body, "x", "y", "z"), after: [there.visitAll("z", "x")] },
  ...polls ? {} : {
    "held elsewhere": { program: here.run(body), before: [there.visit()], after: [there.visit(), here.visit()] },
    "read elsewhere": { program: here.run(body), before: [there.visit(shared)], after: [here.visit(shared)] },
    "read here and elsewhere": {
      program: here.run(body, shared),
      before: [here.visit(shared), there.visit(shared)],
      after: [there.visit()]
    },
    "readers wait together": {
      program: here.run(body, shared),
      before: [there.visit()],
      after: [here.visit(shared), here.visit(shared), there.visit()]
    },
    "timed out": {
      program: here.run(body, { timeout: "1 second" }),
      before: [there.visit()],
      after: [there.visit()],
      meanwhile: TestClock.adjust("1 second")
    },
    "several, one held elsewhere": {
      program: here.all(body, "x", "y"),
      before: [there.visitAll("y")],
      after: [there.visitAll("x", "y")]
    }
  }
})

const subjectOf = (
  { after = [], before = [], meanwhile = Effect.void, program }: Setting,
  hosts: ReadonlyArray<Host>
) =>
  Effect.gen(function*() {
    const first = yield* Effect.all(before)
    const last: Array<Visit> = []
    const subject: Subject = {
      program,
      meanwhile: Effect.gen(function*() {
        for (const one of after) last.push(yield* one)
        yield* meanwhile
        for (const one of first) yield* one.letGo
      }),
      check: Effect.gen(function*() {
        for (const one of last) yield* one.letGo
        const served = (yield* allEnded([...first, ...last].map(({ fiber }) => fiber))) &&
          [...first, ...last].every(({ fiber }) => fiber.unsafePoll()?._tag === "Success")
        const left = yield* Effect.forEach(hosts, ({ registry }) => registry.snapshot)
        yield* database.rest
        return served && left.flat().length === 0 && (yield* database.advisory).length === 0 &&
          (yield* database.leases).length === 0
      })
    }
    return subject
  })

for (const [name, layer] of Object.entries({ layer: PostgresLock.layer, layerLease: PostgresLock.layerLease })) {
  describe.skipIf(missing !== undefined)(`PostgresLock.${name}, interrupted at every operation`, async () => {
    if (missing !== undefined) return
    const hosts = [new Host(await database.host(layer)), new Host(await database.host(layer))] as const
    for (const [situation, setting] of Object.entries(situations(...hosts, layer === PostgresLock.layerLease))) {
      it.effect(situation, () =>
        Effect.map(sweep(subjectOf(setting, hosts)), ({ bad, operations }) => {
          assert.isAbove(operations, 15, "the sweep saw the operations")
          assert.deepStrictEqual(bad, [])
        }))
    }
  })
}

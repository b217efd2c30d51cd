/**
 * Every operation of what only some locks can do, interrupted. Beside each
 * program others hold and wait; whenever it ends, they must go on, and nothing may
 * be left.
 */
import { Effect } from "effect"
import { lock, lockAll, type LockRegistry, semaphore, withLock, withLockAll, withSemaphore } from "effect-locks"
import type { Subject } from "../utils/sweep.js"
import { type Visit, visit } from "./law.js"

interface Setting {
  readonly program: Effect.Effect<unknown, unknown>
  /** Those who are there before the program, and let go while it runs, the first first. */
  readonly before?: ReadonlyArray<Effect.Effect<Visit>>
  /** Those who come after it, and must be served in the end. */
  readonly after?: ReadonlyArray<Effect.Effect<Visit>>
}

interface Situation {
  readonly name: string
  readonly subject: (make: Effect.Effect<LockRegistry>) => Effect.Effect<Subject>
}

const situation = (name: string, set: (registry: LockRegistry) => Setting): Situation => ({
  name,
  subject: (make) =>
    Effect.gen(function*() {
      const registry = yield* make
      const { after = [], before = [], program } = set(registry)
      const first = yield* Effect.all(before)
      const last: Array<Visit> = []
      return {
        program,
        meanwhile: Effect.gen(function*() {
          for (const one of after) last.push(yield* one)
          for (const one of first) yield* one.letGo
        }),
        check: Effect.gen(function*() {
          for (const one of last) yield* one.letGo
          return [...first, ...last].every(({ fiber }) => fiber.unsafePoll()?._tag === "Success") &&
            (yield* registry.snapshot).length === 0
        })
      }
    })
})

const body = Effect.yieldNow()

const reader = (registry: LockRegistry, name = "x") => visit(withLock(name, { mode: "shared", registry }))
const writer = (registry: LockRegistry, name = "x") => visit(withLock(name, { registry }))
const several = (registry: LockRegistry, ...names: ReadonlyArray<string>) => visit(withLockAll(names, { registry }))

const upgraded = (registry: LockRegistry) =>
  Effect.scoped(
    Effect.flatMap(lock("x", { mode: "shared", registry }), ({ upgrade }) => Effect.zipRight(upgrade, body))
  )

const downgraded = (registry: LockRegistry) =>
  Effect.scoped(
    Effect.flatMap(lock("x", { registry }), ({ downgrade, upgrade }) =>
      Effect.all([downgrade, body, upgrade, downgrade, body]))
  )

const reentrant = <A, E>(registry: LockRegistry, inside: Effect.Effect<A, E>) =>
  withLock(inside, "x", { reentrant: true, registry })

export const featureSituations: ReadonlyArray<Situation> = [
  situation("an upgrade, alone", (registry) => ({ program: upgraded(registry), after: [writer(registry)] })),
  situation("an upgrade that waits for a reader, before a writer", (registry) => ({
    program: upgraded(registry),
    before: [reader(registry)],
    after: [writer(registry), reader(registry)]
  })),
  situation("a second upgrade, refused", (registry) => {
    const shared = lock("x", { mode: "shared", registry })
    return {
      program: Effect.scoped(
        Effect.flatMap(
          Effect.all([shared, shared]),
          ([one, two]) => Effect.all([Effect.forkScoped(one.upgrade), body, Effect.flip(two.upgrade), body])
        )
      ),
      after: [reader(registry), writer(registry)]
    }
  }),
  situation("a downgrade, with readers and writers behind", (registry) => ({
    program: downgraded(registry),
    after: [reader(registry), writer(registry), reader(registry)]
  })),
  situation("several, free", (registry) => ({
    program: withLockAll(body, ["x", "y", "z"], { registry }),
    after: [writer(registry), several(registry, "y", "z")]
  })),
  situation("several, each held", (registry) => ({
    program: Effect.scoped(Effect.zipRight(lockAll(["x", "y"], { registry }), body)),
    before: [writer(registry, "y"), reader(registry, "x")],
    after: [several(registry, "y", "x"), writer(registry, "x"), writer(registry, "y")]
  })),
  situation("several, timed", (registry) => ({
    program: withLockAll(body, ["x", { name: "y", mode: "shared" }], { timeout: "1 hour", registry }),
    before: [writer(registry, "y")],
    after: [several(registry, "y", "x")]
  })),
  situation("permits, heavy before light", (registry) => {
    const take = (n: number) => visit(withSemaphore("x", { permits: 4, take: n, registry }))
    return {
      program: Effect.scoped(Effect.zipRight(semaphore("x", { permits: 4, take: 3, registry }), body)),
      before: [take(2)],
      after: [take(1), take(4), take(1)]
    }
  }),
  situation("an order that yields", (registry) => ({
    program: withLock(Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 40), withLock(body, "y", { registry })), "x", {
      registry
    }),
    after: [several(registry, "x", "y"), writer(registry, "y")]
  })),
  situation("a deadlock with itself", (registry) => ({
    program: Effect.exit(withLock(withLock(body, "x", { registry }), "x", { registry })),
    after: [writer(registry)]
  })),
  situation("reentrant, one in another", (registry) => ({
    program: reentrant(registry, reentrant(registry, Effect.zipRight(body, reentrant(registry, body)))),
    before: [writer(registry)],
    after: [writer(registry), visit((inside) => reentrant(registry, inside))]
  })),
  situation("reentrant, scoped, several", (registry) => ({
    program: Effect.scoped(Effect.all([
      lockAll(["x", "y"], { reentrant: true, registry }),
      lock("x", { reentrant: true, registry }),
      Effect.scoped(lockAll(["y", "z"], { reentrant: true, registry })),
      body
    ])),
    before: [writer(registry, "y")],
    after: [several(registry, "z", "x")]
  })),
  situation("reentrant, with children that wait for each other and outlive it", (registry) => ({
    program: reentrant(
      registry,
      Effect.all(
        [1, 2, 3].map(() => Effect.forkDaemon(reentrant(registry, Effect.repeatN(Effect.yieldNow(), 5))))
      )
    ),
    after: [writer(registry), reader(registry)]
  })),
  situation("a full line", (registry) => ({
    program: Effect.exit(withLock(body, "x", { maxWaiting: 1, registry })),
    before: [writer(registry), writer(registry)],
    after: [writer(registry)]
  })),
  situation("the first by priority", (registry) => ({
    program: withLock(body, "x", { priority: 1, registry }),
    before: [writer(registry), writer(registry)],
    after: [writer(registry)]
  }))
]

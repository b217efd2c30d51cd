/** Which requests die with `Deadlock`, and which must not. */
import { assert } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import {
  Deadlock,
  lock,
  type LockRegistry,
  type LockTarget,
  withLock as withOne,
  withLockAll,
  withSemaphore
} from "effect-locks"
import { settle } from "../utils/sweep.js"
import { ended, holder, inside, type Law, law, start, visit, withLock } from "./law.js"

type Wrap = <E>(body: Effect.Effect<void, E>) => Effect.Effect<void, unknown>

const on = (registry: LockRegistry) => ({
  one: (name: string, options = {}): Wrap => (body) => withOne(body, name, { ...options, registry }),
  read: (name: string): Wrap => (body) => withOne(body, name, { mode: "shared", registry }),
  again: (name: string, mode?: "shared"): Wrap => (body) => withOne(body, name, { mode, reentrant: true, registry }),
  all: (...names: ReadonlyArray<LockTarget>): Wrap => (body) => withLockAll(body, names, { registry }),
  take: (name: string, permits: number, take: number): Wrap => (body) =>
    withSemaphore(body, name, { permits, take, registry })
})

/** A fiber that takes `first`, and `second` inside it when it is told to. */
const nested = (first: Wrap, second: Wrap) =>
  Effect.gen(function*() {
    const more = yield* Deferred.make<void>()
    const one = yield* visit((body) =>
      first(Effect.zipRight(Deferred.await(more), second(body))) as Effect.Effect<void>
    )
    return { ...one, goOn: Effect.zipRight(Deferred.succeed(more, undefined), settle) }
  })

const deadlockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Deadlock | undefined => {
  const exit = fiber.unsafePoll()
  if (exit === null || Exit.isSuccess(exit)) return undefined
  const defect = Option.getOrUndefined(Cause.dieOption(exit.cause))
  return defect instanceof Deadlock ? defect : undefined
}

const closes = (
  name: string,
  make: (use: ReturnType<typeof on>) => ReadonlyArray<readonly [first: Wrap, second: Wrap]>
): Law =>
  law(`${name}: the one that closes the cycle dies, and the others go on`, (registry) =>
    Effect.gen(function*() {
      const fibers = []
      for (const [first, second] of make(on(registry))) fibers.push(yield* nested(first, second))
      const last = fibers.at(-1)!
      for (const one of fibers) yield* one.goOn
      const deadlock = deadlockOf(last.fiber)
      assert.isDefined(deadlock)
      const ids = deadlock!.cycle.map(({ request }) => request.fiberId.id)
      assert.deepStrictEqual(ids[0], last.fiber.id().id)
      assert.deepStrictEqual(
        deadlock!.cycle.map(({ hold }) => hold.fiberId.id),
        [...ids.slice(1), ids[0]],
        "each waits for the next"
      )
      for (const { fiber, letGo } of fibers.slice(0, -1).reverse()) {
        yield* letGo
        assert.isTrue(ended(fiber) && Exit.isSuccess(fiber.unsafePoll()!), "it went on")
      }
    }))

const opens = (
  name: string,
  make: (use: ReturnType<typeof on>) => ReadonlyArray<readonly [first: Wrap, second: Wrap]>,
  meanwhile: (registry: LockRegistry) => Effect.Effect<Effect.Effect<void>, unknown>
): Law =>
  law(`no alarm: ${name}`, (registry) =>
    Effect.gen(function*() {
      const release = yield* meanwhile(registry)
      const fibers = []
      for (const [first, second] of make(on(registry))) fibers.push(yield* nested(first, second))
      for (const one of fibers) yield* one.goOn
      assert.deepStrictEqual(fibers.map(({ fiber }) => deadlockOf(fiber)), fibers.map(() => undefined))
      assert.isTrue(fibers.some(({ fiber, isIn }) => !ended(fiber) && !isIn()), "somebody waits")
      yield* release
      for (const { letGo } of [...fibers, ...fibers]) yield* letGo
      assert.isTrue(fibers.every(({ fiber }) => ended(fiber)), "all go on")
    }))

export const deadlocks: ReadonlyArray<Law> = [
  closes("its own hold", ({ one }) => [[one("a"), one("a")]]),
  closes("two fibers, two locks", ({ one }) => [[one("a"), one("b")], [one("b"), one("a")]]),
  closes("three fibers, three locks", ({ one }) => [[one("a"), one("b")], [one("b"), one("c")], [one("c"), one("a")]]),
  closes("readers of each other's locks who want to write", ({ one, read }) => [
    [read("a"), one("b")],
    [read("b"), one("a")]
  ]),
  closes("a reader who asks to write what it reads", ({ one, read }) => [[read("a"), one("a")]]),
  closes("several at once", ({ all, one }) => [[all("a", "b"), one("c")], [one("c"), all("d", "b")]]),
  closes("several at once, of its own", ({ all }) => [[all("a", "b"), all("b", "c")]]),
  closes("permits", ({ take }) => [[take("s", 4, 2), take("s", 4, 2)], [take("s", 4, 2), take("s", 4, 1)]]),
  closes("permits and locks", ({ one, take }) => [[take("s", 3, 2), one("a")], [one("a"), take("s", 3, 2)]]),
  closes("reentrant holds", ({ again, one }) => [
    [(body) => again("a")(again("a")(body)), one("b")],
    [one("b"), again("a")]
  ]),

  law(
    "a reader who asks to write beside another reader dies, for it waits for itself",
    (registry) =>
      Effect.gen(function*() {
        const { one, read } = on(registry)
        const fibers = [yield* nested(read("a"), one("a")), yield* nested(read("a"), one("a"))]
        yield* fibers[0]!.goOn
        assert.isDefined(deadlockOf(fibers[0]!.fiber))
        yield* fibers[1]!.interrupt
      })
  ),

  law("a reader that reads again is let pass the writer that waits for it", (registry) =>
    Effect.gen(function*() {
      const { read } = on(registry)
      const one = yield* nested(read("a"), read("a"))
      const writer = yield* holder(withLock, registry, "a")
      yield* one.goOn
      assert.isUndefined(deadlockOf(one.fiber))
      assert.deepStrictEqual(inside([one, writer]), [0])
      yield* one.letGo
      assert.deepStrictEqual(inside([one, writer]), [1])
      yield* writer.letGo
    })),

  law("an upgrade that waits for a reader who waits for it dies", (registry) =>
    Effect.gen(function*() {
      const { one } = on(registry)
      // The upgrading fiber holds b by withLock; the other reads a by withLock, and waits for b.
      const go = yield* Deferred.make<void>()
      const upgrading = yield* start(
        one("b")(Effect.scoped(Effect.gen(function*() {
          const held = yield* lock("a", { mode: "shared", registry })
          yield* Deferred.await(go)
          yield* held.upgrade
        })))
      )
      const reader = yield* nested((body) => withOne(body, "a", { mode: "shared", registry }), one("b"))
      yield* reader.goOn
      yield* Deferred.succeed(go, undefined)
      yield* settle
      assert.isDefined(deadlockOf(upgrading))
      assert.isTrue(reader.isIn())
      yield* reader.letGo
    })),

  opens(
    "a counting lock with another holder, who can finish",
    ({ one, take }) => [[take("s", 3, 1), one("a")], [one("a"), take("s", 3, 2)]],
    (registry) =>
      Effect.map(visit((body) => withSemaphore(body, "s", { permits: 3, take: 1, registry })), ({ letGo }) => letGo)
  ),

  opens(
    "a cycle through a timed waiter, who will leave",
    ({ one }) => [[one("a"), (body) => Effect.ignore(one("b", { timeout: "1 second" })(body))], [one("b"), one("a")]],
    () => Effect.succeed(Effect.zipRight(TestClock.adjust("1 second"), settle))
  ),

  opens(
    "a scoped hold, which another fiber may close",
    ({ one }) => [[one("b"), one("a")]],
    (registry) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const waiter = yield* start(Effect.zipRight(
          Scope.extend(lock("a", { registry }), scope),
          withOne(Effect.void, "b", { registry })
        ))
        return Effect.zipRight(
          Scope.close(scope, Exit.void),
          Effect.zipRight(settle, Effect.asVoid(Fiber.await(waiter)))
        )
      }).pipe(Effect.map((release) => Effect.asVoid(Effect.fork(release))))
  ),

  law("with a limit it is no deadlock but what the limit says", (registry) =>
    Effect.gen(function*() {
      const reason = (options: { blocking?: boolean; timeout?: number; maxWaiting?: number }) =>
        Effect.map(
          Effect.orDie(withOne(Effect.flip(withOne(Effect.void, "a", { ...options, registry })), "a", { registry })),
          (failed) => "reason" in failed ? failed.reason : ""
        )
      assert.strictEqual(yield* reason({ blocking: false }), "Busy")
      assert.strictEqual(yield* reason({ maxWaiting: 0 }), "QueueFull")
      const timed = yield* start(reason({ timeout: 10 }))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(timed), "Timeout")
    })),

  law("the message prints the cycle", (registry) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5))
      const { one, read } = on(registry)
      const fibers = [yield* nested(one("a"), read("b")), yield* nested(one("b"), one("a"))]
      for (const { goOn } of fibers) yield* goOn
      const [first, second] = fibers.map(({ fiber }) => `#${fiber.id().id}`)
      assert.strictEqual(
        deadlockOf(fibers[1]!.fiber)!.message,
        `lock "a" can never be granted to ${second}: ` +
          `${second} waits for lock "a" (exclusive), which ${first} holds (exclusive) since 2026-01-02T03:04:05.000Z; ` +
          `${first} waits for lock "b" (shared), which ${second} holds (exclusive) since 2026-01-02T03:04:05.000Z. ` +
          "Take the locks in one order everywhere, or all at once with lockAll."
      )
      yield* fibers[0]!.letGo
    }))
]

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scheduler } from "effect"
import { LockRegistry, withLock } from "effect-locks"
import { getEventListeners } from "node:events"
import { type Lock, type LockManager, make, prefix } from "../../docs/web-locks.ts"

const fresh = (): Promise<LockManager> => Effect.runPromise(Effect.provide(make, LockRegistry.layer))

const gate = <A = void>() => {
  let open!: (value: A) => void
  const opened = new Promise<A>((resolve) => open = resolve)
  return { open, opened }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then((value) => assert.fail(`resolved with ${value}`), (reason: unknown) => reason)

const notCalled = () => assert.fail("the callback was called")

/** Holds `name` until `release` is called; `lock` is what the callback got. */
const hold = async (locks: LockManager, name: string, mode: "exclusive" | "shared" = "exclusive") => {
  const entered = gate<Lock | null>()
  const left = gate()
  const over = locks.request(name, { mode }, (lock) => {
    entered.open(lock)
    return left.opened
  })
  return {
    lock: await entered.opened,
    release: () => {
      left.open()
      return over
    }
  }
}

const exclusive = (name: string): Lock => ({ name, mode: "exclusive" })
const shared = (name: string): Lock => ({ name, mode: "shared" })
const nothing = { held: [], pending: [] }

describe("request", () => {
  it("gives what the callback returns, now or later", async () => {
    const locks = await fresh()
    assert.strictEqual(await locks.request("x", () => 1), 1)
    assert.strictEqual(await locks.request("x", async () => 2), 2)
    assert.strictEqual(await locks.request("x", {}, () => Promise.resolve(3)), 3)
    assert.deepStrictEqual(await locks.query(), nothing)
  })

  it("calls the callback with the name and the mode", async () => {
    const locks = await fresh()
    assert.deepStrictEqual(await locks.request("x", (lock) => lock), exclusive("x"))
    assert.deepStrictEqual(await locks.request("", { mode: "shared" }, (lock) => lock), shared(""))
  })

  it("never calls the callback before it has returned", async () => {
    const locks = await fresh()
    const called: Array<string> = []
    const all = [
      locks.request("x", () => called.push("free")),
      locks.request("x", () => called.push("behind it")),
      locks.request("y", { ifAvailable: true }, () => called.push("available"))
    ]
    assert.deepStrictEqual(called, [])
    await Promise.all(all)
    assert.sameMembers(called, ["free", "behind it", "available"])
  })

  it("holds the lock until the promise of the callback settles", async () => {
    const locks = await fresh()
    const order: Array<string> = []
    const first = await hold(locks, "x")
    const second = locks.request("x", () => order.push("second"))
    assert.deepStrictEqual(await locks.query(), { held: [exclusive("x")], pending: [exclusive("x")] })
    order.push("released")
    await first.release()
    await second
    assert.deepStrictEqual(order, ["released", "second"])
  })

  it("takes no promise for settled that merely has a then", async () => {
    const locks = await fresh()
    const left = gate()
    const first = locks.request(
      "x",
      () => ({ then: (resolve: (value: string) => void) => left.opened.then(() => resolve("late")) })
    )
    assert.deepStrictEqual((await locks.query()).held, [exclusive("x")])
    left.open()
    assert.strictEqual(await first as unknown, "late")
  })

  it("rejects with the very reason of the callback, and releases", async () => {
    const plain = await fresh()
    // Inside a span Effect wraps an error that it carries.
    const traced = await Effect.runPromise(make.pipe(Effect.withSpan("traced"), Effect.provide(LockRegistry.layer)))
    for (const locks of [plain, traced]) {
      for (const reason of [new Error("oh"), new DOMException("oh", "AbortError"), "text", undefined, null]) {
        const threw = locks.request("x", () => {
          throw reason
        })
        const rejected = locks.request("x", { mode: "shared" }, () => Promise.reject(reason))
        const next = locks.request("x", () => "next")
        assert.strictEqual(await rejection(threw), reason)
        assert.strictEqual(await rejection(rejected), reason)
        assert.strictEqual(await next, "next")
        assert.deepStrictEqual(await locks.query(), nothing)
      }
    }
  })

  it("serves exclusive requests in the order of their arrival", async () => {
    const locks = await fresh()
    const order: Array<number> = []
    const first = await hold(locks, "x")
    const all = [1, 2, 3].map((n) => locks.request("x", async () => void order.push(n)))
    await first.release()
    await Promise.all(all)
    assert.deepStrictEqual(order, [1, 2, 3])
  })

  it("keeps names apart", async () => {
    const locks = await fresh()
    const x = await hold(locks, "x")
    const y = await hold(locks, "y")
    assert.deepStrictEqual([x.lock, y.lock], [exclusive("x"), exclusive("y")])
    await Promise.all([x.release(), y.release()])
  })

  it("lets shared requests hold together, but none past a waiting exclusive one", async () => {
    const locks = await fresh()
    const [one, two] = [await hold(locks, "x", "shared"), await hold(locks, "x", "shared")]
    const writer = hold(locks, "x")
    const three = hold(locks, "x", "shared")
    const four = hold(locks, "x", "shared")
    const waiting = [exclusive("x"), shared("x"), shared("x")]
    assert.deepStrictEqual(await locks.query(), { held: [shared("x"), shared("x")], pending: waiting })
    await one.release()
    assert.deepStrictEqual(await locks.query(), { held: [shared("x")], pending: waiting })
    await two.release()
    const wrote = await writer
    assert.deepStrictEqual(await locks.query(), { held: [exclusive("x")], pending: [shared("x"), shared("x")] })
    await wrote.release()
    const batch = [await three, await four]
    assert.deepStrictEqual(await locks.query(), { held: [shared("x"), shared("x")], pending: [] })
    await Promise.all(batch.map((reader) => reader.release()))
    assert.deepStrictEqual(await locks.query(), nothing)
  })
})

describe("ifAvailable", () => {
  it("gives a lock that is free", async () => {
    const locks = await fresh()
    assert.deepStrictEqual(await locks.request("x", { ifAvailable: true }, (lock) => lock), exclusive("x"))
    const reader = await hold(locks, "x", "shared")
    const second = locks.request("x", { ifAvailable: true, mode: "shared" }, (lock) => lock)
    assert.deepStrictEqual(await second, shared("x"))
    await reader.release()
  })

  it("gives null, and holds nothing, when the lock is held", async () => {
    const locks = await fresh()
    const holder = await hold(locks, "x")
    const during = await locks.request("x", { ifAvailable: true }, async (lock) => [lock, await locks.query()])
    assert.deepStrictEqual(during, [null, { held: [exclusive("x")], pending: [] }])
    await holder.release()
  })

  it("gives null when somebody waits before it, though it would fit", async () => {
    const locks = await fresh()
    const reader = await hold(locks, "x", "shared")
    const writer = locks.request("x", () => {})
    assert.isNull(await locks.request("x", { ifAvailable: true, mode: "shared" }, (lock) => lock))
    await reader.release()
    await writer
  })

  it("rejects with the reason of a callback that got null", async () => {
    const locks = await fresh()
    const holder = await hold(locks, "x")
    const reason = new Error("oh")
    assert.strictEqual(await rejection(locks.request("x", { ifAvailable: true }, () => Promise.reject(reason))), reason)
    await holder.release()
  })
})

describe("signal", () => {
  it("an abort takes a request out of the line at once, and those behind it are served in order", async () => {
    const locks = await fresh()
    const order: Array<string> = []
    const reader = await hold(locks, "x", "shared")
    const controller = new AbortController()
    const { signal } = controller
    const reason = new Error("changed my mind")
    const writer = locks.request("x", { signal }, notCalled)
    const second = locks.request("x", { mode: "shared" }, () => order.push("second"))
    const third = locks.request("x", () => order.push("third"))
    assert.deepStrictEqual((await locks.query()).pending, [exclusive("x"), shared("x"), exclusive("x")])
    const rejected = rejection(writer)
    controller.abort(reason)
    // The reader behind it enters, with nobody having released.
    assert.deepStrictEqual((await locks.query()).pending, [exclusive("x")])
    assert.strictEqual(await rejected, reason)
    await second
    assert.deepStrictEqual(order, ["second"])
    assert.strictEqual(getEventListeners(signal, "abort").length, 0)
    await reader.release()
    await third
    assert.deepStrictEqual(order, ["second", "third"])
    assert.deepStrictEqual(await locks.query(), nothing)
  })

  it("a signal that was aborted before rejects without a request", async () => {
    const locks = await fresh()
    const signal = AbortSignal.abort("before")
    assert.strictEqual(await rejection(locks.request("x", { signal }, notCalled)), "before")
    assert.strictEqual(getEventListeners(signal, "abort").length, 0)
    const byDefault = await rejection(locks.request("x", { signal: AbortSignal.abort() }, notCalled))
    assert.isTrue(byDefault instanceof DOMException && byDefault.name === "AbortError")
  })

  it("an abort right after the call rejects, though the lock is free", async () => {
    const locks = await fresh()
    const controller = new AbortController()
    const first = rejection(locks.request("x", { signal: controller.signal }, notCalled))
    const next = locks.request("x", () => "next")
    controller.abort("at once")
    assert.strictEqual(await first, "at once")
    assert.strictEqual(await next, "next")
    assert.deepStrictEqual(await locks.query(), nothing)
  })

  it("an abort does not overtake what was asked for before it", async () => {
    const locks = await fresh()
    const controller = new AbortController()
    const reader = await hold(locks, "x", "shared")
    const writer = rejection(locks.request("x", { signal: controller.signal }, notCalled))
    await locks.query()
    const before = locks.request("x", { ifAvailable: true, mode: "shared" }, (lock) => lock)
    controller.abort("out")
    const after = locks.request("x", { ifAvailable: true, mode: "shared" }, (lock) => lock)
    assert.deepStrictEqual(await Promise.all([writer, before, after]), ["out", null, shared("x")])
    await reader.release()
  })

  it("an abort after the grant changes nothing, and is not listened for", async () => {
    const locks = await fresh()
    const controller = new AbortController()
    const { signal } = controller
    const left = gate()
    const entered = gate()
    const first = locks.request("x", { signal }, async () => {
      assert.strictEqual(getEventListeners(signal, "abort").length, 0)
      entered.open()
      await left.opened
      return "done"
    })
    await entered.opened
    controller.abort()
    assert.deepStrictEqual((await locks.query()).held, [exclusive("x")])
    left.open()
    assert.strictEqual(await first, "done")
  })

  it("the callback itself may abort", async () => {
    const locks = await fresh()
    const controller = new AbortController()
    const { signal } = controller
    const reason = new Error("mine")
    assert.strictEqual(await locks.request("x", { signal }, () => (controller.abort(), "done")), "done")
    const failing = new AbortController()
    const failed = locks.request("x", { signal: failing.signal }, () => {
      failing.abort("not this one")
      throw reason
    })
    assert.strictEqual(await rejection(failed), reason)
  })

  it("one signal aborts many requests", async () => {
    const locks = await fresh()
    const controller = new AbortController()
    const { signal } = controller
    const holder = await hold(locks, "x")
    const all = Array.from({ length: 5 }, () => rejection(locks.request("x", { signal }, notCalled)))
    const last = locks.request("x", () => "last")
    assert.strictEqual((await locks.query()).pending.length, 6)
    controller.abort("all")
    assert.deepStrictEqual(await Promise.all(all), Array.from({ length: 5 }, () => "all"))
    assert.strictEqual((await locks.query()).pending.length, 1)
    await holder.release()
    assert.strictEqual(await last, "last")
  })

  it("aborts also when `make` ran in an uninterruptible region, as in a layer", async () => {
    const locks = await Effect.runPromise(Effect.uninterruptible(Effect.provide(make, LockRegistry.layer)))
    const controller = new AbortController()
    const holder = await hold(locks, "x")
    const waits = rejection(locks.request("x", { signal: controller.signal }, notCalled))
    assert.deepStrictEqual((await locks.query()).pending, [exclusive("x")])
    controller.abort("out")
    assert.deepStrictEqual((await locks.query()).pending, [])
    assert.strictEqual(await waits, "out")
    await holder.release()
  })

  /** Either the callback ran and its result is the result, or it did not and the reason is; the next is served. */
  const race = async (locks: LockManager, signal: AbortSignal, meanwhile: () => Promise<unknown>) => {
    let calls = 0
    const outcome = locks.request("x", { signal }, async () => {
      calls++
      await null
      return "done"
    }).then((value) => value, (reason: unknown) => reason)
    const next = locks.request("x", () => "next")
    await meanwhile()
    const result = await outcome
    assert.strictEqual(calls, result === "done" ? 1 : 0)
    assert.include(["done", "aborted"], result)
    assert.strictEqual(await next, "next")
    assert.strictEqual(getEventListeners(signal, "abort").length, 0)
    assert.deepStrictEqual(await locks.query(), nothing)
    return result
  }

  it("an abort that races the grant either comes before it, or changes nothing", async () => {
    const outcomes: Array<unknown> = []
    for (let after = 0; after < 30; after++) {
      const locks = await fresh()
      const holder = await hold(locks, "x")
      const controller = new AbortController()
      outcomes.push(
        await race(locks, controller.signal, async () => {
          await locks.query()
          const released = holder.release()
          for (let i = 0; i < after; i++) await null
          controller.abort("aborted")
          await released
        })
      )
    }
    // The later the abort, the sooner it is too late.
    const first = outcomes.indexOf("done")
    assert.isAbove(first, 0)
    assert.isTrue(outcomes.every((outcome, i) => outcome === (i < first ? "aborted" : "done")))
  })

  it.for([["free", false], ["awaited", true]] as const)(
    "nor does it matter at which operation it comes: %s",
    async ([, awaited]) => {
      const outcomes: Array<unknown> = []
      for (let at = 1, reached = true; reached; at++) {
        const controller = new AbortController()
        let operations = 0
        let started = false
        reached = false
        const scheduler: Scheduler.Scheduler = {
          scheduleTask: (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
          shouldYield: () => {
            if (started && ++operations === at) {
              reached = true
              controller.abort("aborted")
            }
            return false
          }
        }
        const locks = await Effect.runPromise(
          make.pipe(Effect.withScheduler(scheduler), Effect.provide(LockRegistry.layer))
        )
        const holder = awaited ? await hold(locks, "x") : undefined
        started = true
        outcomes.push(
          await race(locks, controller.signal, async () => {
            await locks.query()
            await holder?.release()
          })
        )
      }
      assert.includeMembers(outcomes, ["done", "aborted"])
    }
  )
})

describe("query", () => {
  it("lists what is held and what waits, in order", async () => {
    const locks = await fresh()
    assert.deepStrictEqual(await locks.query(), nothing)
    const holders = [await hold(locks, "x"), await hold(locks, "y", "shared"), await hold(locks, "y", "shared")]
    const waiting = [
      locks.request("x", { mode: "shared" }, () => {}),
      locks.request("x", () => {}),
      locks.request("x", { mode: "shared" }, () => {}),
      locks.request("y", () => {})
    ]
    const { held, pending } = await locks.query()
    const of = (name: string, all: ReadonlyArray<Lock>) => all.filter((one) => one.name === name)
    assert.deepStrictEqual(of("x", held), [exclusive("x")])
    assert.deepStrictEqual(of("y", held), [shared("y"), shared("y")])
    assert.deepStrictEqual(of("x", pending), [shared("x"), exclusive("x"), shared("x")])
    assert.deepStrictEqual(of("y", pending), [exclusive("y")])
    assert.strictEqual(held.length + pending.length, 7)
    await Promise.all(holders.map((holder) => holder.release()))
    await Promise.all(waiting)
    assert.deepStrictEqual(await locks.query(), nothing)
  })
})

describe("errors", () => {
  const isNotSupported = async (promise: Promise<unknown>) => {
    const reason = await rejection(promise)
    assert.isTrue(reason instanceof DOMException)
    assert.strictEqual((reason as DOMException).name, "NotSupportedError")
  }

  it("a name that starts with a hyphen", async () => {
    const locks = await fresh()
    await isNotSupported(locks.request("-x", notCalled))
    await isNotSupported(locks.request("-", { signal: AbortSignal.abort("before") }, notCalled))
    assert.deepStrictEqual(await locks.request("x-", (lock) => lock), exclusive("x-"))
  })

  it("a signal together with ifAvailable", async () => {
    const locks = await fresh()
    await isNotSupported(locks.request("x", { ifAvailable: true, signal: new AbortController().signal }, notCalled))
    await isNotSupported(locks.request("x", { ifAvailable: true, signal: AbortSignal.abort("before") }, notCalled))
    assert.strictEqual(
      await locks.request("x", { ifAvailable: false, signal: new AbortController().signal }, () => 1),
      1
    )
  })

  it("steal", async () => {
    const locks = await fresh()
    await isNotSupported(locks.request("x", { steal: true }, notCalled))
    await isNotSupported(locks.request("x", { steal: true, ifAvailable: true }, notCalled))
    assert.strictEqual(await locks.request("x", { steal: false }, () => 1), 1)
  })
})

describe("together with Effect", () => {
  it("shares its locks with programs that use the same registry and prefix", async () => {
    const registry = await Effect.runPromise(LockRegistry.make)
    const locks = await Effect.runPromise(Effect.provideService(make, LockRegistry, registry))
    const left = await Effect.runPromise(Deferred.make<void>())
    const fiber = Effect.runFork(withLock(Deferred.await(left), "x", { prefix, registry }))
    const elsewhere = Effect.runFork(withLock(Deferred.await(left), "x", { registry }))
    const waits = locks.request("x", () => "after")
    assert.deepStrictEqual(await locks.query(), { held: [exclusive("x")], pending: [exclusive("x")] })
    await Effect.runPromise(Deferred.succeed(left, undefined))
    assert.strictEqual(await waits, "after")
    await Effect.runPromise(Fiber.joinAll([fiber, elsewhere]))
  })
})

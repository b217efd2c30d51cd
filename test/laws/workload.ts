/**
 * A program of many fibers over few keys, drawn from a seed: every way to hold a
 * lock, alone, several at once and one inside another, with every option and
 * outcome, interrupted at any moment, in two registries. It dies when two bodies
 * are where only one may be, when an error is not one that was to be expected,
 * when what the registry told makes no sense, and when anything is left behind.
 *
 * It must end under every seed. That nothing waits for ever is asked of what is
 * promised: who holds a scoped lock, whose cycles nobody sees, or is waited for by
 * the fiber that forked it, does not wait without a limit. (Nor, then, whom it forks.)
 */
import { Cause, Effect, Fiber, identity, Option, Stream } from "effect"
import {
  AcquireLockFailed,
  Deadlock,
  type Held,
  type LocalLockOptions,
  lock,
  lockAll,
  type LockEvent,
  type LockOptions,
  type LockRegistry,
  semaphore,
  synchronized,
  type WaitOptions,
  withLock,
  withLockAll,
  withSemaphore
} from "effect-locks"
import { random } from "../utils/chaos.js"
import { implausible } from "./events.js"
import { innermost, type Inside, Rooms, type Stay } from "./rooms.js"

const fibers = 6
const requests = 3
const names = ["a", "b", "c"]
const counter = "counter"
const permits = 3

const outcomes: ReadonlyArray<Effect.Effect<void, string>> = [
  Effect.void,
  Effect.void,
  Effect.fail("failure"),
  Effect.die("defect")
]

type Body<E> = Effect.Effect<void, E>

/** Where a request is made: the reentrant holds around it, and whether it may wait for ever. */
interface Where {
  readonly inside: Inside | undefined
  readonly limited: boolean
  readonly depth: number
}

type Limits = WaitOptions & { readonly reentrant?: boolean }

type Lockings = AcquireLockFailed | string

/** What a run came across, and how often. */
export type Census = Map<string, number>

/**
 * `lockPaths`, one for each registry, has every second lock held by a file there
 * too: then it needs an `ExternalLock`.
 */
export const workload = (
  make: Effect.Effect<LockRegistry>,
  census: Census = new Map(),
  lockPaths?: readonly [string, string]
) =>
(seed: number) =>
  Effect.gen(function*() {
    const count = (what: string) => Effect.sync(() => census.set(what, (census.get(what) ?? 0) + 1))
    const next = random(seed ^ 0x5bd1e995)
    const below = (n: number) => Math.floor(next() * n)
    const pick = <A>(items: ReadonlyArray<A>): A => items[below(items.length)]!
    const chance = (n: number) => below(n) === 0
    const rooms = new Rooms()
    /** Fibers that nobody who holds a lock waits for. */
    const daemons: Array<Fiber.Fiber<void, string>> = []
    const registries = [yield* make, yield* make]

    const waiting = ({ depth, limited }: Where): WaitOptions => {
      const unlimited: ReadonlyArray<WaitOptions> = limited ? [] : [{}, {}, { fair: true }, { maxWaiting: 2 }]
      const limits = pick<WaitOptions>([...unlimited, { blocking: false }, { timeout: below(6) }])
      return {
        ...limits,
        ...(depth === 0 && chance(6) ? { prefix: "p" } : {}),
        ...(chance(5) ? { priority: below(3) - 1 } : {})
      }
    }

    // The types would have all requests need what only some do.
    const beyond = (registry: number): LocalLockOptions =>
      lockPaths !== undefined && chance(2)
        ? { external: true, lockPath: lockPaths[registry] } satisfies LockOptions as object
        : {}

    /** Judges how a request ended; `reentrant` requests may meet their own shared hold. */
    const judge = (options: Limits, where: Where) => (cause: Cause.Cause<unknown>) =>
      Effect.suspend(() => {
        const mayFail = (error: AcquireLockFailed) =>
          error.outside
            ? false
            : error.reason === "Busy"
            ? options.blocking === false
            : error.reason === "Timeout"
            ? options.timeout !== undefined
            : error.reason === "QueueFull"
            ? options.maxWaiting !== undefined
            : options.reentrant === true
        const mayDie = (defect: unknown) =>
          defect instanceof Deadlock
            ? where.depth > 0 && options.blocking !== false && options.timeout === undefined && isCycle(defect)
            : defect === "defect"
        // Errors of requests further inside were judged there.
        const fine = Array.from(Cause.failures(cause)).every((error) =>
          error === "failure" || error === "judged" || (error instanceof AcquireLockFailed && mayFail(error))
        ) && Array.from(Cause.defects(cause)).every(mayDie)
        if (!fine) {
          rooms.wrong.push(`unexpected: ${Cause.pretty(cause)}`)
        }
        const seen = [...Cause.failures(cause), ...Cause.defects(cause)].filter((error) =>
          error instanceof Error
        )
        return Effect.forEach(seen, (error) => count(error instanceof AcquireLockFailed ? error.reason : error.name))
      })

    const idle: Effect.Effect<void> = Effect.suspend(() =>
      chance(4) ? Effect.sleep(below(4)) : Effect.repeatN(Effect.yieldNow(), below(3))
    )

    /** What is done inside: nothing much, more locking, or forking fibers that lock and may outlive it. */
    const body = (registry: number, where: Where): Body<string> =>
      Effect.suspend(() => {
        const deeper = { ...where, depth: where.depth + 1 }
        const what = where.depth < 3 ? below(7) : 6
        const inner = what < 2
          ? request(registry, deeper)
          : what === 2
          ? both(request(registry, { ...deeper, limited: true }), request(registry, { ...deeper, limited: true }))
          : what === 3
          ? Effect.map(Effect.forkDaemon(request(registry, deeper)), (daemon) => void daemons.push(daemon))
          : Effect.void
        return Effect.zipRight(Effect.zipRight(idle, inner), Effect.zipRight(idle, pick(outcomes)))
      })

    const stay = (
      key: string,
      mode: Stay["mode"],
      enclosing: Stay | undefined,
      use: (stay: Stay) => Body<string>
    ): Body<string> =>
      Effect.acquireUseRelease(
        Effect.sync(() => rooms.enter(key, mode, enclosing)),
        use,
        (stay) =>
          Effect.suspend(() => {
            rooms.leave(key, stay)
            return enclosing !== undefined && !rooms.isIn(key, enclosing) ? count("outlived its hold") : Effect.void
          })
      )

    /** Changes the mode of a hold now and then. */
    const modes = (held: Held, key: string, current: Stay): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (!chance(3)) return Effect.void
        // In one step with the room, whoever interrupts. A failure to upgrade keeps what is held.
        return current.mode === "exclusive"
          ? Effect.uninterruptible(Effect.zipRight(
            Effect.sync(() => rooms.change(key, current, "shared")),
            Effect.catchSomeDefect(
              Effect.zipRight(held.downgrade, count("downgraded")),
              (defect) =>
                isRefusedDowngrade(defect)
                  ? Option.some(Effect.zipRight(
                    Effect.sync(() => rooms.change(key, current, "exclusive")),
                    count("not downgraded")
                  ))
                  : Option.none()
            )
          ))
          : Effect.ignore(
            Effect.uninterruptibleMask((restore) =>
              Effect.flatMap(
                restore(Effect.timeoutOption(Effect.interruptible(held.upgrade), below(5))),
                (upgraded) =>
                  Effect.suspend(() => {
                    // It may have been granted although the timeout came first.
                    if (held.mode === "shared") {
                      return count(upgraded._tag === "Some" ? "not upgraded" : "gave up upgrading")
                    }
                    rooms.change(key, current, "exclusive")
                    return count("upgraded")
                  })
              )
            )
          )
      })

    const one = (registry: number, where: Where): Body<string> => {
      const reentrant = chance(2)
      const scoped = chance(3)
      const mode = pick(["exclusive", "shared"] as const)
      const name = pick(names)
      const options = { ...waiting(where), ...beyond(registry), mode, reentrant, registry: registries[registry]! }
      const key = `${registry}/${options.prefix ?? ""}/${name}`
      const enclosing = reentrant ? innermost(where.inside, key) : undefined
      const inner = (hold: Stay): Where => ({
        ...where,
        limited: where.limited || scoped,
        inside: reentrant ? { key, stay: hold, outer: where.inside } : where.inside
      })
      const enter = (use: (stay: Stay) => Body<string>) => stay(key, mode, enclosing, use)
      const plain = enter((hold) => body(registry, inner(hold)))
      const whole: Effect.Effect<void, Lockings> = scoped
        ? Effect.scoped(
          Effect.flatMap(lock(name, options), (held) =>
            enter((hold) =>
              Effect.zipRight(
                modes(held, key, hold),
                Effect.zipRight(
                  body(registry, inner(hold)),
                  modes(held, key, hold)
                )
              )
            ))
        )
        : chance(3)
        ? synchronized(name, options)(() => plain)()
        : withLock(plain, name, options)
      return judged(whole, options, where)
    }

    const several = (registry: number, where: Where): Body<string> => {
      const reentrant = chance(3)
      const options = { ...waiting(where), ...beyond(registry), reentrant, registry: registries[registry]! }
      const targets = Array.from({ length: 1 + below(3) }, () => ({
        name: pick(names),
        mode: pick(["exclusive", "shared"] as const)
      }))
      const strongest = new Map<string, Stay["mode"]>()
      for (const { mode, name } of targets) {
        if (strongest.get(name) !== "exclusive") strongest.set(name, mode)
      }
      const scoped = chance(3)
      const enter = (locks: ReadonlyArray<[string, Stay["mode"]]>, inner: Where): Body<string> => {
        const [first, ...others] = locks
        if (first === undefined) return body(registry, inner)
        const key = `${registry}/${options.prefix ?? ""}/${first[0]}`
        const enclosing = reentrant ? innermost(where.inside, key) : undefined
        return stay(
          key,
          first[1],
          enclosing,
          (hold) => enter(others, reentrant ? { ...inner, inside: { key, stay: hold, outer: inner.inside } } : inner)
        )
      }
      const inside = enter(Array.from(strongest), { ...where, limited: where.limited || scoped })
      const whole: Effect.Effect<void, Lockings> = scoped
        ? Effect.scoped(Effect.zipRight(lockAll(targets, options), inside))
        : withLockAll(inside, targets, options)
      return judged(whole, options, where)
    }

    const counting = (registry: number, where: Where): Body<string> => {
      const take = 1 + below(permits)
      const scoped = chance(3)
      const options = { ...waiting(where), permits, take, registry: registries[registry]! }
      const key = `${registry}/${options.prefix ?? ""}/${counter}`
      const inside = Effect.acquireUseRelease(
        Effect.sync(() => rooms.take(key, take, permits)),
        () => body(registry, { ...where, limited: where.limited || scoped }),
        () => Effect.sync(() => rooms.take(key, -take, permits))
      )
      const whole: Effect.Effect<void, Lockings> = scoped
        ? Effect.scoped(Effect.zipRight(semaphore(counter, options), inside))
        : withSemaphore(inside, counter, options)
      return judged(whole, options, where)
    }

    const judged = (whole: Effect.Effect<void, Lockings>, options: Limits, where: Where): Body<string> =>
      whole.pipe(
        Effect.tapErrorCause((cause) => judge(options, where)(cause)),
        Effect.catchAll(() => chance(2) ? Effect.void : Effect.fail("judged")),
        Effect.catchSomeDefect((defect) =>
          Option.liftPredicate(defect, (it) => it instanceof Deadlock).pipe(
            Option.as(Effect.fail("judged"))
          )
        )
      )

    const request = (registry: number, where: Where): Body<string> =>
      Effect.suspend(() => pick([one, one, several, counting])(registry, where))

    const worker = Effect.repeatN(
      Effect.gen(function*() {
        const whole = request(below(registries.length), { inside: undefined, limited: false, depth: 0 })
        const fiber = yield* Effect.fork(chance(6) ? Effect.uninterruptible(whole) : identity(whole))
        if (chance(3)) {
          yield* Effect.repeatN(Effect.yieldNow(), below(20))
          yield* Fiber.interrupt(fiber)
        }
        yield* Fiber.await(fiber)
      }),
      requests - 1
    )

    const told: Array<LockEvent> = []
    const listener = seed % 4 === 0
      ? yield* Effect.fork(Stream.runForEach(registries[0]!.changes, (event) => Effect.sync(() => told.push(event))))
      : undefined
    if (listener !== undefined) yield* Effect.repeatN(Effect.yieldNow(), 50)

    yield* Effect.forEach(Array.from({ length: fibers }), () => worker, { concurrency: "unbounded", discard: true })

    // Those that are forked meanwhile are awaited too.
    for (let i = 0; i < daemons.length; i++) yield* Fiber.await(daemons[i]!)

    if (listener !== undefined) {
      yield* Effect.repeatN(Effect.yieldNow(), 2000)
      yield* Fiber.interrupt(listener)
      rooms.wrong.push(...implausible(told, ({ name }) => name === counter ? permits : Infinity))
    }
    for (const registry of registries) {
      const left = yield* registry.snapshot
      if (left.length > 0) rooms.wrong.push(`${left.length} locks left behind`)
    }
    if (rooms.wrong.length > 0) return yield* Effect.dieMessage(rooms.wrong.join("; "))
  })

/** Both at once. (`Effect.all` hangs when it is interrupted before the fiber that it forks first has begun.) */
const both = <E>(one: Effect.Effect<void, E>, other: Effect.Effect<void, E>): Effect.Effect<void, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.all([Effect.fork(restore(one)), Effect.fork(restore(other))]), (fibers) =>
      Effect.ensuring(
        restore(Effect.forEach(fibers, Fiber.join, { discard: true })),
        Fiber.interruptAll(fibers)
      ))
  )

/** A fiber that outlived an inner hold may be inside exclusively still. */
const isRefusedDowngrade = (defect: unknown): boolean =>
  Cause.isIllegalArgumentException(defect) && defect.message.includes("an exclusive request inside the hold")

/** Does each wait for the next, and the last for the first? */
const isCycle = ({ cycle, fiberId }: Deadlock): boolean =>
  cycle.length > 0 && cycle[0]!.request.fiberId.id === fiberId.id &&
  cycle.every(({ hold }, i) => hold.fiberId.id === cycle[(i + 1) % cycle.length]!.request.fiberId.id)

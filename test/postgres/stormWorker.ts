/**
 * A process of the storm: its fibers hold locks, in all ways there are, until each has had as many grants as it was
 * told. What came to nothing or was lost does not count, and is asked for again.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import {
  Cause,
  Effect,
  Exit,
  Fiber,
  FiberId,
  Layer,
  Logger,
  LogLevel,
  Option,
  Redacted,
  Schedule,
  type Scope
} from "effect"
import type { AcquireLockFailed, ExternalLock, ExternalLockError, Held, LockLost } from "../../src/index.ts"
import { lock, lockAll, LockRegistry, withLock, withLockAll } from "../../src/index.ts"
import * as PostgresLock from "../../src/PostgresLock.ts"
import type { Message, Work } from "./stormMessages.ts"
import { Random } from "./stormRandom.ts"
import type { Mode, Outcome, Part } from "./stormRegister.ts"

const work = JSON.parse(process.argv[2]!) as Work
const random = new Random(work.seed)

let told: Array<Message> = []
const flush = (): void => {
  if (told.length > 0) process.send!(told)
  told = []
}
/** News may wait a little for what is said next. */
const tell = (message: Message): void => {
  if (told.push(message) === 1) setImmediate(flush)
}

const met = (what: string) => tell({ is: "met", what })

const waiting = new Map<number, () => void>()
process.on("message", (number: number) => {
  waiting.get(number)?.()
  waiting.delete(number)
})
process.on("disconnect", () => process.exit(1))

let asked = 0
const ask = (message: (number: number) => Message): Effect.Effect<void> =>
  Effect.async((resume) => {
    const number = asked++
    waiting.set(number, () => resume(Effect.void))
    tell(message(number))
    flush()
  })

const block = (milliseconds: number): void => {
  const until = performance.now() + milliseconds
  while (performance.now() < until);
}

let granted = 0

/** One grant: who asked for it looks here whether it came to it, and what it was told. */
class Visit {
  readonly id = `${work.application}.${work.seed}.${granted++}`
  isInside = false
  losses: ReadonlyArray<Fiber.RuntimeFiber<LockLost>> = []
  private readonly isStubborn: boolean
  constructor(isStubborn: boolean) {
    this.isStubborn = isStubborn
  }

  /** What is done under the locks. Who is stubborn does not let itself be interrupted when the lock is lost. */
  body(parts: ReadonlyArray<Part>): Effect.Effect<void> {
    return Effect.uninterruptibleMask((restore) => {
      this.isInside = true
      const inside = Effect.zipRight(
        ask((number) => ({ is: "enter", number, grant: this.id, parts })),
        this.stay
      )
      return Effect.matchCauseEffect((this.isStubborn ? Effect.uninterruptible : restore)(inside), {
        onFailure: (cause) => Effect.zipRight(this.leave(false), Effect.failCause(cause)),
        onSuccess: () => this.leave(true)
      })
    })
  }

  private get stay(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (random.once(200)) {
        met("blocked event loops")
        block(random.between(10, 60))
      }
      return random.once(200)
        ? Effect.sleep(random.between(5, 40))
        : random.once(4)
        ? Effect.sleep(random.between(0, 2))
        : Effect.yieldNow()
    })
  }

  private leave(writes: boolean): Effect.Effect<void> {
    return ask((number) => ({ is: "leave", number, grant: this.id, writes }))
  }

  /** What was on its way to the register when the lock was lost. */
  get late(): Effect.Effect<void> {
    return ask((number) => ({ is: "write", number, grant: this.id }))
  }

  /** Of scoped locks: nobody else interrupts them. */
  scoped(
    helds: ReadonlyArray<Held<ExternalLockError>>,
    modes: ReadonlyArray<Mode>,
    keys: ReadonlyArray<string>
  ) {
    return Effect.suspend(() => {
      const lost = Effect.raceAll(helds.map((held) => held.lost))
      const parts = helds.map(({ token }, i) => ({ key: keys[i]!, mode: modes[i]!, token: String(token) }))
      return Effect.zipRight(
        Effect.map(Effect.forEach(helds, (held) => Effect.forkDaemon(Effect.flip(held.lost))), (fibers) => {
          this.losses = fibers
        }),
        this.isStubborn ? this.body(parts) : Effect.raceFirst(this.body(parts), lost)
      )
    })
  }
}

/** A way to hold, drawn once for each grant. */
interface Plan {
  readonly way: "withLock" | "lock" | "withLockAll" | "lockAll"
  readonly keys: ReadonlyArray<string>
  readonly modes: ReadonlyArray<Mode>
}

const draw = (): Plan => {
  const keys = random.shuffle(work.keys)
  const mode = (): Mode => random.once(3) ? "shared" : "exclusive"
  const several = random.once(6)
  return several
    ? { way: random.pick(["withLockAll", "lockAll"]), keys: keys.slice(0, 2), modes: [mode(), mode()] }
    : { way: random.pick(["withLock", "lock"]), keys: keys.slice(0, 1), modes: [mode()] }
}

const external = { external: true } as const
type Failure = AcquireLockFailed | ExternalLockError | LockLost
type Services = LockRegistry | ExternalLock

const hold = (
  { keys, modes, way }: Plan,
  visit: Visit,
  timeout: number | undefined
): Effect.Effect<void, Failure, Services> => {
  const options = { ...external, timeout }
  const targets = keys.map((name, i) => ({ name, mode: modes[i]! }))
  const parts = keys.map((key, i): Part => ({ key, mode: modes[i]!, token: undefined }))
  const scoped = (
    locks: Effect.Effect<
      ReadonlyArray<Held<ExternalLockError>>,
      AcquireLockFailed | ExternalLockError,
      Services | Scope.Scope
    >
  ) => Effect.scoped(Effect.flatMap(locks, (helds) => visit.scoped(helds, modes, keys)))
  switch (way) {
    case "withLock":
      return withLock(visit.body(parts), keys[0]!, { ...options, mode: modes[0] })
    case "withLockAll":
      return withLockAll(visit.body(parts), targets, options)
    case "lock":
      return scoped(Effect.map(lock(keys[0]!, { ...options, mode: modes[0] }), (held) => [held]))
    case "lockAll":
      return scoped(lockAll(targets, options))
  }
}

/** Interrupts it while it waits, but not when it is in. */
const impatient = (effect: Effect.Effect<void, Failure, Services>, visit: Visit) =>
  Effect.flatMap(Effect.fork(effect), (fiber) =>
    Effect.flatMap(Effect.sleep(random.between(0, 30)), () => {
      if (fiber.unsafePoll() === null && !visit.isInside) {
        met("interrupts of waiters")
        fiber.unsafeInterruptAsFork(fiber.id())
      }
      return Fiber.join(fiber)
    }))

/** Was it told of a loss, in the end? */
const outcomeOf = (visit: Visit, exit: Exit.Exit<void, Failure>): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    if (failure?._tag === "LockLost") return "lost"
    // A loss that shows at the end of a hold is told before it is over, but whoever listens is a fiber, with a turn.
    for (let turns = 0; turns < 5; turns++) yield* Effect.yieldNow()
    const told = visit.losses.some((fiber) => fiber.unsafePoll() !== null)
    yield* Fiber.interruptAllAs(visit.losses, FiberId.none)
    if (told) return "lost"
    return Exit.isSuccess(exit) ? "kept" : "interrupted"
  })

/** Tries once. */
const attempt = (plan: Plan): Effect.Effect<boolean, never, Services> =>
  Effect.gen(function*() {
    const visit = new Visit(random.once(4))
    const [timeout, mayBeInterrupted] = random.once(8)
      ? [random.between(0, 30), false]
      : [undefined, random.once(8)]
    const holding = hold(plan, visit, timeout)
    const exit = yield* Effect.exit(mayBeInterrupted ? impatient(holding, visit) : holding)
    if (visit.isInside) {
      const outcome = yield* outcomeOf(visit, exit)
      tell({ is: "ended", grant: visit.id, outcome })
      if (outcome === "lost") met(`losses told (${plan.way})`)
      if (outcome === "lost" && random.once(2)) yield* visit.late
      if (outcome === "kept") return true
    }
    if (Exit.isFailure(exit)) {
      const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
      if (failure?._tag === "AcquireLockFailed") met(`waits ended (${failure.reason})`)
      else if (failure?._tag === "ExternalLockError") {
        met(`errors (${failure.reason})`)
        if (failure.reason !== "Unavailable") tell({ is: "complaint", text: failure.message })
        yield* Effect.sleep(random.between(5, 50))
      } else if (failure === undefined && !Cause.isInterruptedOnly(exit.cause)) {
        tell({ is: "complaint", text: Cause.pretty(exit.cause) })
      }
    }
    return false
  })

const fiber = (index: number): Effect.Effect<void, never, Services> =>
  Effect.gen(function*() {
    for (let left = work.remaining[index]!; left > 0; left--) {
      const plan = draw()
      let isDone = false
      while (!isDone) {
        tell({ is: "asks", fiber: index, what: `${plan.way} ${plan.keys.map((key, i) => `${key}:${plan.modes[i]}`)}` })
        isDone = yield* attempt(plan)
      }
      tell({ is: "done", fiber: index })
      if (random.once(3)) yield* Effect.sleep(random.between(0, 3))
    }
    tell({ is: "asks", fiber: index, what: "nothing" })
  })

const database = PgClient.layer({
  url: Redacted.make(work.url),
  applicationName: work.application,
  maxConnections: 1
})
const layer = (work.kind === "session" ? PostgresLock.layer : PostgresLock.layerLease)({ silence: work.silence })
const services = Layer.merge(LockRegistry.layer, Layer.provide(layer, database))

const program = Effect.gen(function*() {
  // The network may be away just now.
  const context = yield* Effect.retry(Layer.build(services), Schedule.spaced("50 millis"))
  yield* Effect.provide(
    Effect.forEach(work.remaining, (_, index) => fiber(index), { concurrency: "unbounded", discard: true }),
    context
  )
})

// A loss that only a log would tell is seen all the same.
Effect.runCallback(Logger.withMinimumLogLevel(Effect.scoped(program), LogLevel.Error), {
  onExit: (exit) => {
    if (Exit.isFailure(exit)) tell({ is: "complaint", text: Cause.pretty(exit.cause) })
    flush()
    process.removeAllListeners("disconnect")
    process.disconnect()
  }
})

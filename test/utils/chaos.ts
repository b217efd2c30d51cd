/**
 * One seed, one interleaving: the seed decides when a running fiber yields,
 * which ready fiber runs next, and when the clock moves. Everything runs in one
 * synchronous loop, so a program that can go no further is seen to be stuck;
 * no wall-clock time decides anything.
 */
import type { Scheduler } from "effect"
import { Cause, Clock, Duration, Effect, Exit } from "effect"

/** mulberry32 */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

// Effect 3 spends nine operations on a forced yield itself, so a smaller
// budget than ten never runs the program.
const minBudget = 10

/** A program that takes more steps than this goes on for ever: it asks again and again for what never comes. */
const mostSteps = 500_000

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

class Chaos implements Scheduler.Scheduler, Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly next: () => number
  private readonly ready: Array<() => void> = []
  private readonly sleepers = new Set<Sleeper>()
  private budget: number
  private now = 0

  constructor(seed: number) {
    this.next = random(seed)
    this.budget = this.drawBudget()
  }

  private drawBudget(): number {
    return minBudget + Math.floor(this.next() * 12)
  }

  shouldYield(fiber: { readonly currentOpCount: number }): number | false {
    if (fiber.currentOpCount < this.budget) return false
    this.budget = this.drawBudget()
    return 0
  }

  scheduleTask(task: () => void): void {
    this.ready.push(task)
  }

  unsafeCurrentTimeMillis(): number {
    return this.now
  }
  unsafeCurrentTimeNanos(): bigint {
    return BigInt(this.now) * 1_000_000n
  }
  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const sleeper = { at: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      this.sleepers.add(sleeper)
      return Effect.sync(() => this.sleepers.delete(sleeper))
    })
  }

  /** Runs until nothing is ready and nobody sleeps. */
  drain(): void {
    for (let step = 0; step < mostSteps && (this.ready.length > 0 || this.sleepers.size > 0); step++) {
      if (this.sleepers.size > 0 && (this.ready.length === 0 || this.next() < 0.05)) {
        const first = Array.from(this.sleepers).reduce((a, b) => b.at < a.at ? b : a)
        this.sleepers.delete(first)
        this.now = Math.max(this.now, first.at)
        first.wake()
      } else {
        const [task] = this.ready.splice(Math.floor(this.next() * this.ready.length), 1)
        task!()
      }
    }
  }
}

/** Runs `program` under `seed`; an exit of `undefined` means that it got stuck. */
export const run = <A, E>(program: Effect.Effect<A, E>, seed: number): Exit.Exit<A, E> | undefined => {
  const chaos = new Chaos(seed)
  const fiber = Effect.runFork(Effect.withClock(program, chaos), { scheduler: chaos })
  chaos.drain()
  return fiber.unsafePoll() ?? undefined
}

/** The seeds of a run: those of `CHAOS_SEED` (one, or several with commas) when it is set, else the first `count`. */
export const seeds = (count: number): ReadonlyArray<number> =>
  process.env.CHAOS_SEED === undefined
    ? Array.from({ length: count }, (_, seed) => seed)
    : process.env.CHAOS_SEED.split(",").map(Number)

/** What went wrong under the first seed that fails, with the command that replays it. */
export const failure = async <E>(
  program: (seed: number) => Effect.Effect<void, E>,
  count: number
): Promise<string | undefined> => {
  for (const seed of seeds(count)) {
    // Whoever runs the tests is to hear of this process now and then.
    if (seed % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
    const exit = run(program(seed), seed)
    if (exit === undefined) {
      return `stuck under seed ${seed}; replay: CHAOS_SEED=${seed} npx vitest run test/chaos.test.ts`
    }
    if (Exit.isFailure(exit)) {
      return `${
        Cause.pretty(exit.cause)
      }\nunder seed ${seed}; replay: CHAOS_SEED=${seed} npx vitest run test/chaos.test.ts`
    }
  }
  return undefined
}

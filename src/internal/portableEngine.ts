/**
 * Lock files by the protocol of `portableLock.ts`: who waits asks again and again,
 * and who holds says at intervals that it is alive, and sees then whether its token
 * is there still.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { ExternalHold, type ExternalRequest, type Restore } from "../ExternalLock.ts"
import { ExternalLockError, type LockKey, LockLost } from "../LockError.ts"
import type { FileEngine, Surroundings } from "./fileEngine.ts"
import * as FileError from "./fileError.ts"
import { directoryMode } from "./lockPath.ts"
import * as Owner from "./owner.ts"
import { type Draft, modeOf, PortableLock } from "./portableLock.ts"

/** All milliseconds. */
const beatEvery = 1000
const firstDelay = 2
const longestDelay = 100
const growth = 1.5

/** A time of the machine, whatever Effect's clock says: the files are not of the program's time either. */
const pause = (millis: number): Effect.Effect<void> =>
  Effect.async((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

class PortableHold extends ExternalHold {
  readonly key: LockKey
  own: Draft
  /** By its holder. */
  removed = false
  /** Its token may have either of two names. */
  private renaming = false
  private readonly lock: PortableLock
  private readonly end: (hold: PortableHold) => void
  constructor(key: LockKey, token: Draft, lock: PortableLock, end: (hold: PortableHold) => void) {
    super()
    this.key = key
    this.own = token
    this.lock = lock
    this.end = end
  }

  get release(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.end(this)
      return this.removed ? Effect.void : Effect.matchEffect(this.lock.release(this.own), {
        onFailure: (error) => Effect.logWarning(`lock ${this.key} is held on: ${this.error(error).message}`),
        onSuccess: (was) => Effect.sync(() => this.isThere(was))
      })
    })
  }

  /** It would have to go before readers who cannot be told to wait. */
  readonly tryUpgrade = Effect.sync(() => this.own.mode === "exclusive")

  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return Effect.suspend(() =>
      this.own.mode === "shared"
        ? Effect.void
        : Effect.ensuring(this.rename, Effect.sync(() => this.renaming = false))
    )
  }

  private get rename(): Effect.Effect<void, ExternalLockError> {
    this.renaming = true
    return Effect.matchEffect(this.lock.downgrade(this.own), {
      onFailure: (error) =>
        FileError.isMissing(error) ? Effect.sync(() => this.isThere(false)) : Effect.fail(this.error(error)),
      onSuccess: (token) => Effect.sync(() => this.own = token)
    })
  }

  get check(): Effect.Effect<void> {
    return this.beat
  }

  /** Says that its holder is alive. Who cannot say so may be taken to be gone; its token will tell. */
  get beat(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const token = this.own
      return Effect.match(this.lock.beat(token), {
        onFailure: () => {},
        // It may have become another one meanwhile, or be about to.
        onSuccess: (was) => this.isThere(was || this.renaming || token !== this.own)
      })
    })
  }

  private isThere(was: boolean): void {
    if (was || this.removed) return
    const explanation = `its token ${this.own.token} was removed from ${this.own.lock}, by somebody, or by ` +
      `another process that had not heard of this one for too long`
    this.lose(new LockLost({ key: this.key, explanation, completed: false }))
  }

  private error(cause: unknown): ExternalLockError {
    return FileError.make(this.own.lock, cause, this.key)
  }
}

export const make = (silence: Duration.Duration) =>
(
  { fileMode, fs, path, prepare }: Surroundings
): Effect.Effect<FileEngine, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<never>()
    const self = yield* Owner.self(fs)
    const lock = new PortableLock(fs, path, self, directoryMode(fileMode), fileMode, Duration.toMillis(silence))
    const holds = new Set<PortableHold>()
    const swept = new Set<string>()

    let timer: ReturnType<typeof setInterval> | undefined
    const look = () => {
      if (timer !== undefined) return
      timer = setInterval(() => {
        if (holds.size === 0) return stop()
        Runtime.runFork(runtime)(Effect.forEach(Array.from(holds), (hold) => hold.beat, { discard: true }))
      }, beatEvery)
      timer.unref?.()
    }
    const stop = () => {
      clearInterval(timer)
      timer = undefined
    }

    const hold = ({ key }: ExternalRequest, token: Draft): ExternalHold => {
      const hold = new PortableHold(key, token, lock, (hold) => holds.delete(hold))
      holds.add(hold)
      look()
      return hold
    }

    const draft = ({ mode, place }: ExternalRequest): Effect.Effect<Draft, unknown> => {
      const lockPath = path.dirname(place)
      const make = lock.draft(place, mode)
      const first = swept.has(lockPath)
        ? Effect.void
        : Effect.zipRight(Effect.sync(() => swept.add(lockPath)), lock.sweep(lockPath))
      return Effect.zipRight(
        first,
        // The directory may have been removed since it was made.
        Effect.catchIf(make, FileError.isMissing, () => Effect.zipRight(prepare(lockPath), make))
      )
    }

    /** Asks with one draft, until `after` a vain attempt there is to be no other. */
    const acquireBy = (
      request: ExternalRequest,
      after: (attempt: number) => Effect.Effect<boolean>
    ): Effect.Effect<Option.Option<ExternalHold>, ExternalLockError> =>
      Effect.flatMap(draft(request), (token) => {
        const ask = (attempt: number): Effect.Effect<Option.Option<ExternalHold>, unknown> =>
          Effect.flatMap(lock.tryHold(token), (held) =>
            held
              ? Effect.succeedSome(hold(request, token))
              : Effect.flatMap(after(attempt), (again) =>
                again ? ask(attempt + 1) : Effect.as(lock.discard(token), Option.none())))
        return Effect.onError(ask(0), () =>
          lock.discard(token))
      }).pipe(Effect.mapError((error) =>
        error instanceof ExternalLockError ? error : FileError.make(request.place, error, request.key)
      ))

    const pauseAfter = (attempt: number) =>
      pause(Math.min(longestDelay, firstDelay * growth ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2))

    return {
      guarantees: {
        reach: "host",
        // At once, and for as long as it lives, where it can be seen: a process of this machine and container, on Linux.
        freedOnDeath: "after a silence",
        excludesWhile: { slow: false, paused: false, cutOff: false },
        starvationFree: false,
        arrivalOrder: false,
        fencing: false,
        shared: true,
        lossSeenWithin: Duration.millis(2 * beatEvery)
      },
      ending: ".lock",
      tryAcquire: (request) =>
        acquireBy(request, () =>
          Effect.succeed(false)),
      acquire: (request: ExternalRequest, restore: Restore) =>
        Effect.map(
          acquireBy(request, (attempt) => Effect.as(restore(pauseAfter(attempt)), true)),
          Option.getOrThrow
        ),
      remove: (place, hold) =>
        Effect.suspend(() => {
          if (!(hold instanceof PortableHold)) return Effect.dieMessage("the hold is not of a directory")
          hold.removed = true
          return Effect.tapError(lock.remove(place), () => Effect.sync(() => hold.removed = false))
        }),
      holders: (place) =>
        Effect.gen(function*() {
          const tokens = yield* lock.tokens(place)
          const owners = yield* Effect.forEach(tokens, (token) =>
            Effect.gen(function*() {
              const owner = yield* lock.ownerOf(place, token)
              if (owner === undefined || (yield* Owner.look(fs, self, owner)) === "gone") return []
              return [{ pid: owner.pid, command: owner.command, mode: modeOf(token) }]
            }))
          return { holders: owners.flat(), complete: true }
        })
    }
  })

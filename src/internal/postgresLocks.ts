/**
 * Locks of PostgreSQL sessions.
 *
 * A lock is asked for in the main session, and if it is not free, awaited in a
 * session of its own. The server keeps one line for each lock, which nobody overtakes,
 * neither who asks without waiting.
 *
 * A session is granted at once what it has already. So a session is asked for a
 * place only while nothing of that place is in it, being asked for in it or
 * given back in it: then what the server grants excludes all others, those of this
 * layer too. Readers of a layer share what one of them has; whether somebody waits for
 * them to leave is asked in a session that has nothing.
 *
 * Invariant: what is locked in a session is a grip of its place, which somebody holds
 * or is about to hold; or it is being unlocked; or the session is being cleared.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import type { ExternalHold, ExternalRequest, Restore } from "../ExternalLock.ts"
import type { ExternalLockError } from "../LockError.ts"
import { Contention } from "./contention.ts"
import { Grip, Place, PostgresHold, type Readers, type Ways } from "./postgresGrip.ts"
import { type Question, type Questions, yes } from "./postgresQuestions.ts"
import type { Sessions } from "./postgresSessions.ts"
import { type Answered } from "./postgresSessions.ts"

type Tried = Effect.Effect<Option.Option<ExternalHold>, ExternalLockError>

const none: Tried = Effect.succeedNone

const wasNotLocked =
  "PostgreSQL says that it was not locked: something unlocked it in a session of these locks, which " +
  "nothing else should use"

export class PostgresLocks implements Ways {
  private readonly sessions: Sessions
  private readonly questions: Questions
  private readonly places = new Map<string, Place>()
  private readonly contention = new Contention()

  constructor(sessions: Sessions, questions: Questions) {
    this.sessions = sessions
    this.questions = questions
  }

  private at(number: string): Place {
    const known = this.places.get(number)
    if (known !== undefined) return known
    const place = new Place(number, (place) => {
      if (this.places.get(number) === place) this.places.delete(number)
    })
    this.places.set(number, place)
    return place
  }

  readonly tryAcquire = (request: ExternalRequest): Tried =>
    Effect.suspend(() => {
      const { objection } = this.sessions
      if (objection !== undefined) return Effect.fail(objection.of(request.key))
      const isUntouched = this.places.get(request.place)?.isUntouched ?? true
      if (request.waits === true && isUntouched && this.contention.isRecent(request.place)) return none
      const place = this.at(request.place)
      if (request.mode === "shared") return this.tryRead(place, request)
      return place.isUntouched ? this.askFor(place, request) : none
    })

  private tryRead(place: Place, request: ExternalRequest): Tried {
    const { joinable } = place
    if (joinable !== undefined) return this.join(joinable, request)
    if (place.isChanging) return Effect.zipRight(place.changed, this.tryAcquire(request))
    return place.isUntouched ? this.askFor(place, request) : none
  }

  private askFor(place: Place, { key, mode }: ExternalRequest): Tried {
    place.isAsked = true
    const answered = () => {
      place.isAsked = false
      place.change()
    }
    return Effect.matchCauseEffect(this.sessions.main.ask(this.questions.tryLock[mode], place.number), {
      onFailure: (cause) => {
        answered()
        return failFor(key, cause)
      },
      onSuccess: ({ answer, session }) => {
        const grip = answer === null ? undefined : new Grip(session, place, mode)
        if (answer === null) this.contention.add(place.number)
        answered()
        return grip === undefined ? none : Effect.succeedSome(new PostgresHold(grip, key, answer!, this))
      }
    })
  }

  /** Reads along with those who do, unless somebody waits for them to leave. */
  private join(grip: Grip, request: ExternalRequest): Tried {
    const { key } = request
    grip.expected++
    return Effect.matchCauseEffect(this.sessions.probe.ask(this.questions.join, grip.place.number), {
      onFailure: (cause) => Effect.zipRight(this.unexpect(grip), failFor(key, cause)),
      onSuccess: ({ answer }) =>
        answer === null
          ? Effect.zipRight(this.unexpect(grip), none)
          : Effect.matchCauseEffect(this.joined(grip, request), {
            // It was lost meanwhile, or cannot be asked.
            onFailure: (cause) => grip.session.ended === undefined ? failFor(key, cause) : this.tryAcquire(request),
            onSuccess: Effect.succeedSome
          })
    })
  }

  /** Makes one who was expected a holder, with a token that is drawn where the lock is. */
  private joined(grip: Grip, { key }: ExternalRequest): Effect.Effect<ExternalHold, ExternalLockError> {
    return Effect.matchCauseEffect(grip.session.ask(this.questions.draw, grip.place.number), {
      onFailure: (cause) => Effect.zipRight(this.unexpect(grip), Effect.failCause(cause)),
      onSuccess: (token) => {
        const hold = new PostgresHold(grip, key, token!, this)
        grip.expected--
        return Effect.succeed(hold)
      }
    })
  }

  private unexpect(grip: Grip): Effect.Effect<void> {
    return Effect.suspend(() => {
      grip.expected--
      return this.endIfUnwanted(grip)
    })
  }

  readonly acquire = (request: ExternalRequest, restore: Restore): Effect.Effect<ExternalHold, ExternalLockError> =>
    Effect.mapError(
      request.mode === "shared" ? this.awaitReading(request, restore) : this.awaitAlone(request, restore),
      (error) => error.of(request.key)
    )

  private awaitAlone(request: ExternalRequest, restore: Restore): Effect.Effect<ExternalHold, ExternalLockError> {
    return Effect.map(
      this.await(request, restore),
      ({ answer, session }) =>
        new PostgresHold(new Grip(session, this.at(request.place), "exclusive"), request.key, answer!, this)
    )
  }

  /** Waits in a session of its own, which is given back when it is not granted. */
  private await(request: ExternalRequest, restore: Restore): Effect.Effect<Answered, ExternalLockError> {
    const { mode, place } = request
    return Effect.flatMap(
      this.sessions.take(restore),
      (session) =>
        Effect.matchCauseEffect(session.wait(this.questions.lock[mode], place, restore), {
          onFailure: (cause) => {
            this.sessions.left(session)
            return Effect.failCause(cause)
          },
          onSuccess: (answer) => Effect.succeed({ session, answer })
        })
    )
  }

  /** All readers of a layer who wait for a place wait as one: it would be a session for each otherwise. */
  private awaitReading(request: ExternalRequest, restore: Restore): Effect.Effect<ExternalHold, ExternalLockError> {
    return Effect.suspend(() => {
      const readers = this.at(request.place).readers ?? this.gather(request)
      readers.count++
      return Effect.matchCauseEffect(Effect.flatten(restore(Fiber.await(readers.waiter))), {
        onFailure: (cause) => Effect.zipRight(this.leaveReaders(readers), Effect.failCause(cause)),
        onSuccess: (grip) => this.joined(grip, request)
      })
    })
  }

  private gather(request: ExternalRequest): Readers {
    const place = this.at(request.place)
    const over = () => {
      if (place.readers === readers) place.readers = undefined
      place.change()
    }
    const wait = Effect.matchCauseEffect(this.await(request, Effect.interruptible), {
      onFailure: (cause) => {
        over()
        return Effect.failCause(cause)
      },
      onSuccess: ({ session }) => {
        const grip = new Grip(session, place, "shared")
        grip.expected = readers.count
        readers.grip = grip
        over()
        return Effect.succeed(grip)
      }
    })
    // When there are readers.
    const begun = Effect.uninterruptible(Effect.zipRight(Effect.yieldNow(), wait))
    const readers: Readers = { place, count: 0, grip: undefined, waiter: Effect.runFork(begun) }
    place.readers = readers
    return readers
  }

  /** The last to leave before it is granted ends the wait, and what comes of it all the same. */
  private leaveReaders(readers: Readers): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (readers.grip !== undefined) return this.unexpect(readers.grip)
      if (--readers.count > 0) return Effect.void
      // Whoever comes now waits anew.
      if (readers.place.readers === readers) readers.place.readers = undefined
      return Effect.flatMap(
        Fiber.interrupt(readers.waiter),
        () => readers.grip === undefined ? Effect.void : this.endIfUnwanted(readers.grip)
      )
    })
  }

  private endIfUnwanted(grip: Grip): Effect.Effect<void> {
    return grip.isWanted || grip.isEnding || grip.session.ended !== undefined ? Effect.void : this.end(grip, undefined)
  }

  readonly release = (hold: PostgresHold): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { grip } = hold
      if (grip.session.ended !== undefined || !grip.holds.has(hold)) return Effect.void
      if (isLast(hold)) return this.end(grip, hold)
      // It stays locked for the others; whether it was until now is to be known all the same.
      return Effect.flatMap(this.check(hold), () => {
        if (grip.session.ended !== undefined) return Effect.void
        if (isLast(hold)) return this.end(grip, hold)
        grip.holds.delete(hold)
        return Effect.void
      })
    })

  readonly check = ({ grip }: PostgresHold): Effect.Effect<void> =>
    Effect.ignore(grip.session.ask(this.questions.ping, grip.place.number))

  /** Unlocks it. `last`, who has it until then, is told when it was not locked any more. */
  private end(grip: Grip, last: PostgresHold | undefined): Effect.Effect<void> {
    grip.isEnding = true
    const { place, session } = grip
    const ended = () => {
      if (session.ended !== undefined) return
      grip.leave()
      if (session.tenants.size === 0) this.sessions.left(session)
    }
    return Effect.match(Effect.forEach(grip.locked, (mode) => session.ask(this.questions.unlock[mode], place.number)), {
      // The session has ended, and told.
      onFailure: ended,
      onSuccess: (answers) => {
        if (answers.some((answer) => answer !== yes)) last?.loseAs(wasNotLocked)
        ended()
      }
    })
  }

  readonly tryUpgrade = (hold: PostgresHold): Effect.Effect<boolean, ExternalLockError> =>
    changing(hold, () => {
      const { grip } = hold
      if (hold.lostAs !== undefined || grip.isEnding || !grip.holds.has(hold)) return Effect.succeed(false)
      if (grip.mode === "exclusive") return Effect.succeed(true)
      // Others of this layer read along, which the server does not know.
      if (grip.isChanging || !isLast(hold)) return Effect.succeed(false)
      return meanwhile(
        grip,
        Effect.map(grip.session.ask(this.questions.tryLock.exclusive, grip.place.number), (token) => {
          if (token === null) return false
          grip.locked.add("exclusive")
          hold.token = BigInt(token)
          return true
        })
      )
    })

  readonly downgrade = (hold: PostgresHold): Effect.Effect<void, ExternalLockError> =>
    changing(hold, () => {
      const { grip } = hold
      if (hold.lostAs !== undefined || grip.isEnding || !grip.holds.has(hold)) return Effect.void
      if (grip.mode === "shared") return Effect.void
      const ask = (question: Question) => grip.session.ask(question, grip.place.number)
      const share = grip.locked.has("shared")
        ? Effect.void
        : Effect.map(ask(this.questions.share), () => {
          grip.locked.add("shared")
        })
      const unlock = Effect.map(ask(this.questions.unlock.exclusive), (answer) => {
        grip.locked.delete("exclusive")
        if (answer !== yes) hold.loseAs(wasNotLocked)
      })
      return meanwhile(grip, Effect.zipRight(share, unlock))
    })

  readonly close = (): void => {
    this.sessions.close()
  }
}

/** Whoever is interrupted in the middle of it knows what it has. */
const changing = <A>(
  { key }: PostgresHold,
  change: () => Effect.Effect<A, ExternalLockError>
): Effect.Effect<A, ExternalLockError> =>
  Effect.uninterruptible(Effect.mapError(Effect.suspend(change), (error) => error.of(key)))

/** Nobody joins it meanwhile. */
const meanwhile = <A, E>(grip: Grip, change: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  grip.isChanging = true
  return Effect.ensuring(
    change,
    Effect.sync(() => {
      grip.isChanging = false
      grip.place.change()
    })
  )
}

/** Has nobody else what it has, or is about to have it? */
const isLast = ({ grip }: PostgresHold): boolean => grip.holds.size + grip.expected <= 1

const failFor = (key: ExternalRequest["key"], cause: Cause.Cause<ExternalLockError>) =>
  Effect.failCause(Cause.map(cause, (error) => error.of(key)))

/**
 * The sessions of a layer, which are its own: in the pool of the application, ten
 * holders who each need one more connection would wait for each other.
 *
 * - `main` has all locks that were free when they were asked for.
 * - `probe` never has a lock: it is asked what a session cannot be asked about a lock
 *   that it has itself, since that is always granted.
 * - Who must wait does so in a session of its own, and has the lock there. Those are
 *   used again, and closed when nobody has needed them for a while.
 */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Pg from "pg"
import type { ExternalLockError } from "../LockError.ts"
import * as PostgresConnection from "./postgresConnection.ts"
import * as PostgresError from "./postgresError.ts"
import type { Question, Questions } from "./postgresQuestions.ts"
import * as PostgresSchema from "./postgresSchema.ts"
import { type Keeper, Session } from "./postgresSession.ts"
import type { Silence } from "./postgresSilence.ts"
import type { Restore } from "./registry.ts"

const closed = "the layer of its locks is closed"

/** How long a session that nobody needs is kept: milliseconds. */
const idleFor = 10_000

export interface Terms {
  readonly config: PgClientConfig
  readonly schema: string
  readonly silence: Silence
  readonly questions: Questions
}

/** A session that is opened when it is needed, and anew when it has ended. */
class Reopened {
  private session: Session | undefined = undefined
  private opening: Promise<Exit.Exit<Session, ExternalLockError>> | undefined = undefined
  private readonly open: Effect.Effect<Session, ExternalLockError>
  constructor(open: Effect.Effect<Session, ExternalLockError>) {
    this.open = open
  }
  get current(): Session | undefined {
    return this.session?.ended === undefined ? this.session : undefined
  }
  /** Asks it. That a session which was there already has ended is no failure, as nothing is left of what it was asked. */
  ask(question: Question, key: string): Effect.Effect<Answered, ExternalLockError> {
    const { current } = this
    return current === undefined
      ? Effect.flatMap(this.opened, (session) => answered(session, question, key))
      : Effect.catchAll(
        answered(current, question, key),
        (error) => current.ended === undefined ? Effect.fail(error) : this.ask(question, key)
      )
  }
  get opened(): Effect.Effect<Session, ExternalLockError> {
    this.opening ??= Effect.runPromiseExit(Effect.tap(this.open, (session) => this.session = session)).finally(() => {
      this.opening = undefined
    })
    const { opening } = this
    return Effect.flatten(Effect.promise(() => opening))
  }
}

export interface Answered {
  readonly session: Session
  readonly answer: string | null
}

const answered = (session: Session, question: Question, key: string): Effect.Effect<Answered, ExternalLockError> =>
  Effect.map(session.ask(question, key), (answer) => ({ session, answer }))

interface Idle {
  readonly session: Session
  readonly since: number
}

export class Sessions implements Keeper {
  readonly main: Reopened
  readonly probe: Reopened
  private readonly terms: Terms
  private readonly all = new Set<Session>()
  private idle: Array<Idle> = []
  private timer: ReturnType<typeof setInterval> | undefined = undefined
  private isClosed = false
  private isLooking = false
  private lookedAt = -Infinity

  constructor(terms: Terms) {
    this.terms = terms
    this.main = new Reopened(this.open((main) => this.lookAfterWaiters(main)))
    this.probe = new Reopened(this.open(() => {}))
  }

  /** `opened` is called in the same step: who opens it may be interrupted in the next. */
  private open(opened: (session: Session) => void): Effect.Effect<Session, ExternalLockError> {
    const { config, questions, schema, silence } = this.terms
    const accept = (client: Pg.Client, answer: ReadonlyArray<string>): Effect.Effect<Session, ExternalLockError> => {
      const session = new Session(client, questions, silence, config.stream, this)
      const objection = PostgresSchema.objection(answer, client, false) ?? this.objection
      if (objection !== undefined) {
        session.end(objection.explanation)
        return Effect.fail(objection)
      }
      this.all.add(session)
      opened(session)
      return Effect.succeed(session)
    }
    return Effect.suspend(() =>
      this.objection === undefined
        ? PostgresConnection.open(config, PostgresSchema.settingUp(schema, silence), accept)
        : Effect.fail(this.objection)
    )
  }

  /** Why nothing can be asked any more. */
  get objection(): ExternalLockError | undefined {
    return this.isClosed ? PostgresError.refuse("Unavailable", `is not asked any more: ${closed}`) : undefined
  }

  /**
   * A session for somebody who must wait, who has it alone until it has `left`. It must run uninterruptible, but
   * for what runs under `restore`.
   */
  take(restore: Restore): Effect.Effect<Session, ExternalLockError> {
    return Effect.suspend(() => {
      const { questions, silence } = this.terms
      const idle = this.idle.shift()
      // It is kept when it is open, and may be taken by another then.
      if (idle === undefined) {
        return Effect.zipRight(restore(this.open((session) => this.keep(session))), this.take(restore))
      }
      if (performance.now() - idle.since < silence.heartbeat) return Effect.succeed(idle.session)
      // Its connection may have gone while nobody looked.
      return Effect.matchEffect(idle.session.ask(questions.ping, "0"), {
        onFailure: ({ explanation }) => {
          idle.session.end(explanation)
          return this.take(restore)
        },
        onSuccess: () => Effect.succeed(idle.session)
      })
    })
  }

  /** For who must wait next. */
  private keep(session: Session): void {
    this.idle.unshift({ session, since: performance.now() })
    this.watch()
  }

  /** It has no lock any more, and nobody waits in it. */
  left(session: Session): void {
    if (this.isClosed) session.end(closed)
    else if (session.ended === undefined && session !== this.main.current) this.keep(session)
  }

  ended(session: Session): void {
    this.all.delete(session)
    this.idle = this.idle.filter((idle) => idle.session !== session)
  }

  /** Looks after the sessions for as long as there is something to look after. The timer keeps no process alive. */
  watch(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => this.beat(), this.terms.silence.tick)
    this.timer.unref?.()
  }

  private beat(): void {
    const now = performance.now()
    const isAwaited = Array.from(this.all).some((session) => session.isWaiting)
    for (const session of this.all) {
      session.beat(now, isAwaited && session === this.main.current)
    }
    if (isAwaited && this.main.current === undefined) this.lookForServer()
    for (const { session, since } of this.idle) if (now - since > idleFor) session.end("nobody has needed it for long")
    const isNeeded = isAwaited || this.idle.length > 0 ||
      Array.from(this.all).some((session) => session.isBusy || session.tenants.size > 0)
    if (!isNeeded) {
      clearInterval(this.timer)
      this.timer = undefined
    }
  }

  /** Who waits hears nothing of the server; the main session does so for all, and when it has ended its successor. */
  private lookForServer(): void {
    const { heartbeat, patience } = this.terms.silence
    if (this.isLooking || performance.now() - this.lookedAt < heartbeat) return
    this.isLooking = true
    this.lookedAt = performance.now()
    const silent = () => PostgresError.refuse("Unavailable", `does not answer: no connection within ${patience} ms`)
    Effect.runCallback(Effect.timeoutFail(this.main.opened, { duration: patience, onTimeout: silent }), {
      onExit: (exit) => {
        this.isLooking = false
        const error = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
        // The server that waiters wait for is there, if it has no connection left.
        if (Option.isNone(error) || error.value.reason === "Exhausted") return
        for (const session of this.all) if (session.isWaiting) session.end(error.value.explanation)
      }
    })
  }

  /**
   * The main session has been opened: the one before may have ended with the server, or while the way to it was cut. Who
   * does not wait on this server does not wait at all; twice, for a wait may have only begun.
   */
  private lookAfterWaiters(main: Session): void {
    const { questions, silence } = this.terms
    const waiting = Array.from(this.all).filter((session) => session.isWaiting)
    const isLost = (session: Session) =>
      Effect.map(
        main.ask(questions.awaits, String(session.processId)),
        (answer) => session.isWaiting && answer === null
      )
    const look = Effect.filter(waiting, isLost).pipe(
      Effect.delay(silence.patience),
      Effect.flatMap((lost) => Effect.filter(lost, isLost)),
      Effect.map((lost) => {
        for (const session of lost) session.end("the server does not know of its wait any more")
      })
    )
    if (waiting.length > 0) Effect.runFork(Effect.ignore(look))
  }

  /** Ends all that have no lock; the others end with their last one. */
  close(): void {
    this.isClosed = true
    for (const session of this.all) if (session.tenants.size === 0) session.end(closed)
  }
}

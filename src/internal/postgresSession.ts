/**
 * One session of a server, in which many locks can be held.
 *
 * It asks one statement at a time, with all questions that came together while the
 * last one was under way. So one lock costs no more than it must, and many at once
 * share the way there and back.
 *
 * Invariant: every question is answered once, and when one is answered with a
 * failure the server does not keep what it asked for: that was undone, or the session has
 * ended and all that was locked in it with it.
 *
 * A server may vanish without a word. So a session that locks are held in is heard
 * of at least every so often, and when an answer does not come it is ended here
 * before the server, which waits longer, ends it there (`Silence`).
 */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Pg from "pg"
import type { ExternalLockError } from "../LockError.ts"
import * as PostgresConnection from "./postgresConnection.ts"
import * as PostgresError from "./postgresError.ts"
import { many, one, type Question, type Questions, undoing, yes } from "./postgresQuestions.ts"
import type { Silence } from "./postgresSilence.ts"
import type { Restore } from "./registry.ts"

type Answer = string | null

interface Asked {
  readonly question: Question
  readonly key: string
  readonly resume: (answer: Effect.Effect<Answer, ExternalLockError>) => void
}

/** What is locked in a session. */
export interface Tenant {
  /** It is not locked any more. */
  readonly lose: (explanation: string) => void
}

/** Who looks after sessions. */
export interface Keeper {
  /** It is under way, and may stay so for ever. */
  readonly watch: () => void
  readonly ended: (session: Session) => void
}

type Rows = ReadonlyArray<ReadonlyArray<Answer>>

/** No lock is at stake. */
const noKey = "0"

/** A limit of the client is not of waiting for a lock: milliseconds. */
const forEver = 2 ** 31 - 1

/** How long it may take to cancel a wait, and how often it is tried meanwhile: milliseconds. */
const cancelWithin = 1000
const cancelEvery = 100

export class Session {
  /** How it ended. */
  ended: string | undefined = undefined
  /** All that is locked in it. */
  readonly tenants = new Set<Tenant>()
  /** Is it in the middle of waiting for a lock? Then its answer may take for ever. */
  isWaiting = false
  private readonly client: Pg.Client
  private readonly questions: Questions
  private readonly silence: Silence
  private readonly stream: PgClientConfig["stream"]
  private readonly keeper: Keeper
  private next: Array<Asked> = []
  /** Called with what comes of the statement under way. */
  private pending: ((error: unknown, rows: Rows) => void) | undefined = undefined
  /** When that was asked, and when something was heard last: milliseconds, of a clock that nobody sets. */
  private askedAt = 0
  private heardAt = performance.now()

  constructor(
    client: Pg.Client,
    questions: Questions,
    silence: Silence,
    stream: PgClientConfig["stream"],
    keeper: Keeper
  ) {
    this.client = client
    this.questions = questions
    this.silence = silence
    this.stream = stream
    this.keeper = keeper
    client.on("error", (error) => this.end(PostgresError.textOf(error)))
    client.on("end", () => this.end("the connection was closed"))
    // It may have ended before this listened.
    if (client.connection.stream.destroyed) this.end("the connection was closed")
  }

  /** Something of it is locked here from now on. */
  hold(tenant: Tenant): void {
    this.tenants.add(tenant)
    this.keeper.watch()
  }

  ask(question: Question, key: string): Effect.Effect<Answer, ExternalLockError> {
    return Effect.async((resume) => this.put({ question, key, resume }))
  }

  private put(asked: Asked): void {
    if (this.ended !== undefined) return asked.resume(Effect.fail(this.hasEnded(this.ended)))
    this.next.push(asked)
    if (this.pending === undefined) this.send()
  }

  /**
   * Waits until it is locked; the session has nothing else. It must run uninterruptible, but for what runs under
   * `restore`. When it fails or is interrupted, the session has nothing again, or has ended: an error may come
   * although it is locked, and so may an interruption.
   */
  wait(question: Question, key: string, restore: Restore): Effect.Effect<string, ExternalLockError> {
    return Effect.suspend(() => {
      let over: (() => void) | undefined
      const waiting = Effect.async<string, ExternalLockError>((resume) => {
        if (this.ended !== undefined) return resume(Effect.fail(this.hasEnded(this.ended)))
        this.isWaiting = true
        this.submit({ ...one(question, key), query_timeout: forEver }, (error, rows) => {
          this.isWaiting = false
          if (over !== undefined) over()
          else resume(error === undefined ? Effect.succeed(rows[0]![0]!) : Effect.fail(this.failed(error)))
        })
      })
      const cancelled = Effect.async<void>((resume) => {
        if (this.isWaiting) over = this.cancelling(() => resume(Effect.void))
        else resume(Effect.void)
      })
      // Not the finalizer of `waiting`: who is interrupted just after it has begun to wait would not come to it.
      return Effect.catchAllCause(
        restore(waiting),
        (cause) => Effect.zipRight(Effect.zipRight(cancelled, this.clear), Effect.failCause(cause))
      )
    })
  }

  /** Cancels the wait; `done` is called when the server neither waits nor cancels any more, or the session has ended. */
  private cancelling(done: () => void): () => void {
    let isOver = false
    let isCancelling = false
    const finish = () => {
      if (!isOver || isCancelling) return
      clearTimeout(last)
      done()
    }
    // It may come before the server has begun to wait, and then cancels nothing.
    const cancel = () => {
      isCancelling = true
      return PostgresConnection.cancel(this.client, this.stream, () => {
        isCancelling = false
        if (isOver) finish()
        else again = setTimeout(() => stop = cancel(), cancelEvery)
      })
    }
    let again: ReturnType<typeof setTimeout> | undefined
    const last = setTimeout(() => {
      this.end("the server did not let go of a wait")
      stop()
    }, cancelWithin)
    let stop = cancel()
    return () => {
      isOver = true
      clearTimeout(again)
      finish()
    }
  }

  /** Unlocks whatever it has. */
  private get clear(): Effect.Effect<void> {
    return Effect.matchEffect(this.ask(this.questions.clear, noKey), {
      onFailure: ({ explanation }) => Effect.sync(() => this.end(explanation)),
      onSuccess: () => Effect.void
    })
  }

  private send(): void {
    const asked = this.next
    this.next = []
    const statement = asked.length === 1
      ? one(asked[0]!.question, asked[0]!.key)
      : many(this.questions, asked)
    this.submit(statement, (error, rows) => {
      if (error !== undefined) return this.undo(asked, error)
      asked.forEach(({ resume }, i) => resume(Effect.succeed(rows[i]![0]!)))
      if (this.next.length > 0 && this.pending === undefined) this.send()
    })
  }

  /** Some of it may have been done: no error takes back a lock that belongs to a session. What was to be unlocked is. */
  private undo(asked: ReadonlyArray<Asked>, error: unknown): void {
    const undone = asked.flatMap(({ key, question }) =>
      question.undo === undefined ? [] : [{ question: question.undo, key }]
    )
    const answer = () => {
      const failed = Effect.fail(this.failed(error))
      for (const { question, resume } of asked) {
        resume(question.undo === question && this.ended === undefined ? Effect.succeed(yes) : failed)
      }
      if (this.next.length > 0 && this.ended === undefined) this.send()
    }
    if (this.ended !== undefined || undone.length === 0) return answer()
    this.submit(undoing(this.questions, undone), (another) => {
      if (another !== undefined) this.end(PostgresError.textOf(another))
      answer()
    })
  }

  private submit(
    statement: Pg.QueryConfig<Array<string>> & { readonly query_timeout?: number },
    answered: (error: unknown, rows: Rows) => void
  ): void {
    this.pending = answered
    this.askedAt = performance.now()
    this.keeper.watch()
    this.client.query({ ...statement, rowMode: "array" }, (error: unknown, result) => {
      // It has ended, and this was answered.
      if (this.pending !== answered) return
      this.pending = undefined
      this.heardAt = performance.now()
      if (error === null || error === undefined) return answered(undefined, result.rows as Rows)
      if (!PostgresError.isOfStatement(error)) this.end(PostgresError.textOf(error))
      answered(error, [])
    })
  }

  /** Its process on the server. */
  get processId(): number {
    return PostgresConnection.processOf(this.client)
  }

  /** Is a statement under way that will be answered soon, or never? */
  get isBusy(): boolean {
    return this.pending !== undefined && !this.isWaiting
  }

  private hasEnded(explanation: string): ExternalLockError {
    return PostgresError.make("has no session for it", new Error(explanation))
  }

  private failed(error: unknown): ExternalLockError {
    return PostgresError.make("did not answer", error)
  }

  /** Ends it, and tells so: first who holds locks in it, then who waits for answers. */
  end(explanation: string): void {
    if (this.ended !== undefined) return
    this.ended = explanation
    const { next, pending } = this
    this.next = []
    this.pending = undefined
    PostgresConnection.end(this.client, pending === undefined)
    this.keeper.ended(this)
    for (const tenant of this.tenants) tenant.lose(explanation)
    pending?.(new Error(explanation), [])
    for (const { resume } of next) resume(Effect.fail(this.hasEnded(explanation)))
  }

  /** To be called every now and then. Asks for a word if locks are held in it, and misses an answer that does not come. */
  beat(now: number, isNeeded: boolean): void {
    if (this.ended !== undefined || this.isWaiting) return
    if (this.pending === undefined) {
      if ((isNeeded || this.tenants.size > 0) && now - this.heardAt >= this.silence.heartbeat) {
        this.put({ question: this.questions.ping, key: noKey, resume: () => {} })
      }
      return
    }
    if (now - this.askedAt < this.silence.patience) return
    const { pending } = this
    // It may have come while this process stood still: what has arrived is read before it is judged.
    setImmediate(() =>
      setImmediate(() => {
        if (this.pending === pending) this.end(`the server has not answered for ${this.silence.patience} ms`)
      })
    )
  }
}

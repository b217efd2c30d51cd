/**
 * A connection for transactions that each are one message. It carries nothing from
 * one to the next, so it may lead to a pooler, and is opened anew whenever it has ended.
 */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Pg from "pg"
import type { ExternalLockError } from "../LockError.ts"
import type { Transaction } from "./leaseStatements.ts"
import * as PostgresConnection from "./postgresConnection.ts"
import * as PostgresError from "./postgresError.ts"

/** The first columns of the rows that say what came of it. */
export type Rows = ReadonlyArray<string>

type Outcome = Effect.Effect<Rows, ExternalLockError>

interface Job {
  readonly transaction: Transaction
  readonly sent: () => void
  readonly resume: (outcome: Outcome) => void
}

export class LeaseConnection {
  private readonly connect: Effect.Effect<Pg.Client, ExternalLockError>
  /** How long a transaction may take: milliseconds. */
  private readonly patience: number
  private jobs: Array<Job> = []
  private isRunning = false
  private isClosed = false
  private client: Pg.Client | undefined = undefined

  constructor(
    config: PgClientConfig,
    patience: number,
    objection: (answer: ReadonlyArray<string>, client: Pg.Client) => ExternalLockError | undefined,
    statement: (client: Pg.Client) => string
  ) {
    this.patience = patience
    const accept = (client: Pg.Client, answer: ReadonlyArray<string>) => {
      const objected = objection(answer, client)
      if (objected === undefined) return Effect.succeed(client)
      PostgresConnection.end(client, true)
      return Effect.fail(objected)
    }
    this.connect = PostgresConnection.open(config, statement, accept, patience)
  }

  get isOpen(): boolean {
    return this.client !== undefined
  }

  /** Runs it after those before it. `sent` is called just before it goes to the server. */
  run(transaction: Transaction, sent: () => void = () => {}): Outcome {
    return this.put(transaction, sent, (job) => this.jobs.push(job))
  }

  /** The same before those that wait. */
  runNext(transaction: Transaction, sent: () => void): Outcome {
    return this.put(transaction, sent, (job) => this.jobs.unshift(job))
  }

  private put(transaction: Transaction, sent: () => void, into: (job: Job) => void): Outcome {
    return Effect.async((resume) => {
      into({ transaction, sent, resume })
      if (!this.isRunning) this.next()
    })
  }

  private next(): void {
    const job = this.jobs.shift()
    this.isRunning = job !== undefined
    if (job === undefined) {
      if (this.isClosed) this.close()
      return
    }
    const done = (outcome: Outcome) => {
      job.resume(outcome)
      this.next()
    }
    if (this.client !== undefined) return this.send(this.client, job, done)
    const before = this.jobs.slice()
    Effect.runCallback(this.connect, {
      onExit: (exit) => {
        if (exit._tag === "Failure") {
          const failed = Effect.failCause(exit.cause)
          // What was asked before that need not find the same; what was asked since may.
          this.jobs = this.jobs.filter((other) => !before.includes(other))
          for (const { resume } of before) resume(failed)
          return done(failed)
        }
        const client = exit.value
        this.client = client
        client.on("error", () => this.forget(client))
        client.on("end", () => this.forget(client))
        this.send(client, job, done)
      }
    })
  }

  private send(client: Pg.Client, { sent, transaction }: Job, done: (outcome: Outcome) => void): void {
    sent()
    let isOver = false
    const fail = (cause: unknown) => {
      isOver = true
      clearTimeout(timer)
      // A failed transaction may be open still.
      this.forget(client)
      done(Effect.fail(PostgresError.make("did not answer", cause)))
    }
    const miss = () => {
      if (!isOver) fail(new Error(`nothing was heard for ${this.patience} ms`))
    }
    // What has arrived while this process stood still is read before it is missed.
    const timer = setTimeout(() => setImmediate(() => setImmediate(miss)), this.patience)
    client.query({ text: transaction.text, rowMode: "array" }, (error: unknown, results) => {
      if (isOver) return
      if (error !== null && error !== undefined) return fail(error)
      isOver = true
      clearTimeout(timer)
      const { rows } = (results as unknown as ReadonlyArray<Pg.QueryArrayResult<Array<string>>>)[transaction.result]!
      done(Effect.succeed(rows.map(([first]) => first!)))
    })
  }

  private forget(client: Pg.Client): void {
    if (this.client !== client) return
    this.client = undefined
    PostgresConnection.end(client, false)
  }

  /** When what is under way is over. */
  close(): void {
    this.isClosed = true
    if (this.isRunning || this.client === undefined) return
    PostgresConnection.end(this.client, true)
    this.client = undefined
  }
}

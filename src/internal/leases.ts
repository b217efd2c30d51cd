/**
 * Leases of rows of a table.
 *
 * Invariant: a hold that does not know of a loss has a row whose time is not over.
 * The row lasts `silence.server` from a moment after the last renewal was sent, and the
 * hold knows itself lost when less of that is left than `toldWithin` says, by a clock of this process
 * that nobody sets.
 */
import type { PgClientConfig } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { ExternalHold, type ExternalRequest, type Restore } from "../ExternalLock.ts"
import { type ExternalLockError, type LockKey, LockLost } from "../LockError.ts"
import { LeaseConnection } from "./leaseConnection.ts"
import * as LeaseStatements from "./leaseStatements.ts"
import * as PostgresError from "./postgresError.ts"
import * as PostgresSchema from "./postgresSchema.ts"
import { type Silence, toldWithin } from "./postgresSilence.ts"
import type { Mode } from "./ticket.ts"

/** How long who waits sleeps before it asks again: milliseconds. */
const firstDelay = 20
const longestDelay = 250
const growth = 1.5

const closed = PostgresError.refuse("Unavailable", "is not asked any more: the layer of its leases is closed")

const wasGone = "its row was gone: it was not renewed in time, or somebody deleted it"

class LeaseHold extends ExternalHold implements LeaseStatements.Lease {
  readonly holder = randomUUID()
  readonly key: string
  override token: bigint = 0n
  mode: Mode
  /** Until when it is surely held, and when it was renewed last: milliseconds, as of `performance.now`. */
  validUntil = 0
  renewedAt = 0
  private readonly request: ExternalRequest
  private readonly leases: Leases
  constructor(request: ExternalRequest, leases: Leases) {
    super()
    this.key = request.place
    this.mode = request.mode
    this.request = request
    this.leases = leases
  }
  get name(): LockKey {
    return this.request.key
  }
  loseAs(explanation: string): void {
    this.lose(new LockLost({ key: this.name, explanation, completed: false }))
  }
  /** What was sent at `at` keeps it. */
  renewed(at: number, { server, tick }: Silence): void {
    this.renewedAt = at
    this.validUntil = at + toldWithin * server - tick
  }
  get release(): Effect.Effect<void> {
    return this.leases.release(this)
  }
  get tryUpgrade(): Effect.Effect<boolean, ExternalLockError> {
    return this.leases.tryUpgrade(this)
  }
  get downgrade(): Effect.Effect<void, ExternalLockError> {
    return this.leases.downgrade(this)
  }
  get check(): Effect.Effect<void> {
    return Effect.sync(() => this.leases.look(this, performance.now()))
  }
}

export class Leases {
  private readonly connection: LeaseConnection
  private readonly statements: LeaseStatements.Statements
  private readonly silence: Silence
  private readonly holds = new Map<string, LeaseHold>()
  /** Holders whose rows nobody needs, if they are there. */
  private readonly left = new Set<string>()
  private hasSwept = false
  private isRenewing = false
  private isCleaning = false
  private isClosed = false
  private timer: ReturnType<typeof setInterval> | undefined = undefined

  constructor(config: PgClientConfig, schema: string, silence: Silence) {
    this.silence = silence
    this.statements = LeaseStatements.make(
      PostgresSchema.tableOf(schema),
      PostgresSchema.sequenceOf(schema),
      silence.server
    )
    this.connection = new LeaseConnection(
      config,
      silence.server / 4,
      (answer, client) => PostgresSchema.objection(answer, client, true),
      PostgresSchema.settingUp(schema, silence)
    )
  }

  readonly tryAcquire = (
    request: ExternalRequest
  ): Effect.Effect<Option.Option<ExternalHold>, ExternalLockError> =>
    Effect.suspend(() => this.take(request, this.connection.isOpen))

  /** What a connection that has been idle failed to do is asked once more, through another. */
  private take(
    request: ExternalRequest,
    again: boolean
  ): Effect.Effect<Option.Option<ExternalHold>, ExternalLockError> {
    return Effect.suspend(() => {
      if (this.isClosed) return Effect.fail(closed.of(request.key))
      const hold = new LeaseHold(request, this)
      return Effect.matchEffect(this.keeping(hold, this.statements.take(hold, request.mode)), {
        onFailure: (error) => {
          // It may have been taken.
          this.forget(hold.holder)
          return again && error.reason === "Unavailable"
            ? Effect.zipRight(
              Effect.ignore(this.connection.run(this.statements.end([hold.holder]))),
              this.take(request, false)
            )
            : Effect.fail(error.of(request.key))
        },
        onSuccess: ([token]) => {
          if (token === undefined) return Effect.succeedNone
          hold.token = BigInt(token)
          this.holds.set(hold.holder, hold)
          if (!this.hasSwept) this.sweep()
          this.look(hold, performance.now())
          this.watch()
          return Effect.succeedSome<ExternalHold>(hold)
        }
      })
    })
  }

  readonly acquire = (request: ExternalRequest, restore: Restore): Effect.Effect<ExternalHold, ExternalLockError> => {
    const again = (delay: number): Effect.Effect<ExternalHold, ExternalLockError> =>
      Effect.flatMap(this.tryAcquire(request), (hold) =>
        Option.isSome(hold)
          ? Effect.succeed(hold.value)
          // At odd times: two who ask in step would meet again and again.
          : Effect.zipRight(
            restore(sleep(delay * (0.5 + Math.random() / 2))),
            again(Math.min(delay * growth, longestDelay))
          ))
    return again(firstDelay)
  }

  /** Runs what makes `hold` last from when it was sent. */
  private keeping(hold: LeaseHold, transaction: LeaseStatements.Transaction) {
    let at = 0
    return Effect.tap(
      this.connection.run(transaction, () => at = performance.now()),
      () => hold.renewed(at, this.silence)
    )
  }

  release(hold: LeaseHold): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.look(hold, performance.now())
      this.holds.delete(hold.holder)
      if (hold.lostAs !== undefined) {
        this.forget(hold.holder)
        return Effect.void
      }
      return Effect.match(this.connection.run(this.statements.end([hold.holder])), {
        onFailure: () => this.forget(hold.holder),
        onSuccess: (ended) => {
          if (ended.length === 0) hold.loseAs(wasGone)
          this.stopIfClosed()
        }
      })
    })
  }

  tryUpgrade(hold: LeaseHold): Effect.Effect<boolean, ExternalLockError> {
    return this.changing(hold, () => {
      if (hold.lostAs !== undefined) return Effect.succeed(false)
      if (hold.mode === "exclusive") return Effect.succeed(true)
      return Effect.map(this.connection.run(this.statements.upgrade(hold)), ([token]) => {
        if (token === undefined) return false
        hold.token = BigInt(token)
        hold.mode = "exclusive"
        return true
      })
    })
  }

  /** Whoever is interrupted in the middle of it knows what it has. */
  private changing<A>(
    hold: LeaseHold,
    change: () => Effect.Effect<A, ExternalLockError>
  ): Effect.Effect<A, ExternalLockError> {
    return Effect.uninterruptible(Effect.mapError(Effect.suspend(change), (error) => error.of(hold.name)))
  }

  downgrade(hold: LeaseHold): Effect.Effect<void, ExternalLockError> {
    return this.changing(hold, () => {
      if (hold.lostAs !== undefined || hold.mode === "shared") return Effect.void
      return Effect.map(this.connection.run(this.statements.downgrade(hold)), ([held]) => {
        hold.mode = "shared"
        if (held === undefined) hold.loseAs(wasGone)
      })
    })
  }

  /** Has its time come? */
  look(hold: LeaseHold, now: number): void {
    if (now >= hold.validUntil) {
      hold.loseAs(
        `it could not be renewed for ${Math.round(now - hold.renewedAt)} ms, and lasts ${this.silence.server} ms`
      )
    }
  }

  /** Nobody has it any more: its row may be there still. */
  private forget(holder: string): void {
    this.left.add(holder)
    this.watch()
  }

  private watch(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => this.beat(), this.silence.tick)
    this.timer.unref?.()
  }

  private beat(): void {
    const now = performance.now()
    for (const hold of this.holds.values()) {
      // Its row stays until its time is over or it is released: whoever had it may be ending still.
      if (hold.lostAs !== undefined) this.holds.delete(hold.holder)
      else if (now >= hold.validUntil) this.lookAgain(hold)
    }
    if (this.holds.size === 0 && this.left.size === 0) {
      clearInterval(this.timer)
      this.timer = undefined
      this.stopIfClosed()
    } else this.renew(now)
  }

  /** The answer may have come while this process stood still: what has arrived is read before it is judged. */
  private lookAgain(hold: LeaseHold): void {
    setImmediate(() => setImmediate(() => this.look(hold, performance.now())))
  }

  private renew(now: number): void {
    if (this.isRenewing) return
    const due = Array.from(this.holds.values()).filter(({ renewedAt }) => now - renewedAt >= this.silence.heartbeat)
    if (due.length === 0) return this.clean()
    let at = 0
    const renewed = this.connection.runNext(
      this.statements.renew(due.map(({ holder }) => holder)),
      () => at = performance.now()
    )
    this.isRenewing = true
    const answered = Effect.map(renewed, (holders) => {
      for (const hold of due) {
        if (holders.includes(hold.holder)) hold.renewed(at, this.silence)
        // It may have been released meanwhile.
        else if (this.holds.has(hold.holder)) hold.loseAs(wasGone)
      }
    })
    tryTo(answered, () => {
      this.isRenewing = false
      this.clean()
    })
  }

  /** Deletes the rows of holders that died, and whose locks nobody has asked for since. */
  private sweep(): void {
    this.hasSwept = true
    tryTo(Effect.asVoid(this.connection.run(this.statements.sweep)), () => {})
  }

  private clean(): void {
    const left = Array.from(this.left)
    if (left.length === 0 || this.isCleaning) return
    this.isCleaning = true
    const cleaned = Effect.map(this.connection.run(this.statements.end(left)), () => {
      for (const holder of left) this.left.delete(holder)
    })
    tryTo(cleaned, () => this.isCleaning = false)
  }

  private stopIfClosed(): void {
    if (this.isClosed && this.holds.size === 0 && this.left.size === 0) this.connection.close()
  }

  /** The connection stays for as long as somebody holds something. */
  readonly close = (): void => {
    this.isClosed = true
    this.stopIfClosed()
  }
}

/** By a timer of JavaScript: only deadlines are of Effect's clock. */
const sleep = (milliseconds: number): Effect.Effect<void> =>
  Effect.async((resume) => {
    const timer = setTimeout(() => resume(Effect.void), milliseconds)
    return Effect.sync(() => clearTimeout(timer))
  })

/** What fails is tried again at the next beat. */
const tryTo = (effect: Effect.Effect<void, ExternalLockError>, over: () => void): void => {
  Effect.runCallback(Effect.ignore(effect), { onExit: over })
}

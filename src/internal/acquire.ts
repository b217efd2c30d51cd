/** The two ways to hold: for as long as an effect runs, and until a scope closes. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"
import { AcquireLockFailed, Deadlock } from "../LockError.ts"
import { LockRegistry } from "../LockRegistry.ts"
import * as Enclosing from "./enclosing.ts"
import * as Lines from "./lines.ts"
import * as Log from "./lockLog.ts"
import type { Spec } from "./options.ts"
import type * as internal from "./registry.ts"
import { forEver, type Refused } from "./standing.ts"
import { type Mode, Ticket } from "./ticket.ts"
import { urgent } from "./upgrading.ts"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

const describe = (tickets: ReadonlyArray<Ticket>) => tickets.map((ticket) => ticket.describe())

const refuse = (ticket: Ticket, refused: Refused): Effect.Effect<never, AcquireLockFailed> =>
  refused.reason === "Deadlock"
    ? Effect.die(
      new Deadlock({
        key: refused.cycle[0]!.request.key,
        fiberId: ticket.fiberId,
        cycle: refused.cycle.map(({ hold, request }) => ({
          key: request.key,
          request: request.describe(),
          hold: hold.describe()
        }))
      })
    )
    : Effect.fail(
      new AcquireLockFailed({
        key: refused.key,
        reason: refused.reason,
        waited: Duration.millis(ticket.waited()),
        holders: describe(refused.holders)
      })
    )

/** One request by the running fiber, made now: a ticket for each lock, the first of which stands for all. */
const request = (spec: Spec, owned: boolean, fiber: AnyFiber): Ticket => {
  const { demands, priority, reentrant } = spec
  const first = new Ticket(demands[0]!, priority, owned, reentrant, fiber)
  first.timed = spec.patience.timeout !== undefined
  if (demands.length > 1) {
    const others = demands.slice(1).map((demand) => new Ticket(demand, priority, owned, reentrant, fiber))
    const members = [first, ...others]
    for (const member of members) member.members = members
  }
  return first
}

const registryOf = (spec: Spec, fiber: AnyFiber): internal.Registry =>
  spec.registry ?? Context.unsafeGet(fiber.currentContext, LockRegistry) as internal.Registry

/** How a hold ends; it gives back the value that the hold was good for. */
type Release = <A>(value: A) => Effect.Effect<A>

/**
 * Runs `use` when `spec` is granted, with the effect that ends the hold. Must
 * run uninterruptible, and so does `use`, which has to see to the release.
 */
const acquire = <A, E, R>(
  spec: Spec,
  registry: internal.Registry,
  owned: boolean,
  by: string | undefined,
  restore: internal.Restore,
  fiber: AnyFiber,
  use: (release: Release, ticket: Ticket) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | AcquireLockFailed, R> => {
  const ticket = request(spec, owned, fiber)
  const { patience } = spec
  const enclosing = spec.reentrant ? fiber.getFiberRef(Enclosing.current) : undefined
  if (!(spec.log && Log.isHeard(fiber))) {
    const release: Release = (value) => registry.release(ticket, value)
    return registry.acquire<A, E | AcquireLockFailed, R>(
      { ticket, patience, refuse, use: () => use(release, ticket) },
      enclosing,
      restore,
      fiber
    )
  }
  const log = Log.make(ticket, by)
  const release: Release = (value) => Effect.zipLeft(registry.release(ticket, value), log.released)
  return Effect.zipRight(
    log.acquiring,
    registry.acquire<A, E | AcquireLockFailed, R>(
      {
        ticket,
        patience,
        refuse: (_, refused) => Effect.zipRight(log.refused(refused.reason), refuse(ticket, refused)),
        use: () => Effect.zipRight(log.acquired, use(release, ticket))
      },
      enclosing,
      restore,
      fiber
    )
  )
}

/**
 * `Effect.uninterruptibleMask` for an `f` that needs its fiber and only builds an
 * effect. Reading the fiber's flags here saves an operation, a fifteenth of an
 * uncontended acquisition.
 */
const uninterruptibly = <A, E, R>(
  f: (restore: internal.Restore, fiber: AnyFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
    RuntimeFlags.interruption(runtimeFlags)
      ? Effect.uninterruptible(f(Effect.interruptible, fiber))
      : f(identity, fiber)
  )

/** Runs `self` while holding. */
export const guard = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  spec: Spec,
  by?: string
): Effect.Effect<A, E | AcquireLockFailed, R> =>
  uninterruptibly((restore, fiber) => {
    const registry = registryOf(spec, fiber)
    return acquire(spec, registry, true, by, restore, fiber, (release, ticket) =>
      Effect.matchCauseEffect(spec.reentrant ? within(restore(self), registry, ticket, fiber) : restore(self), {
        onFailure: (cause) =>
          Effect.zipRight(release(undefined), Effect.failCause(cause)),
        onSuccess: release
      }))
  })

/** Runs `self` inside a reentrant hold. */
const within = <A, E, R>(self: Effect.Effect<A, E, R>, registry: internal.Registry, ticket: Ticket, fiber: AnyFiber) =>
  Effect.locally(
    self,
    Enclosing.current,
    Enclosing.add(fiber.getFiberRef(Enclosing.current), registry, Lines.membersOf(ticket))
  )

/** Holds until the scope closes; `use` makes the result of the hold. */
export const scoped = <A>(
  spec: Spec,
  use: (ticket: Ticket, registry: internal.Registry) => A
): Effect.Effect<A, AcquireLockFailed, Scope.Scope> =>
  uninterruptibly((restore, fiber) => {
    const scope = Context.unsafeGet(fiber.currentContext as Context.Context<Scope.Scope>, Scope.Scope)
    const registry = registryOf(spec, fiber)
    return acquire(spec, registry, false, undefined, restore, fiber, (release, ticket) =>
      Effect.zipRight(
        Scope.addFinalizerExit(
          scope,
          () => spec.reentrant ? Effect.zipRight(release(undefined), forget) : release(undefined)
        ),
        spec.reentrant
          ? Effect.as(remember(registry, ticket), use(ticket, registry))
          : Effect.succeed(use(ticket, registry))
      ))
  })

const remember = (registry: internal.Registry, ticket: Ticket): Effect.Effect<void> =>
  FiberRef.update(
    Enclosing.current,
    (enclosing) => Enclosing.add(enclosing, registry, Lines.membersOf(ticket))
  )

const forget = FiberRef.update(Enclosing.current, Enclosing.live)

/** What the holder of one lock can do with it. */
export class Hold {
  readonly key: Ticket["key"]
  private readonly ticket: Ticket
  private readonly registry: internal.Registry
  constructor(ticket: Ticket, registry: internal.Registry) {
    this.key = ticket.key
    this.ticket = ticket
    this.registry = registry
  }
  get mode(): Mode {
    return this.ticket.isUpgraded ? "exclusive" : this.ticket.mode
  }
  get upgrade(): Effect.Effect<void, AcquireLockFailed> {
    return uninterruptibly((restore, fiber) =>
      this.registry.upgrade<void, AcquireLockFailed, never>(
        this.ticket,
        { ticket: upgradeOf(this.ticket, fiber), patience: forEver, refuse, use: () => Effect.void },
        restore
      )
    )
  }
  get downgrade(): Effect.Effect<void> {
    return this.registry.downgrade(this.ticket)
  }
}

/** A request for all permits but those that the hold has, before everybody else in the line. */
const upgradeOf = (hold: Ticket, fiber: AnyFiber): Ticket => {
  const { key, limit, owned, permits } = hold
  const ticket = new Ticket({ key, mode: "exclusive", limit, permits: limit - permits }, urgent, owned, false, fiber)
  ticket.upgrades = hold
  return ticket
}

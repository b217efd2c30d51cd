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
import type { Settings, Spec } from "./options.ts"
import { Asking, type Registry, type Restore } from "./registry.ts"
import type { Refused } from "./standing.ts"
import { Demand, type Mode, Ticket } from "./ticket.ts"
import * as Upgrading from "./upgrading.ts"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

const refuse = (ticket: Ticket, refused: Refused): Effect.Effect<never, AcquireLockFailed> =>
  refused.reason === "Deadlock"
    ? Effect.die(
      new Deadlock({
        key: refused.cycle[0]!.request.key.main,
        fiberId: ticket.fiberId,
        cycle: refused.cycle.map(({ hold, request }) => ({
          key: request.key.main,
          request: request.describe(),
          hold: hold.describe()
        }))
      })
    )
    : Effect.fail(
      new AcquireLockFailed({
        key: refused.key.main,
        reason: refused.reason,
        waited: Duration.millis(ticket.waited()),
        holders: refused.holders.map((holder) => holder.describe())
      })
    )

/** One request by the running fiber, made now: a ticket for each lock, the first of which stands for all. */
const request = ({ demand, others, settings }: Spec, owned: boolean, fiber: AnyFiber): Ticket => {
  const first = new Ticket(demand, settings, owned, fiber)
  if (others.length > 0) {
    const members = [first, ...others.map((demand) => new Ticket(demand, settings, owned, fiber))]
    for (const member of members) {
      member.members = members
      // One place for all of them: whoever is let pass it stands before it in every line.
      member.place = first
    }
  }
  return first
}

const registryOf = ({ registry }: Settings, fiber: AnyFiber): Registry =>
  registry ?? Context.unsafeGet(fiber.currentContext, LockRegistry) as Registry

/** Where a request is made and ended. */
interface Desk {
  readonly acquire: Registry["acquire"]
  readonly release: Registry["release"]
}

/** Writes a debug line about everything that is done at `desk`. */
const logged = (desk: Desk, by: string | undefined): Desk => ({
  acquire: (asking, restore, enclosing) => {
    const log = Log.make(asking.ticket, by)
    return Effect.zipRight(
      log.acquiring,
      desk.acquire(
        new Asking(
          asking.ticket,
          (ticket) => Effect.zipRight(log.acquired, asking.use(ticket)),
          (ticket, refused) => Effect.zipRight(log.refused(refused.reason), asking.refuse(ticket, refused))
        ),
        restore,
        enclosing
      )
    )
  },
  release: (ticket, value) => Effect.zipLeft(desk.release(ticket, value), Log.make(ticket, by).released)
})

/** Asks inside the reentrant holds of the fiber, and has it know of the new one until it ends. */
const reentrant = (desk: Desk, registry: Registry, fiber: AnyFiber): Desk => ({
  acquire: ({ refuse, ticket, use }, restore) =>
    desk.acquire(
      new Asking(ticket, (ticket) => Effect.zipRight(remember(registry, ticket), use(ticket)), refuse),
      restore,
      fiber.getFiberRef(Enclosing.current)
    ),
  release: (ticket, value) => Effect.zipLeft(desk.release(ticket, value), forget)
})

const remember = (registry: Registry, ticket: Ticket): Effect.Effect<void> =>
  FiberRef.update(Enclosing.current, (enclosing) => Enclosing.add(enclosing, registry, Lines.membersOf(ticket)))

// Not `Effect.locally`: a scoped hold that was made inside the body may outlive it.
const forget = FiberRef.update(Enclosing.current, Enclosing.prune)

const deskOf = (registry: Registry, settings: Settings, by: string | undefined, fiber: AnyFiber): Desk => {
  const desk = settings.log && Log.isHeard(fiber) ? logged(registry, by) : registry
  return settings.reentrant ? reentrant(desk, registry, fiber) : desk
}

/**
 * `Effect.uninterruptibleMask` for an `f` that needs its fiber and only builds an
 * effect. Reading the fiber's flags here saves an operation, a fifteenth of an
 * uncontended acquisition.
 */
const uninterruptibly = <A, E, R>(
  f: (restore: Restore, fiber: AnyFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
    RuntimeFlags.interruption(runtimeFlags)
      ? Effect.uninterruptible(f(Effect.interruptible, fiber))
      : f(identity, fiber)
  )

/** Runs `self` while holding; `by` is the function whose effect it is. */
export const guard = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  spec: Spec,
  by?: string
): Effect.Effect<A, E | AcquireLockFailed, R> =>
  uninterruptibly((restore, fiber) => {
    const { settings } = spec
    const desk = deskOf(registryOf(settings, fiber), settings, by, fiber)
    return desk.acquire(
      new Asking<A, E | AcquireLockFailed, R>(
        request(spec, true, fiber),
        (ticket) =>
          Effect.matchCauseEffect(restore(self), {
            onFailure: (cause) => Effect.zipRight(desk.release(ticket, undefined), Effect.failCause(cause)),
            onSuccess: (value) => desk.release(ticket, value)
          }),
        refuse
      ),
      restore
    )
  })

/**
 * The call of `guarded` that takes its effect first or last. Not `dual`, whose
 * spread of `arguments` costs a tenth of an uncontended acquisition.
 */
export const firstOrLast = (
  guarded: (self: Effect.Effect<any, any, any>, what: any, options: any) => Effect.Effect<any, any, any>
) =>
  function(...args: ReadonlyArray<any>): any {
    return Effect.isEffect(args[0])
      ? guarded(args[0] as Effect.Effect<any, any, any>, args[1], args[2])
      : (self: Effect.Effect<any, any, any>) => guarded(self, args[0], args[1])
  }

/** Holds until the scope closes; `give` makes what the holder gets. */
export const scoped = <A>(
  spec: Spec,
  give: (ticket: Ticket, registry: Registry) => A
): Effect.Effect<A, AcquireLockFailed, Scope.Scope> =>
  uninterruptibly((restore, fiber) => {
    const scope = Context.unsafeGet(fiber.currentContext as Context.Context<Scope.Scope>, Scope.Scope)
    const { settings } = spec
    const registry = registryOf(settings, fiber)
    const desk = deskOf(registry, settings, undefined, fiber)
    return desk.acquire(
      new Asking<A, AcquireLockFailed, never>(
        request(spec, false, fiber),
        (ticket) =>
          Effect.as(
            Scope.addFinalizerExit(scope, () => desk.release(ticket, undefined)),
            give(ticket, registry)
          ),
        refuse
      ),
      restore
    )
  })

/** What the holder of one lock can do with it. */
export class Hold {
  readonly key: Ticket["key"]
  private readonly ticket: Ticket
  private readonly registry: Registry
  constructor(ticket: Ticket, registry: Registry) {
    this.key = ticket.key.main
    this.ticket = ticket
    this.registry = registry
  }
  get mode(): Mode {
    return this.ticket.isUpgraded ? "exclusive" : this.ticket.mode
  }
  get upgrade(): Effect.Effect<void, AcquireLockFailed> {
    return uninterruptibly((restore, fiber) =>
      this.registry.upgrade(
        this.ticket,
        new Asking<void, AcquireLockFailed, never>(upgradeOf(this.ticket, fiber), () => Effect.void, refuse),
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
  const ticket = new Ticket(new Demand(key, "exclusive", limit, limit - permits), Upgrading.terms, owned, fiber)
  ticket.upgrades = hold
  return ticket
}

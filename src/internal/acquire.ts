/** The two ways to hold: for as long as an effect runs, and until a scope closes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import type { AcquireLockFailed } from "../LockError.ts"
import { LockRegistry } from "../LockRegistry.ts"
import { type Desk, logged, reentrant } from "./desk.ts"
import * as Log from "./lockLog.ts"
import type { Settings, Spec } from "./options.ts"
import { refuse } from "./refusal.ts"
import { Asking, type Registry } from "./registry.ts"
import { Ticket } from "./ticket.ts"
import { type AnyFiber, uninterruptibly } from "./uninterruptibly.ts"

/** One request by the running fiber, made now: a ticket for each lock, the first of which stands for all. */
export const request = ({ demand, others, settings }: Spec, owned: boolean, fiber: AnyFiber): Ticket => {
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

export const registryOf = ({ registry }: Settings, fiber: AnyFiber): Registry =>
  registry ?? Context.unsafeGet(fiber.currentContext, LockRegistry) as Registry

/** `desk` with what the settings ask for besides. */
export const deskOf = <E>(
  desk: Desk<E>,
  registry: Registry,
  settings: Settings,
  by: string | undefined,
  fiber: AnyFiber
): Desk<E> => {
  const heard = settings.log && Log.isHeard(fiber) ? logged(desk, by) : desk
  return settings.reentrant ? reentrant(heard, registry, fiber) : heard
}

/** Runs `self` while holding; `by` is the function whose effect it is. */
export const guard = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  spec: Spec,
  by?: string
): Effect.Effect<A, E | AcquireLockFailed, R> =>
  uninterruptibly((restore, fiber) => {
    const { settings } = spec
    const registry = registryOf(settings, fiber)
    const desk = deskOf<never>(registry, registry, settings, by, fiber)
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
): Effect.Effect<A, AcquireLockFailed, Scope.Scope> => scopedAt(spec, give, identity, release)

const release = (desk: Desk, ticket: Ticket) => () => desk.release(ticket, undefined)

/** The same at the desk that `at` makes of the registry, with another finalizer. */
export const scopedAt = <A, E>(
  spec: Spec,
  give: (ticket: Ticket, registry: Registry) => A,
  at: (registry: Registry) => Desk<E>,
  finalizer: (desk: Desk<E>, ticket: Ticket) => () => Effect.Effect<void>
): Effect.Effect<A, AcquireLockFailed | E, Scope.Scope> =>
  uninterruptibly((restore, fiber) => {
    const scope = Context.unsafeGet(fiber.currentContext as Context.Context<Scope.Scope>, Scope.Scope)
    const { settings } = spec
    const registry = registryOf(settings, fiber)
    const desk = deskOf(at(registry), registry, settings, undefined, fiber)
    return desk.acquire(
      new Asking<A, AcquireLockFailed, never>(
        request(spec, false, fiber),
        (ticket) => Effect.as(Scope.addFinalizerExit(scope, finalizer(desk, ticket)), give(ticket, registry)),
        refuse
      ),
      restore
    )
  })

/** The two ways to hold, in this process or beyond it, as the settings say. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ExternalHold, ExternalLock } from "../ExternalLock.ts"
import type { AcquireLockFailed, ExternalLockError, LockLost } from "../LockError.ts"
import type { LockRegistry } from "../LockRegistry.ts"
import * as Acquire from "./acquire.ts"
import * as Beyond from "./beyond.ts"
import type { Desk } from "./desk.ts"
import { goOn } from "./goOn.ts"
import * as Loss from "./loss.ts"
import { misuse } from "./misuse.ts"
import type { Spec } from "./options.ts"
import { refuse } from "./refusal.ts"
import { Asking, type Registry, type Restore } from "./registry.ts"
import type { Ticket } from "./ticket.ts"
import { type AnyFiber, uninterruptibly } from "./uninterruptibly.ts"

type GuardFailed = AcquireLockFailed | ExternalLockError | LockLost

const serviceOf = (fiber: AnyFiber): ExternalLock =>
  Context.unsafeGet(fiber.currentContext as Context.Context<ExternalLock>, ExternalLock)

/** Runs `self` while holding; `by` is the function whose effect it is. */
export const guard = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  spec: Spec,
  by?: string
): Effect.Effect<A, E | GuardFailed, R | ExternalLock> => {
  const { beyond } = spec.settings
  return beyond === undefined
    ? Acquire.guard(self, spec, by)
    : uninterruptibly((restore, fiber) => {
      const service = serviceOf(fiber)
      return goOn(
        Beyond.locate(spec, service, beyond),
        (spec) => guardAt(() => self, spec, service, beyond, by, restore, fiber)
      )
    })
}

/** The same, which dies instead of waiting for a hold of the running fiber. */
export const guardAnew = <A, E, R>(
  self: (hold: ExternalHold) => Effect.Effect<A, E, R>,
  spec: Spec,
  what: string
): Effect.Effect<A, E | GuardFailed, R | ExternalLock | LockRegistry> =>
  uninterruptibly((restore, fiber) => {
    const service = serviceOf(fiber)
    const beyond = spec.settings.beyond!
    return goOn(Beyond.locate(spec, service, beyond), (spec) => {
      const registry = Acquire.registryOf(spec.settings, fiber)
      return [spec.demand, ...spec.others].some(({ key }) => registry.isHeldBy(fiber.id(), key))
        ? Effect.die(
          misuse(`lock ${spec.demand.key} is held by the fiber that wants to ${what} it; let go of it first`)
        )
        : guardAt(([hold]) => self(hold!), spec, service, beyond, undefined, restore, fiber)
    })
  })

/** Runs `self` until it ends or the hold is lost. Must run uninterruptible. */
const guardAt = <A, E, R>(
  self: (holds: ReadonlyArray<ExternalHold>) => Effect.Effect<A, E, R>,
  spec: Spec,
  service: ExternalLock,
  beyond: Beyond.Terms,
  by: string | undefined,
  restore: Restore,
  fiber: AnyFiber
): Effect.Effect<A, E | GuardFailed, R> => {
  const { settings } = spec
  const registry = Acquire.registryOf(settings, fiber)
  const desk = Acquire.deskOf(Beyond.desk(registry, service, beyond), registry, settings, by, fiber)
  return desk.acquire(
    new Asking<A, E | GuardFailed, R>(
      Acquire.request(spec, true, fiber),
      (ticket) => {
        const holds = Beyond.holdsOf(ticket)
        return Loss.orLost(restore(self(holds)), holds, fiber, {
          onFailure: (cause) => Effect.zipRight(desk.release(ticket, undefined), Effect.failCause(cause)),
          onSuccess: (value) =>
            Effect.flatMap(desk.release(ticket, value), (value) => {
              const lost = Loss.known(holds)
              return lost === undefined ? Effect.succeed(value) : Effect.fail(Loss.completed(lost))
            })
        })
      },
      refuse
    ),
    restore
  )
}

/** Holds until the scope closes; `give` makes what the holder gets. */
export const scoped = <A>(
  spec: Spec,
  give: (ticket: Ticket, registry: Registry) => A
): Effect.Effect<A, AcquireLockFailed | ExternalLockError, Scope.Scope | ExternalLock> => {
  const { beyond } = spec.settings
  return beyond === undefined
    ? Acquire.scoped(spec, give)
    : Effect.withFiberRuntime((fiber) => {
      const service = serviceOf(fiber)
      const at = (registry: Registry) => Beyond.desk(registry, service, beyond)
      return goOn(
        Beyond.locate(spec, service, beyond),
        (spec) => Acquire.scopedAt(spec, give, at, releaseAndWarn)
      )
    })
}

/** Who holds until a scope closes may not have looked whether the lock was lost. */
const releaseAndWarn = (desk: Desk<unknown>, ticket: Ticket) => {
  const holds = Beyond.holdsOf(ticket)
  return () =>
    Effect.uninterruptible(Effect.flatMap(desk.release(ticket, undefined), () => {
      const lost = Loss.known(holds)
      return lost === undefined ? Effect.void : Effect.logWarning(`lock ${lost.key} was lost: ${lost.explanation}`)
    }))
}

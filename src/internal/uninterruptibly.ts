import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type { Restore } from "./registry.ts"

export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * `Effect.uninterruptibleMask` for an `f` that needs its fiber and only builds an
 * effect. Reading the fiber's flags here saves an operation, a fifteenth of an
 * uncontended acquisition.
 */
export const uninterruptibly = <A, E, R>(
  f: (restore: Restore, fiber: AnyFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
    RuntimeFlags.interruption(runtimeFlags)
      ? Effect.uninterruptible(f(Effect.interruptible, fiber))
      : f(identity, fiber)
  )

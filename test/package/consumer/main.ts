/**
 * A program of somebody who has installed the package: by name and by path, with
 * what it is given as arguments out of reach.
 */
import { Effect, type Scope } from "effect"
import * as Locks from "effect-locks"
import { ExternalLock } from "effect-locks/ExternalLock"
import * as Fence from "effect-locks/Fence"
import { FileLock } from "effect-locks/FileLock"
import { KernelLock } from "effect-locks/KernelLock"
import * as Lock from "effect-locks/Lock"
import * as LockAll from "effect-locks/LockAll"
import { type AcquireLockFailed, Deadlock } from "effect-locks/LockError"
import type { AcquireError, LocalLockOptions } from "effect-locks/LockOptions"
import { withPrefix } from "effect-locks/LockPrefix"
import { LockRegistry } from "effect-locks/LockRegistry"
import * as LockSemaphore from "effect-locks/LockSemaphore"
import { ReaderWriterLock } from "effect-locks/ReaderWriterLock"

const { lock, withLock } = Locks
const plain: Effect.Effect<number, never, LockRegistry> = Effect.succeed(1).pipe(withLock("x"))
const timed: Effect.Effect<number, AcquireLockFailed, LockRegistry> = withLock(plain, "y", { timeout: 1 })
const failed: AcquireError<LocalLockOptions> extends AcquireLockFailed ? true : false = true
const several: Effect.Effect<number, never, LockRegistry> = LockAll.withLockAll(
  Effect.map(Effect.scoped(LockAll.lockAll(["c", { name: "d", mode: "shared" }])), (holds) => holds.length),
  ["a", "b"]
)
const permits: Effect.Effect<number, never, LockRegistry> = Effect.scoped(
  Effect.map(LockSemaphore.semaphore("s", { permits: 4, take: 3 }), (held) => held.permits)
).pipe(LockSemaphore.withSemaphore("t", { permits: 1 }))
const locked: Effect.Effect<boolean, never, LockRegistry> = LockRegistry.isLocked("x").pipe(withLock("x"))
const reading = Effect.flatMap(ReaderWriterLock.make, (unnamed) => unnamed.withReadLock(unnamed.isReader))
// Here an optional property may be undefined as well.
export const nested = (options: { reentrant?: boolean; mode?: "shared" }): Effect.Effect<unknown, never, any> =>
  // @ts-expect-error: without a mode it is exclusive, and can fail
  lock("z", options)
// @ts-expect-error: the internals have no types
export type Hidden = typeof import("effect-locks/internal/line")

const all: Effect.Effect<ReadonlyArray<number | boolean>, AcquireLockFailed, LockRegistry> = Effect.all([
  Effect.zipRight(
    Effect.scoped(lock("z") satisfies Effect.Effect<Locks.Held, never, LockRegistry | Scope.Scope>),
    timed
  ),
  several,
  permits,
  locked,
  reading
])
const result = JSON.stringify(Effect.runSync(Effect.provide(all, LockRegistry.layer)))
if (result !== "[1,2,3,true,true]") throw new Error("not held: " + result)

const byPath = {
  ...Lock,
  ...LockAll,
  Deadlock,
  ExternalLock,
  FileLock,
  LockRegistry,
  ...LockSemaphore,
  ReaderWriterLock,
  withPrefix
}
for (const [name, value] of Object.entries(byPath)) {
  if ((Locks as Record<string, unknown>)[name] !== value) throw new Error("two copies of " + name)
}
if (Locks.Fence.make !== Fence.make) throw new Error("two copies of Fence")
if (!failed || Object.keys(await import("effect-locks/LockOptions")).length > 0) throw new Error("not only types")
const outside: Effect.Effect<void, Locks.ExternalLockError | Locks.LockLost, LockRegistry | ExternalLock> = withLock(
  Effect.void,
  "x",
  { external: true }
)
if (!Effect.isEffect(outside) || !Effect.isEffect(KernelLock)) throw new Error("no effects")

// The project has no types of Node.
declare const process: {
  readonly argv: ReadonlyArray<string>
  readonly report: { readonly getReport: () => { readonly sharedObjects: ReadonlyArray<string> } }
}
const native = () => process.report.getReport().sharedObjects.filter((file) => file.endsWith(".node"))
if (native().length > 0) throw new Error("importing loads " + native())

for (const hidden of process.argv.slice(2)) {
  const reached = await import(hidden).then(() => true, (error) => error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED")
  if (reached) throw new Error(hidden + " can be reached")
}

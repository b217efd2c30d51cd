/**
 * The Web Locks API, `navigator.locks`, on one page: https://w3c.github.io/web-locks/
 *
 * `make` gives an object with `request` and `query` whose locks live in the `LockRegistry` that is provided. Code that is
 * written with Effect shares them under the same prefix: `withLock("x", { prefix })` and `request("x", …)` exclude each other.
 */
import { Cause, Effect, Exit, Fiber, Option, Runtime } from "effect"
import { lock, LockRegistry } from "effect-locks"

export interface Lock {
  readonly name: string
  readonly mode: "exclusive" | "shared"
}

export interface RequestOptions {
  readonly mode?: "exclusive" | "shared" | undefined
  readonly ifAvailable?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly steal?: boolean | undefined
}

export interface LockManager {
  request<A>(name: string, callback: (lock: Lock) => A): Promise<Awaited<A>>
  request<A>(name: string, options: RequestOptions, callback: (lock: Lock | null) => A): Promise<Awaited<A>>
  /** There is no `clientId`: within one process there is one client. */
  query(): Promise<{ readonly held: ReadonlyArray<Lock>; readonly pending: ReadonlyArray<Lock> }>
}

/** The names that a browser would keep apart by origin. */
export const prefix = "web-locks"

const refuse = (name: string, options: RequestOptions): string | undefined => {
  if (name.startsWith("-")) return "the name of a lock must not start with a hyphen"
  // Its holder would go on as if it held the lock: a lock that can be taken away protects nothing.
  if (options.steal === true) return "no lock can be stolen from its holder"
  if (options.ifAvailable === true && options.signal !== undefined) return "with ifAvailable there is no wait to abort"
  return undefined
}

/**
 * An abort interrupts the fiber as long as `wait` runs. Whoever comes first decides: an abort that was heard before the end
 * of `wait` lets nothing run after it, for the interruption is seen at the next step, and then nobody listens any more.
 */
const abortable = <A, E, R>(wait: Effect.Effect<A, E, R>, signal: AbortSignal): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const abort = () => fiber.unsafeInterruptAsFork(fiber.id())
    return Effect.acquireUseRelease(
      Effect.sync(() => signal.addEventListener("abort", abort)),
      () => signal.aborted ? Effect.interrupt : wait,
      () => Effect.sync(() => signal.removeEventListener("abort", abort))
    )
  })

export const make: Effect.Effect<LockManager, never, LockRegistry> = Effect.map(
  Effect.runtime<LockRegistry>(),
  (runtime) => {
    /**
     * The "lock task queue" of the specification: what is asked for takes effect in the order of asking, and never before the
     * call has returned. Interruptible even where `make` was not. Nothing but an abort interrupts a task.
     */
    const enqueue = async <A>(task: Effect.Effect<A, never, LockRegistry>, signal?: AbortSignal): Promise<A> => {
      const fiber = Runtime.runFork(runtime)(Effect.interruptible(task), { immediate: false })
      const exit = await Effect.runPromise(Fiber.await(fiber))
      if (Exit.isSuccess(exit)) return exit.value
      throw Cause.isInterrupted(exit.cause) ? signal?.reason : Cause.squash(exit.cause)
    }

    const request = async (name: string, options: RequestOptions, callback: (lock: any) => unknown): Promise<any> => {
      const { ifAvailable = false, mode = "exclusive", signal } = options
      const refused = refuse(name, options)
      if (refused !== undefined) throw new DOMException(refused, "NotSupportedError")
      const wait = Effect.option(lock(name, { mode, prefix, blocking: !ifAvailable }))
      const task = Effect.scoped(Effect.gen(function*() {
        const held = yield* signal === undefined ? wait : abortable(wait, signal)
        // Async, so that what it throws is a rejection. The scope, and with it the lock, stays until the promise settles.
        const result = (async () => callback(Option.isSome(held) ? { name, mode } : null))()
        yield* Effect.promise(() => Promise.allSettled([result]))
        return { result }
      }))
      return (await enqueue(task, signal)).result
    }

    const query = async () => {
      const locks = (await enqueue(LockRegistry.snapshot)).filter(({ key }) => key.prefix === prefix)
      const list = (which: "holders" | "waiters") =>
        locks.flatMap((one) => one[which].map(({ mode }): Lock => ({ name: one.key.name, mode })))
      return { held: list("holders"), pending: list("waiters") }
    }

    return {
      query,
      request: (name: string, ...args: [(lock: Lock) => unknown] | [RequestOptions, (lock: Lock | null) => unknown]) =>
        args.length === 1 ? request(name, {}, args[0]) : request(name, ...args)
    }
  }
)

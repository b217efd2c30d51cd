/**
 * How an open file comes to be locked.
 *
 * The lock is the bytes [0, 2^62) of the file. Nobody is woken when they come
 * free, so who waits asks again and again, and who asks at the right moment gets
 * them. So that nobody waits for ever there is a *gate*, the byte after them: whoever
 * asks passes through the gate, shared with others, and leaves it at once. A waiter that
 * has waited for long takes the gate for itself; then nobody else gets past it
 * until that waiter has the lock. (Python's `lockf` locks all bytes of the file: it is
 * excluded by both, and so it waits too.)
 *
 * Invariant: who has the lock got it while holding the gate, and who holds the
 * gate for itself waits for the lock or leaves the gate.
 *
 * A lock file may be removed while it is awaited, and the file that is locked in
 * the end is then not the one that others lock. So the file is compared with what
 * is at the path, every time.
 */
import * as Effect from "effect/Effect"
import type { ByteRange, KernelLock } from "../KernelLock.ts"
import { isSame, type OpenFile } from "./openFiles.ts"
import type { Mode } from "./ticket.ts"

export const lock: ByteRange = { start: 0, length: 2 ** 62 }
export const gate: ByteRange = { start: 2 ** 62, length: 1 }

/** `stale`: the file is not at its path any more, and nothing is locked. */
export type Outcome = "locked" | "busy" | "stale"

/** All milliseconds. */
const firstDelay = 1
const longestDelay = 10
const growth = 1.5
const starvedAfter = 20
const shortestDelay = 1
/** Who has the gate loses nothing by its turn being late but that: it waits a hundredth of what it has waited. */
const patience = 100

const tryLock = (kernel: KernelLock, file: OpenFile, mode: Mode): Outcome => {
  if (!kernel.tryLock(file.fd, lock, mode)) return busy(kernel, file)
  if (isCurrent(kernel, file)) return "locked"
  kernel.unlock(file.fd, lock)
  return "stale"
}

/** Who locks a file that is not at its path any more may do so for ever, and keeps nobody out. */
const busy = (kernel: KernelLock, file: OpenFile): Outcome => isCurrent(kernel, file) ? "busy" : "stale"

export const isCurrent = (kernel: KernelLock, file: OpenFile): boolean =>
  isSame(file.identity, kernel.identify(file.path))

/** Locks it if that is possible now. */
export const attempt = (kernel: KernelLock, file: OpenFile, mode: Mode): Outcome => {
  if (!kernel.hasRanges) return tryLock(kernel, file, mode)
  if (!kernel.tryLock(file.fd, gate, "shared")) return busy(kernel, file)
  try {
    return tryLock(kernel, file, mode)
  } finally {
    kernel.unlock(file.fd, gate)
  }
}

/**
 * Asks until it is not busy any more. One operation, with timers of its own: a
 * fiber for each time would cost more than the lock.
 */
export const wait = (kernel: KernelLock, file: OpenFile, mode: Mode): Effect.Effect<Outcome, unknown> =>
  Effect.suspend(() => {
    const started = performance.now()
    let delay = firstDelay
    let hasGate = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = (): Outcome => {
      if (!hasGate && kernel.hasRanges && performance.now() - started >= starvedAfter) {
        hasGate = kernel.tryLock(file.fd, gate, "exclusive")
      }
      return hasGate ? tryLock(kernel, file, mode) : attempt(kernel, file, mode)
    }
    const stop = () => {
      clearTimeout(timer)
      if (hasGate) kernel.unlock(file.fd, gate)
      hasGate = false
    }
    // At odd times: two who ask in step would meet again and again.
    const pause = () =>
      hasGate
        ? Math.min(Math.max((performance.now() - started) / patience, shortestDelay), longestDelay)
        : delay * (0.5 + Math.random() / 2)
    const asking = Effect.async<Outcome, unknown>((resume) => {
      const askAgain = () => {
        try {
          const outcome = ask()
          if (outcome === "busy") {
            delay = Math.min(delay * growth, longestDelay)
            timer = setTimeout(askAgain, pause())
          } else {
            stop()
            resume(Effect.succeed(outcome))
          }
        } catch (error) {
          resume(Effect.fail(error))
        }
      }
      timer = setTimeout(askAgain, pause())
    })
    // Around it: who is interrupted just after it has begun does not come to a finalizer of its own.
    return Effect.onInterrupt(asking, () => Effect.sync(stop))
  })

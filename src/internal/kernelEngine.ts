import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { KernelLock } from "../KernelLock.ts"
import type { FileEngine, Surroundings } from "./fileEngine.ts"
import { FileHold } from "./fileHold.ts"
import { find } from "./fileHolders.ts"
import { KernelFiles, lookEvery } from "./kernelFiles.ts"
import { OpenFiles } from "./openFiles.ts"

/** Files locked by the kernel. */
export const make = (
  { exactly, fileMode, fs, path, prepare }: Surroundings
): Effect.Effect<FileEngine, never, KernelLock | Scope.Scope> =>
  Effect.gen(function*() {
    const kernel = yield* KernelLock
    const runtime = yield* Effect.runtime<never>()
    const files = new KernelFiles(
      kernel,
      new OpenFiles(fs, kernel, fileMode, exactly),
      (file) => prepare(path.dirname(file)),
      runtime
    )
    yield* Effect.addFinalizer(() => files.close)
    return {
      guarantees: {
        reach: "host",
        freedOnDeath: "at once",
        excludesWhile: { slow: true, paused: true, cutOff: true },
        starvationFree: kernel.hasRanges,
        arrivalOrder: false,
        fencing: false,
        shared: true,
        lossSeenWithin: Duration.millis(2 * lookEvery)
      },
      ending: "",
      acquire: (request, restore) => files.acquire(request, restore),
      tryAcquire: (request) => files.tryAcquire(request),
      remove: (file, hold) =>
        hold instanceof FileHold ? hold.remove(fs.remove(file)) : Effect.dieMessage("the hold is not of a file"),
      holders: (file) =>
        Effect.gen(function*() {
          const identity = yield* Effect.try(() => kernel.identify(file))
          if (identity === undefined) return { holders: [], complete: true }
          return (yield* find(fs, identity)) ?? { holders: [], complete: false }
        })
    }
  })

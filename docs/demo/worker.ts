/**
 * A process that adds its share of the parts to the tally: those of the list whose
 * number, divided by the number of processes, leaves this one's. It starts where a
 * process before it with the same share has stopped.
 */
import { FileSystem, Path } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer } from "effect"
import { FileLock, LockRegistry, withLock } from "effect-locks"
import { countFiles, parse, update } from "./tally.ts"

const fibers = 25

const [, , directory, locking, share, processes, victim] = process.argv as [string, string, string, ...Array<string>]

const say = (message: "added" | "holding") => Effect.sync(() => process.send!(message))

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(directory, "tally.json")
  const parts: ReadonlyArray<ReadonlyArray<string>> = JSON.parse(
    yield* fs.readFileString(path.join(directory, "parts.json"))
  )
  const added = new Set(parse(yield* fs.readFileString(file)).parts)
  const mine = parts.map((files, part) => ({ files, part }))
    .filter(({ part }) => part % Number(processes) === Number(share) && !added.has(part))
  let left = 5
  // The victim stops in the middle of an update, and is killed there.
  const between = Effect.suspend(() =>
    victim === "victim" && --left === 0 ? Effect.zipRight(say("holding"), Effect.never) : Effect.void
  )
  const add = ({ files, part }: typeof mine[number]) =>
    Effect.gen(function*() {
      const words = yield* countFiles(files)
      const adding = update(file, part, words, between)
      yield* locking === "lock" ? withLock(adding, "tally", { external: true }) : adding
      yield* say("added")
    })
  yield* Effect.forEach(mine, add, { concurrency: fibers, discard: true })
  process.disconnect()
})

const locks = Layer.merge(LockRegistry.layer, FileLock.layer({ lockPath: `${directory}/locks` }))

NodeRuntime.runMain(Effect.provide(program, Layer.provideMerge(locks, NodeContext.layer)))

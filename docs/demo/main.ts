/**
 * Four processes of many fibers tally the words of every text file under
 * node_modules/effect into one JSON file on disk: each reads it, adds what it counted and
 * writes it back. First nobody locks; then everybody does, and one process is
 * killed while it holds the lock. A single fiber says what is right.
 *
 * Run: npm run demo
 */
import { FileSystem, Path } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { progress, table } from "./report.ts"
import { add, chunks, countFiles, isEqual, nothing, parse, textFiles } from "./tally.ts"

const processes = 4
const filesPerUpdate = 25

type Parts = ReadonlyArray<ReadonlyArray<string>>

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

/** Runs a process until it ends; a victim is killed while it holds the lock, and another one takes its share. */
const runWorker = (
  directory: string,
  locking: "lock" | "none",
  share: number,
  isVictim: boolean,
  added: () => void
): Effect.Effect<number> =>
  Effect.async<number>((resume) => {
    const child = fork(worker, [directory, locking, String(share), String(processes), isVictim ? "victim" : ""])
    child.on("message", (message) => message === "holding" ? child.kill("SIGKILL") : added())
    child.on("exit", (code, signal) =>
      resume(
        signal === "SIGKILL"
          ? Effect.map(runWorker(directory, locking, share, false, added), (killed) => killed + 1)
          : code === 0
          ? Effect.succeed(0)
          : Effect.dieMessage(`a process of the demo ended with ${code ?? signal}`)
      ))
  })

const run = (title: string, parts: Parts, locking: "lock" | "none") =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "word-tally-" })
    const file = path.join(directory, "tally.json")
    yield* fs.writeFileString(file, JSON.stringify(nothing()))
    yield* fs.writeFileString(path.join(directory, "parts.json"), JSON.stringify(parts))
    const bar = progress(title, parts.length)
    const start = Date.now()
    let made = 0
    const killed = yield* Effect.forEach(
      Array.from({ length: processes }, (_, share) => share),
      (share) =>
        runWorker(directory, locking, share, locking === "lock" && share === 0, () => Effect.runSync(bar(++made))),
      { concurrency: "unbounded" }
    )
    const seconds = (Date.now() - start) / 1000
    const tally = parse(yield* fs.readFileString(file))
    return { title, made, killed: killed.reduce((a, b) => a + b), seconds, tally }
  }))

const singleFiber = (parts: Parts) =>
  Effect.gen(function*() {
    const title = "a single fiber"
    const bar = progress(title, parts.length)
    let tally = nothing()
    const start = Date.now()
    for (const [part, files] of parts.entries()) {
      tally = add(tally, part, yield* countFiles(files))
      yield* bar(tally.updates)
    }
    return { title, made: tally.updates, killed: 0, seconds: (Date.now() - start) / 1000, tally }
  })

const program = Effect.gen(function*() {
  const files = yield* textFiles("node_modules/effect")
  const parts = chunks(files, filesPerUpdate)
  yield* Console.log(
    `${files.length} text files, ${processes} processes, ${parts.length} updates of one JSON file\n`
  )
  const right = yield* singleFiber(parts)
  const unlocked = yield* run("without a lock", parts, "none")
  const locked = yield* run("withLock", parts, "lock")
  yield* Console.log(
    "\n" + table(
      ["", "updates made", "updates lost", "processes killed", "seconds", "tally is right"],
      [right, unlocked, locked].map(({ killed, made, seconds, tally, title }) => [
        title,
        String(made),
        String(parts.length - new Set(tally.parts).size),
        String(killed),
        seconds.toFixed(1),
        isEqual(tally, right.tally) ? "yes" : "NO"
      ])
    )
  )
  if (!isEqual(locked.tally, right.tally) || locked.killed !== 1) {
    return yield* Effect.dieMessage(`withLock lost updates, or nobody was killed`)
  }
})

NodeRuntime.runMain(Effect.provide(program, NodeContext.layer))

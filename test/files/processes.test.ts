/** Locks held by files against real processes. */
import { NodeContext } from "@effect/platform-node"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import type { ExternalLock } from "effect-locks"
import { FileLock, LockRegistry, withLock } from "effect-locks"
import { type ChildProcess, execFileSync, fork, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Worker } from "node:worker_threads"
import { holding } from "../utils/holding.js"

const root = path.resolve(import.meta.dirname, "../..")
const compiled = path.join(root, "build", "storm", "test", "storm")

// Compiled once: a process that compiles itself takes seconds to start.
beforeAll(() => {
  execFileSync(process.execPath, [
    path.join(root, "node_modules", "typescript", "bin", "tsc"),
    "-p",
    path.join(root, "test", "storm", "tsconfig.json")
  ])
}, 120_000)

const external = { external: true } as const

type Services = LockRegistry | FileLock | ExternalLock

/** A lock path that lives as long as the test. */
const test = (name: string, body: (lockPath: string) => Effect.Effect<void, unknown, Services>, only = true) =>
  it.live.runIf(only)(name, () =>
    Effect.acquireUseRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))),
      (lockPath) => Effect.provide(body(lockPath), servicesAt(lockPath)),
      (lockPath) => Effect.sync(() => fs.rmSync(lockPath, { recursive: true }))
    ), 60_000)

const servicesAt = (lockPath: string) =>
  Layer.merge(LockRegistry.layer, Layer.provide(FileLock.layer({ lockPath }), NodeContext.layer))

/** Waits until a process has written a line that starts with `text`, and gives the rest of it. */
const says = (child: ChildProcess, text: string) =>
  Effect.async<string>((resume) => {
    let said = ""
    const listen = (chunk: unknown) => {
      said += String(chunk)
      const line = said.split("\n").find((line) => line.startsWith(text))
      if (line === undefined) return
      child.stdout!.off("data", listen)
      resume(Effect.succeed(line.slice(text.length).trim()))
    }
    child.stdout!.on("data", listen)
  })

const exited = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
    else child.once("exit", () => resume(Effect.void))
  })

/** A process that holds `name` until it is let go; killed at the latest with the scope. */
const holder = (lockPath: string, name: string, mode: "exclusive" | "shared", besides?: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(path.join(compiled, "holder.js"), [lockPath, name, mode, ...(besides === undefined ? [] : [besides])], {
        silent: true
      })
    ),
    (child) => Effect.zipRight(Effect.sync(() => child.kill("SIGKILL")), exited(child))
  )

const isFree = (name: string, mode: "exclusive" | "shared" = "exclusive") =>
  Effect.isSuccess(withLock(Effect.void, name, { ...external, mode, blocking: false }))

describe("another process", () => {
  test("is excluded, or shares", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      const writer = yield* holder(lockPath, "w", "exclusive")
      const reader = yield* holder(lockPath, "r", "shared")
      yield* says(writer, "held")
      yield* says(reader, "held")
      assert.deepStrictEqual([yield* isFree("w"), yield* isFree("w", "shared")], [false, false])
      assert.deepStrictEqual([yield* isFree("r"), yield* isFree("r", "shared")], [false, true])
      const files = yield* FileLock
      if (process.platform === "linux") {
        const { complete, holders } = yield* files.holders("w")
        assert.deepStrictEqual(holders.map(({ mode, pid }) => [pid, mode]), [[writer.pid, "exclusive"]])
        assert.include(holders[0]!.command, "holder.js")
        assert.isTrue(complete)
      }
      writer.stdin!.end()
      yield* exited(writer)
      assert.strictEqual(writer.exitCode, 0)
      assert.isTrue(yield* isFree("w"))
    })))

  test("that is killed while it holds lets go at once, and so does a waiter that is killed", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      const first = yield* holder(lockPath, "x", "exclusive")
      yield* says(first, "held")
      // Long enough in line to have the gate.
      const second = yield* holder(lockPath, "x", "exclusive")
      yield* Effect.sleep(1500)
      const waiter = yield* Effect.fork(withLock(Effect.succeed("mine"), "x", external))
      yield* Effect.sleep(100)
      second.kill("SIGKILL")
      yield* exited(second)
      assert.isNull(waiter.unsafePoll())
      first.kill("SIGKILL")
      assert.strictEqual(yield* Fiber.join(waiter), "mine")
    })))

  test(
    "that was handed the open file keeps nobody out once the holder has let go",
    (lockPath) =>
      Effect.scoped(Effect.gen(function*() {
        const parent = yield* holder(lockPath, "x", "exclusive", "spawn")
        const child = Number(yield* says(parent, "child"))
        yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(child, "SIGKILL")))
        yield* Effect.sleep(50)
        assert.isFalse(yield* isFree("x"))
        parent.stdin!.end()
        yield* exited(parent)
        assert.isTrue(yield* isFree("x"))
      })),
    process.platform === "linux"
  )

  test("is served although readers of this one come and go without a gap", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      const reading = { ...external, mode: "shared" } as const
      let stop = false
      let served = false
      const reader = (first: number) =>
        Effect.repeat(withLock(Effect.sleep(first), "x", reading), { until: () => stop })
      const readers = yield* Effect.forEach([7, 9, 11, 13], (first) => Effect.fork(reader(first)))
      yield* Effect.sleep(20)
      const writer = yield* holder(lockPath, "x", "exclusive")
      yield* says(writer, "held")
      served = true
      writer.kill("SIGKILL")
      stop = true
      yield* Effect.forEach(readers, Fiber.join)
      assert.isTrue(served)
    })))

  test("is served before a long line of this one is", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      let left = 1000
      const visit = withLock(Effect.zipRight(Effect.sleep(10), Effect.sync(() => left--)), "x", external)
      const line = yield* Effect.fork(
        Effect.all(Array.from({ length: left }, () => visit), { concurrency: "unbounded" })
      )
      const other = yield* holder(lockPath, "x", "exclusive")
      yield* says(other, "held")
      assert.isAbove(left, 0)
      yield* Fiber.interrupt(line)
    })))
})

describe("worker threads", () => {
  test("exclude each other and the main thread, and one that is terminated lets go", (lockPath) =>
    Effect.scoped(Effect.gen(function*() {
      // A worker is ended by its input too.
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new Worker(path.join(compiled, "holder.js"), {
            argv: [lockPath, "x", "exclusive"],
            stdin: true,
            stdout: true
          })
        ),
        (worker) => Effect.promise(() => worker.terminate())
      )
      yield* Effect.async<void>((resume) => {
        worker.stdout.on("data", () => resume(Effect.void))
      })
      assert.isFalse(yield* isFree("x"))
      yield* Effect.promise(() => worker.terminate())
      assert.isTrue(yield* isFree("x"))
    })))
})

const hasPython = spawnSync("python3", ["-c", "import fcntl"]).status === 0
// eslint-disable-next-line no-console
if (!hasPython) console.log("skipped: there is no python3 with fcntl, so nothing is shown about Python here")
const hasFasteners = spawnSync("python3", ["-c", "import fasteners"]).status === 0
// eslint-disable-next-line no-console
if (!hasFasteners) console.log("skipped: Python's fasteners is not installed; what it calls is tested without it")

const holdingX = holding((body) => withLock(body, "x", external))

describe("Python's fcntl.lockf, as oslo and fasteners use it", () => {
  /** Runs lines of Python, in which `file` is the lock file, opened as fasteners does. */
  const python = (file: string, ...lines: ReadonlyArray<string>) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        spawn("python3", [
          "-u",
          "-c",
          ["import fcntl, os, sys", `path = ${JSON.stringify(file)}`, `file = open(path, "a+")`, ...lines].join("\n")
        ])
      ),
      (child) => Effect.zipRight(Effect.sync(() => child.kill("SIGKILL")), exited(child))
    )
  const tryLock = (how: string) => [
    "try:",
    `    fcntl.lockf(file, fcntl.${how} | fcntl.LOCK_NB)`,
    `    print("locked")`,
    "except OSError:",
    `    print("busy")`,
    "sys.stdin.read()"
  ]

  const pathOf = (name: string) => Effect.flatMap(FileLock, (files) => files.path(name))
  const outcome = (file: string, how: string) =>
    Effect.scoped(
      Effect.flatMap(python(file, ...tryLock(how)), (child) =>
        Effect.race(Effect.as(says(child, "locked"), "locked"), Effect.as(says(child, "busy"), "busy")))
    )

  test("is excluded, and shares", () =>
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      const both = Effect.all([outcome(file, "LOCK_EX"), outcome(file, "LOCK_SH")])
      assert.deepStrictEqual(yield* withLock(both, "x", external), ["busy", "busy"])
      assert.deepStrictEqual(yield* withLock(both, "x", { ...external, mode: "shared" }), ["busy", "locked"])
      assert.deepStrictEqual(yield* both, ["locked", "locked"])
    }), hasPython)

  test("excludes, and shares", () =>
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      const while_ = (how: string) =>
        Effect.scoped(Effect.gen(function*() {
          yield* says(yield* python(file, ...tryLock(how)), "locked")
          return [yield* isFree("x"), yield* isFree("x", "shared")]
        }))
      assert.deepStrictEqual(yield* while_("LOCK_EX"), [false, false])
      assert.deepStrictEqual(yield* while_("LOCK_SH"), [false, true])
      assert.isTrue(yield* isFree("x"))
    }), hasPython)

  test("fasteners' own locks are excluded, exclude, and share", () =>
    Effect.gen(function*() {
      const file = yield* pathOf("x")
      /** Its lock, its reader and its writer: can each be had? */
      const theirs = Effect.sync(() =>
        spawnSync("python3", [
          "-c",
          [
            "import fasteners, sys",
            "path = sys.argv[1]",
            "lock, both = fasteners.InterProcessLock(path), fasteners.InterProcessReaderWriterLock(path)",
            "got = [lock.acquire(blocking=False)]",
            "if got[0]: lock.release()",
            "got.append(both.acquire_read_lock(blocking=False))",
            "if got[1]: both.release_read_lock()",
            "got.append(both.acquire_write_lock(blocking=False))",
            "print(*got)"
          ].join("\n"),
          file
        ], { encoding: "utf8" }).stdout.trim()
      )
      assert.strictEqual(yield* withLock(theirs, "x", external), "False False False")
      assert.strictEqual(yield* withLock(theirs, "x", { ...external, mode: "shared" }), "False True False")
      assert.strictEqual(yield* theirs, "True True True")
      const during = (call: string) =>
        Effect.scoped(Effect.gen(function*() {
          yield* says(
            yield* python(file, "import fasteners", `${call}`, `print("locked")`, "sys.stdin.read()"),
            "locked"
          )
          return [yield* isFree("x"), yield* isFree("x", "shared")]
        }))
      assert.deepStrictEqual(
        yield* during("kept = fasteners.InterProcessLock(path); kept.acquire()"),
        [false, false]
      )
      assert.deepStrictEqual(
        yield* during("kept = fasteners.InterProcessReaderWriterLock(path); kept.acquire_read_lock()"),
        [false, true]
      )
    }), hasFasteners)

  test("waits for the end of a hold, and is waited for", () =>
    Effect.scoped(Effect.gen(function*() {
      const file = yield* pathOf("x")
      const ours = yield* holdingX
      const theirs = yield* python(
        file,
        `print("asking")`,
        "fcntl.lockf(file, fcntl.LOCK_EX)",
        `print("locked")`,
        "sys.stdin.read()"
      )
      yield* says(theirs, "asking")
      const next = yield* Effect.fork(says(theirs, "locked"))
      yield* Effect.sleep(50)
      assert.isNull(next.unsafePoll())
      yield* ours.letGo
      yield* Fiber.join(next)
      const mine = yield* Effect.fork(withLock(Effect.void, "x", external))
      yield* Effect.sleep(50)
      assert.isNull(mine.unsafePoll())
      theirs.kill("SIGKILL")
      yield* Fiber.join(mine)
    })), hasPython)

  test(
    "pinned: a waiter of theirs locks the file that was removed, which nobody else does any more",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const file = yield* pathOf("x")
        const files = yield* FileLock
        const ours = yield* holdingX
        // It does not ask again and again, so it is served last, after the removal.
        const theirs = yield* python(
          file,
          `print("open")`,
          "sys.stdin.readline()",
          "fcntl.lockf(file, fcntl.LOCK_EX)",
          `print("locked")`,
          "sys.stdin.read()"
        )
        yield* says(theirs, "open")
        yield* ours.letGo
        yield* files.remove("x")
        theirs.stdin.write("\n")
        yield* says(theirs, "locked")
        assert.isTrue(yield* isFree("x"), "both hold it")
      })),
    hasPython
  )
})

describe("a storm", () => {
  it.live(
    "of locks by directories: killed holders are taken over by many at once, never by two",
    () =>
      Effect.gen(function*() {
        const { run } = yield* Effect.promise(() => import("../storm/storm.js"))
        const result = yield* Effect.promise(() =>
          run(
            { kind: "portable", processes: 6, seconds: 8, kills: 20, removals: 20, killEvery: 30 },
            undefined,
            compiled
          )
        )
        const { complaints, counted, free, kills, leftover, missing, stuck, twice } = result
        assert.deepStrictEqual(complaints, [])
        assert.strictEqual(twice, 0, "updates lost")
        assert.strictEqual(stuck, 0, "processes that did not end")
        assert.isAtLeast(kills, 20)
        assert.isAbove(counted, 200)
        assert.isAtMost(missing, kills + result.seconds)
        assert.isTrue(free)
        assert.deepStrictEqual(leftover, [".drafts", "counter.lock"])
      }),
    200_000
  )

  it.live(
    "8 processes of 4 fibers, holders killed, the file removed: nothing is lost, nobody is stuck",
    () =>
      Effect.gen(function*() {
        const { hasPython, run } = yield* Effect.promise(() => import("../storm/storm.js"))
        const result = yield* Effect.promise(() =>
          run(
            { kind: "kernel", processes: 8, seconds: 15, kills: 20, removals: 20, killEvery: 60 },
            undefined,
            compiled
          )
        )
        const { complaints, counted, free, kills, leftover, missing, python, removals, stuck, twice } = result
        assert.deepStrictEqual(complaints, [])
        assert.strictEqual(twice, 0, "updates lost")
        assert.strictEqual(stuck, 0, "processes that did not end")
        assert.isAtLeast(kills, 20)
        assert.isAtLeast(removals, 20)
        assert.isAbove(counted, 500)
        assert.isAtMost(missing, kills + result.seconds)
        assert.isTrue(free)
        assert.deepStrictEqual(leftover, ["counter"])
        assert.strictEqual(python, hasPython())
        if (python) assert.isAbove(result.byPython, 0, "Python took part")
      }),
    200_000
  )
})

/**
 * Hundreds of fibers tally the words of every text file under node_modules into
 * one JSON file on disk: each reads it, adds what it counted and writes it back.
 * First nobody locks, then everybody does; a single fiber says what is right.
 *
 * Run: npm run demo
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Number, Order, Ref } from "effect"
import { LockRegistry, withLock } from "effect-locks"
import { progress, table } from "./report.ts"

const fibers = 300
const filesPerUpdate = 20

interface Tally {
  readonly updates: number
  readonly words: Record<string, number>
}

const nothing = (): Tally => ({ updates: 0, words: Object.create(null) })

/** `constructor` is a word like any other, also in a tally that comes from a file. */
const parse = (json: string): Tally => {
  const tally: Tally = JSON.parse(json)
  return { updates: tally.updates, words: Object.assign(Object.create(null), tally.words) }
}

/** The words of a text in small letters; an identifier in camel case is several. */
const wordsOf = (text: string): ReadonlyArray<string> =>
  text.match(/[A-Z]?[a-z]+/g)?.map((word) => word.toLowerCase()) ?? []

const count = (texts: ReadonlyArray<string>): Record<string, number> => {
  const words: Record<string, number> = Object.create(null)
  for (const text of texts) {
    for (const word of wordsOf(text)) words[word] = (words[word] ?? 0) + 1
  }
  return words
}

const add = (tally: Tally, words: Record<string, number>): Tally => {
  for (const word in words) tally.words[word] = (tally.words[word] ?? 0) + words[word]!
  return { updates: tally.updates + 1, words: tally.words }
}

const isEqual = (a: Tally, b: Tally): boolean => {
  const words = Object.keys(a.words)
  return words.length === Object.keys(b.words).length && words.every((word) => a.words[word] === b.words[word])
}

const textFiles = (root: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(root, { recursive: true })
    const texts = names.filter((name) => /\.(md|ts|js)$/.test(name)).map((name) => path.join(root, name))
    return yield* Effect.filter(
      texts.sort(Order.string),
      (file) => Effect.map(fs.stat(file), (info) => info.type === "File"),
      { concurrency: 32 }
    )
  })

const chunks = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

const countFiles = (files: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return count(yield* Effect.forEach(files, (file) => fs.readFileString(file)))
  })

/** Reads the tally, changes it, writes it back. The file is replaced whole, so nobody reads half of it. */
const update = (file: string, words: Record<string, number>, temporary: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const tally = parse(yield* fs.readFileString(file))
    yield* fs.writeFileString(temporary, JSON.stringify(add(tally, words)))
    yield* fs.rename(temporary, file)
  })

const run = (
  title: string,
  parts: ReadonlyArray<ReadonlyArray<string>>,
  guard: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, LockRegistry | R>
) =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "word-tally-" })
    const file = path.join(directory, "tally.json")
    yield* fs.writeFileString(file, JSON.stringify(nothing()))
    const made = yield* Ref.make(0)
    const bar = progress(title, parts.length)
    const start = Date.now()
    yield* Effect.forEach(
      parts,
      (files, i) =>
        Effect.gen(function*() {
          const words = yield* countFiles(files)
          yield* guard(update(file, words, path.join(directory, `${i}.tmp`)))
          yield* bar(yield* Ref.updateAndGet(made, Number.increment))
        }),
      { concurrency: fibers, discard: true }
    )
    const seconds = (Date.now() - start) / 1000
    const tally = parse(yield* fs.readFileString(file))
    return { title, made: yield* Ref.get(made), lost: (yield* Ref.get(made)) - tally.updates, seconds, tally }
  }))

const singleFiber = (parts: ReadonlyArray<ReadonlyArray<string>>) =>
  Effect.gen(function*() {
    const bar = progress("a single fiber", parts.length)
    let tally = nothing()
    const start = Date.now()
    for (const files of parts) {
      tally = add(tally, yield* countFiles(files))
      yield* bar(tally.updates)
    }
    return { title: "a single fiber", made: tally.updates, lost: 0, seconds: (Date.now() - start) / 1000, tally }
  })

const program = Effect.gen(function*() {
  const files = yield* textFiles("node_modules")
  const parts = chunks(files, filesPerUpdate)
  yield* Console.log(
    `${files.length} text files, ${
      Math.min(fibers, parts.length)
    } fibers at a time, ${parts.length} updates of one JSON file\n`
  )
  const right = yield* singleFiber(parts)
  const unlocked = yield* run("without a lock", parts, (self) => self)
  const locked = yield* run("withLock", parts, withLock("tally"))
  yield* Console.log(
    "\n" + table(
      ["", "updates made", "updates lost", "seconds", "tally is right"],
      [right, unlocked, locked].map(({ lost, made, seconds, tally, title }) => [
        title,
        String(made),
        String(lost),
        seconds.toFixed(1),
        isEqual(tally, right.tally) ? "yes" : "NO"
      ])
    )
  )
  if (locked.lost > 0 || !isEqual(locked.tally, right.tally)) {
    return yield* Effect.dieMessage(`withLock lost ${locked.lost} updates`)
  }
})

NodeRuntime.runMain(Effect.provide(program, Layer.merge(LockRegistry.layer, NodeContext.layer)))

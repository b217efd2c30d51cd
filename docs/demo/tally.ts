/** A tally of words in a JSON file, and how to add to it. */
import { FileSystem, Path } from "@effect/platform"
import { Effect, Order } from "effect"

export interface Tally {
  readonly updates: number
  /** Which parts are in it. */
  readonly parts: ReadonlyArray<number>
  readonly words: Record<string, number>
}

export const nothing = (): Tally => ({ updates: 0, parts: [], words: Object.create(null) })

/** `constructor` is a word like any other, also in a tally that comes from a file. */
export const parse = (json: string): Tally => {
  const tally: Tally = JSON.parse(json)
  return { ...tally, words: Object.assign(Object.create(null), tally.words) }
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

export const add = (tally: Tally, part: number, words: Record<string, number>): Tally => {
  for (const word in words) tally.words[word] = (tally.words[word] ?? 0) + words[word]!
  return { updates: tally.updates + 1, parts: [...tally.parts, part], words: tally.words }
}

export const isEqual = (a: Tally, b: Tally): boolean => {
  const words = Object.keys(a.words)
  return words.length === Object.keys(b.words).length && words.every((word) => a.words[word] === b.words[word])
}

export const textFiles = (root: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* fs.readDirectory(root, { recursive: true })
    const texts = names.filter((name) => /\.(md|ts)$/.test(name)).map((name) => path.join(root, name))
    return yield* Effect.filter(
      texts.sort(Order.string),
      (file) => Effect.map(fs.stat(file), (info) => info.type === "File"),
      { concurrency: 32 }
    )
  })

export const chunks = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

export const countFiles = (files: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return count(yield* Effect.forEach(files, (file) => fs.readFileString(file)))
  })

/**
 * Reads the tally, adds a part and writes it back; `between` is done in between.
 * The file is replaced whole, so nobody reads half of it.
 */
export const update = (
  file: string,
  part: number,
  words: Record<string, number>,
  between: Effect.Effect<void> = Effect.void
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const tally = parse(yield* fs.readFileString(file))
    yield* between
    yield* fs.writeFileString(`${file}.${part}`, JSON.stringify(add(tally, part, words)))
    yield* fs.rename(`${file}.${part}`, file)
  })

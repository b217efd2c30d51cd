/** The API reference that docgen has written. */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const directory = path.resolve(import.meta.dirname, "../../build/modules")

export const pages = readdirSync(directory)
  .filter((file) => file.endsWith(".ts.md") && file !== "index.ts.md")
  .map((file) => ({ module: path.basename(file, ".ts.md"), text: readFileSync(path.join(directory, file), "utf8") }))

export const examples = pages.map(({ module, text }) => ({
  module,
  code: Array.from(text.matchAll(/\*\*Example\*\*\s+(```ts\n[\s\S]*?```)/g), ([, code]) => code!).join("\n")
}))

const allExamples = examples.map(({ code }) => code).join()

/**
 * Every public function, service and error has an example, and so has every member
 * of what is exported as an object. Docgen would ask it of every type.
 */
export const missing = (): ReadonlyArray<string> =>
  pages.flatMap(({ module, text }) =>
    text.split(/^## /m).slice(1).flatMap((section) => {
      const title = section.slice(0, section.indexOf("\n"))
      if (/ overview$|\((interface|type alias)\)$|^TypeId$/.test(title)) return []
      if (!section.includes("**Example**")) return [`${module}: ${title} has no example`]
      if (title.endsWith("(class)")) return []
      const signature = section.match(/\*\*Signature\*\*\s+```ts\n([\s\S]*?)```/)?.[1] ?? ""
      return Array.from(signature.matchAll(/^ {2}readonly (\w+):/gm), ([, member]) => `${title}.${member}`)
        .filter((member) => !allExamples.includes(member))
        .map((member) => `${module}: ${member} is in no example`)
    })
  )

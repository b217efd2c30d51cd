/**
 * Compiles and runs every TypeScript example of the README, of the guides and of the
 * API reference, which docgen must have written before.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { examplesOf, run } from "./examples.ts"
import { examples, missing } from "./reference.ts"

const root = path.resolve(import.meta.dirname, "../..")
const guides = [
  "README.md",
  ...readdirSync(path.join(root, "docs")).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`)
]

const ofGuides = guides.flatMap((guide) => examplesOf(guide, readFileSync(path.join(root, guide), "utf8")))
const ofReference = examples.flatMap(({ code, module }) => examplesOf(`API of ${module}`, code))

const failures = [
  ...(ofGuides.length === 0 || ofReference.length === 0 ? ["no example was found"] : []),
  ...missing(),
  ...(await run([...ofGuides, ...ofReference]))
]
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exit(1)
console.log(
  `${ofGuides.length} examples of ${guides.length} pages and ${ofReference.length} of the API reference compiled and run`
)

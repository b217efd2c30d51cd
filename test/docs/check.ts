/**
 * Compiles every TypeScript example of the README, of the guides and of the API reference, which docgen must have
 * written before (it runs its examples, and checks no types), runs those of the pages, and looks whether the links of the
 * pages lead somewhere.
 *
 * Run: tsx test/docs/check.ts [part of the name of a page]
 */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { find } from "../postgres/binaries.ts"
import { start } from "../postgres/server.ts"
import { type Example, examplesOf, run } from "./examples.ts"
import { broken } from "./links.ts"
import { examples, missing } from "./reference.ts"

const startServer = async () => {
  const found = await find()
  return "missing" in found ? found : start()
}

const root = path.resolve(import.meta.dirname, "../..")
const part = process.argv[2] ?? ""
const markdown = (directory: string) =>
  readdirSync(path.join(root, directory)).filter((file) => file.endsWith(".md")).map((file) =>
    path.posix.join(directory, file)
  )
const guides = [...markdown("."), ...markdown("docs")].filter((page) => page.includes(part))

const ofGuides = guides.flatMap((guide) => examplesOf(guide, readFileSync(path.join(root, guide), "utf8")))
const ofReference = examples.flatMap(({ code, module }) => examplesOf(`API of ${module}`, code))
  .filter(({ page }) => page.includes(part))

// What needs a database has one of its own.
const needsDatabase = ({ code }: Example) => code.includes("DATABASE_URL")
const server = await startServer()
if ("missing" in server) {
  if (process.env["CI"]) throw new Error(`PostgreSQL is missing: ${server.missing}`)
  console.log(`skipped: examples that need a database: ${server.missing}`)
} else process.env["DATABASE_URL"] = server.url()
// Docgen has run those of the reference.
const isRun = (example: Example) =>
  !ofReference.includes(example) && (!("missing" in server) || !needsDatabase(example))

const failures = [
  ...(part === "" && (ofGuides.length === 0 || ofReference.length === 0) ? ["no example was found"] : []),
  ...guides.flatMap(broken),
  ...missing(),
  ...(await run([...ofGuides, ...ofReference], isRun))
]
if (!("missing" in server)) await server.remove()
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exit(1)
console.log(
  `${ofGuides.length} examples of ${guides.length} pages and ${ofReference.length} of the API reference compiled, those of the pages run`
)

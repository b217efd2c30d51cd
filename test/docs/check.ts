/**
 * Compiles and runs every TypeScript example of the README, of the guides and of the
 * classes in src, each as a program of its own, and looks whether links lead somewhere.
 *
 * An example that begins with its own name, as in `// stock.ts`, is a file beside
 * the others of its guide, which may import it. What is named `*.test.ts` is run
 * by Vitest.
 *
 * Run: tsx test/docs/check.ts [part of the name of a page]
 */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const out = path.join(root, "build", "examples")
const part = process.argv[2] ?? ""
const all = ["README.md", ...readdirSync(path.join(root, "docs")).map((file) => `docs/${file}`)]
const guides = all.filter((file) => file.endsWith(".md") && file.includes(part))
const read = (file: string) => readFileSync(path.join(root, file), "utf8")

const toFile = (page: string, name: string) => path.join(out, page.replaceAll(/[^A-Za-z]/g, "-"), name)

const ofGuides = guides.flatMap((page) =>
  Array.from(read(page).matchAll(/```ts\n([\s\S]*?)```/g), ([, code], i) => ({
    page,
    code: code!,
    file: toFile(page, /^\/\/ (\S+\.ts)\n/.exec(code!)?.[1] ?? `${i + 1}.ts`)
  }))
)

/** The examples of classes, which docgen leaves out. */
const ofClasses = readdirSync(path.join(root, "src")).filter((file) => file.endsWith(".ts") && file.includes(part))
  .flatMap(
    (source) => {
      const page = `src/${source}`
      const pattern = /@example\n((?: \*(?!\/).*\n)*) \*\/\nexport (?:abstract )?class (\w+)/g
      return Array.from(read(page).matchAll(pattern), ([, comment, name]) => ({
        page,
        code: comment!.replaceAll(/^ \* ?/gm, ""),
        file: toFile(page, `${name}.ts`)
      }))
    }
  )

const examples = [...ofGuides, ...ofClasses]

/** What a program said that failed. */
const run = (command: ReadonlyArray<string>): Promise<string | undefined> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, command, { cwd: root })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => said += chunk)
    child.on("close", (code) => resolve(code === 0 ? undefined : said || `it ended with ${code}`))
  })

const fail = (what: string, output: string): never => {
  console.error(`${what}\n${output}`)
  process.exit(1)
}

const withoutCode = (markdown: string) => markdown.replaceAll(/^```[\s\S]*?^```$/gm, "")

/** The anchors of a page, as GitHub makes them from its headings. */
const anchorsOf = (file: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading] of withoutCode(read(file)).matchAll(/^#+ (.*)$/gm)) {
    const text = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
    const anchor = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-")
    let next = anchor
    for (let i = 1; anchors.has(next); i++) next = `${anchor}-${i}`
    anchors.add(next)
  }
  return anchors
}

/** Why a link of `guide` leads nowhere, if it does. */
const objection = (guide: string, link: string): string | undefined => {
  if (/^[a-z]+:/.test(link)) return undefined
  const [to, anchor] = link.split("#")
  const file = to === "" ? guide : path.join(path.dirname(guide), to!)
  if (!existsSync(path.join(root, file))) return `${guide}: there is no ${file}`
  return anchor === undefined || anchorsOf(file).has(anchor) ? undefined : `${guide}: ${file} has no #${anchor}`
}

/** A file of ours that a page speaks of: in the root, or in one of the rooms of the library. */
const exists = (file: string) =>
  ["", "docs", "src", "src/internal"].some((directory) => existsSync(path.join(root, directory, file)))

const broken = guides.flatMap((guide) => {
  const text = withoutCode(read(guide))
  return [
    ...Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => objection(guide, link!) ?? []),
    ...Array.from(
      text.matchAll(/`([\w/.-]+\.ts)`/g),
      ([, file]) => exists(file!) ? [] : `${guide}: there is no ${file}`
    )
  ].flat()
})
if (broken.length > 0) fail("links lead nowhere", broken.join("\n"))

if (examples.length === 0 && part === "") fail("no example was found", "")
const files = examples.map(({ file }) => file)
const twice = files.filter((file, i) => files.indexOf(file) !== i)
if (twice.length > 0) fail("two examples of a guide have one name", twice.join("\n"))

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
for (const { code, file } of examples) {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, code)
}
writeFileSync(
  path.join(out, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.base.json",
    compilerOptions: { noEmit: true, types: ["node"] },
    include: ["."]
  })
)
writeFileSync(
  path.join(out, "vitest.config.ts"),
  `import { defineConfig } from "vitest/config"\n` +
    `import ours from "../../vitest.config.ts"\n` +
    `export default defineConfig({ ...ours, test: { include: ["**/*.test.ts"] } })\n`
)

if (examples.length > 0) {
  const compiled = await run(["node_modules/typescript/bin/tsc", "-p", path.join(out, "tsconfig.json")])
  if (compiled !== undefined) fail("the examples do not compile", compiled)
}
const programs = examples.filter(({ file }) => !file.endsWith(".test.ts"))
const runPrograms = async () => {
  for (let next = programs.shift(); next !== undefined; next = programs.shift()) {
    const ran = await run(["--import", "tsx", next.file])
    if (ran !== undefined) fail(`an example of ${next.page} fails: ${path.relative(root, next.file)}`, ran)
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, runPrograms))
if (files.some((file) => file.endsWith(".test.ts"))) {
  const tested = await run(["node_modules/vitest/vitest.mjs", "run", "--root", out])
  if (tested !== undefined) fail("a test among the examples fails", tested)
}
console.log(`${examples.length} examples of ${new Set(examples.map(({ page }) => page)).size} pages compiled and run`)

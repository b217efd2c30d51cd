/**
 * Compiles and runs every TypeScript example of the README and of the guides,
 * each as a program of its own.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const out = path.join(root, "build", "examples")
const guides = readdirSync(path.join(root, "docs")).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`)

const examples = ["README.md", ...guides].flatMap((guide) => {
  const text = readFileSync(path.join(root, guide), "utf8")
  return Array.from(text.matchAll(/```ts\n([\s\S]*?)```/g), ([, code], i) => ({
    guide,
    code: code!,
    file: path.join(out, `${guide.replaceAll(/[^A-Za-z]/g, "-")}-${i + 1}.ts`)
  }))
})

const run = (command: ReadonlyArray<string>): string | undefined => {
  const { status, stderr, stdout } = spawnSync(process.execPath, command, { cwd: root, encoding: "utf8" })
  return status === 0 ? undefined : stdout + stderr
}

const fail = (what: string, output: string): never => {
  console.error(`${what}\n${output}`)
  process.exit(1)
}

if (examples.length === 0) fail("no example was found", "")

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
for (const { code, file } of examples) writeFileSync(file, code)
writeFileSync(
  path.join(out, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.base.json",
    compilerOptions: { noEmit: true, types: ["node"] },
    include: ["."]
  })
)

const compiled = run(["node_modules/typescript/bin/tsc", "-p", path.join(out, "tsconfig.json")])
if (compiled !== undefined) fail("the examples do not compile", compiled)
for (const { file, guide } of examples) {
  const ran = run(["--import", "tsx", file])
  if (ran !== undefined) fail(`an example of ${guide} fails: ${path.relative(root, file)}`, ran)
}
console.log(`${examples.length} examples of ${1 + guides.length} pages compiled and run`)

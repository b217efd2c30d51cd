/**
 * The TypeScript of the README, of the guides and of the API reference, as programs.
 *
 * An example that begins with its own name, as in `// stock.ts`, is a file beside
 * the others of its page, which may import it. What is named `*.test.ts` is run
 * by Vitest.
 */
import * as esbuild from "esbuild"
import { execFile } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const out = path.join(root, "build", "examples")

/** No example takes a second; one that hangs must not hang whoever runs it. */
const patience = 60_000

export interface Example {
  readonly page: string
  /** Where it is below `out`. */
  readonly file: string
  readonly code: string
}

export const examplesOf = (page: string, text: string): ReadonlyArray<Example> =>
  Array.from(text.matchAll(/```ts\n([\s\S]*?)```/g), ([, code], i) => ({
    page,
    file: path.join(page.replaceAll(/[^A-Za-z]+/g, "-"), /^\/\/ (\S+\.ts)\n/.exec(code!)?.[1] ?? `${i + 1}.ts`),
    code: code!
  }))

/** What a program said that failed. */
const fails = (command: ReadonlyArray<string>, timeout = patience): Promise<string | undefined> =>
  new Promise((resolve) =>
    execFile(process.execPath, command, { cwd: root, encoding: "utf8", timeout }, (error, stdout, stderr) =>
      resolve(
        error === null
          ? undefined
          : error.killed
          ? `did not end within ${timeout / 1000} s\n${stdout}${stderr}`
          : `${stdout}${stderr}` || error.message
      ))
  )

const isTest = ({ file }: Example) => file.endsWith(".test.ts")

/** Compiles all at once, and runs each that can run as a program of its own. What is wrong, or nothing. */
export const run = async (
  examples: ReadonlyArray<Example>,
  isRun: (example: Example) => boolean
): Promise<ReadonlyArray<string>> => {
  rmSync(out, { recursive: true, force: true })
  for (const { code, file } of examples) {
    mkdirSync(path.dirname(path.join(out, file)), { recursive: true })
    // Two examples of a page that have one name.
    writeFileSync(path.join(out, file), code, { flag: "wx" })
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
  const compiled = await fails([path.join(root, "node_modules/typescript/bin/tsc"), "-p", out], 5 * patience)
  if (compiled !== undefined) return [`the examples do not compile: ${compiled}`]

  const programs = examples.filter((example) => !isTest(example))
  // With effect and the library, once for all: to load effect module by module takes each of them a second.
  await esbuild.build({
    entryPoints: programs.map(({ file }) => path.join(out, file)),
    outbase: out,
    outdir: path.join(out, "js"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    external: [
      "@effect/vitest",
      "@parcel/watcher",
      "async-lock",
      "async-mutex",
      "koffi",
      "msgpackr",
      "pg",
      "pg-cursor",
      "proper-lockfile",
      "undici",
      "vitest",
      "ws"
    ],
    sourcemap: true
  })
  const failures: Array<string> = []
  const left = programs.filter(isRun)
  const work = async (): Promise<void> => {
    for (let program = left.shift(); program !== undefined; program = left.shift()) {
      const { file, page } = program
      const failed = await fails(["--enable-source-maps", path.join(out, "js", file.replace(/\.ts$/, ".mjs"))])
      if (failed !== undefined) failures.push(`an example of ${page} fails, build/examples/${file}: ${failed}`)
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, work))
  if (examples.some(isTest)) {
    const failed = await fails([path.join(root, "node_modules/vitest/vitest.mjs"), "run", "--root", out], 5 * patience)
    if (failed !== undefined) failures.push(`a test among the examples fails: ${failed}`)
  }
  return failures
}

/** The TypeScript of the README, of the guides and of the API reference, as programs. */
import * as esbuild from "esbuild"
import { execFile, execFileSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const out = path.join(root, "build", "guides")

/** No example takes a second; one that hangs must not hang whoever runs it. */
const patience = 60_000

export interface Example {
  readonly page: string
  readonly code: string
}

export const examplesOf = (page: string, text: string): ReadonlyArray<Example> =>
  Array.from(text.matchAll(/```ts\n([\s\S]*?)```/g), ([, code]) => ({ page, code: code! }))

const outputOf = (error: unknown): string => {
  const { message, stderr, stdout } = error as { message: string; stderr?: unknown; stdout?: unknown }
  return `${message}\n${stdout ?? ""}${stderr ?? ""}`
}

/** Compiles all at once, and runs each as a program of its own. What is wrong, or nothing. */
export const run = async (examples: ReadonlyArray<Example>): Promise<ReadonlyArray<string>> => {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  const programs = examples.map(({ code, page }, i) => {
    const name = `${page.replaceAll(/[^A-Za-z]+/g, "-")}-${i + 1}`
    writeFileSync(path.join(out, `${name}.ts`), code)
    return { page, name }
  })
  writeFileSync(
    path.join(out, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.base.json",
      compilerOptions: { noEmit: true, types: ["node"] },
      include: ["."]
    })
  )
  try {
    execFileSync(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", out], {
      encoding: "utf8",
      stdio: "pipe"
    })
  } catch (error) {
    return [`the examples do not compile: ${outputOf(error)}`]
  }
  // With effect and the library, once for all: to load effect module by module takes each of them a second.
  await esbuild.build({
    entryPoints: programs.map(({ name }) => path.join(out, `${name}.ts`)),
    outdir: path.join(out, "js"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    external: ["@effect/vitest", "@parcel/watcher", "koffi", "msgpackr", "undici", "vitest", "ws"],
    sourcemap: true
  })
  const failures: Array<string> = []
  const left = [...programs]
  const work = async (): Promise<void> => {
    for (let program = left.shift(); program !== undefined; program = left.shift()) {
      const { name, page } = program
      const file = path.join(out, "js", `${name}.mjs`)
      await new Promise<void>((resolve) =>
        execFile(
          process.execPath,
          ["--enable-source-maps", file],
          { cwd: root, encoding: "utf8", timeout: patience },
          (error, stdout, stderr) => {
            if (error !== null) {
              const why = error.killed ? `did not end within ${patience / 1000} s` : stdout + stderr
              failures.push(`an example of ${page} fails, build/guides/${name}.ts: ${why}`)
            }
            resolve()
          }
        )
      )
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, work))
  return failures
}

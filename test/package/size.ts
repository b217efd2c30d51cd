/** What `import { lock }` adds to a program. The README states the limits. */
import * as esbuild from "esbuild"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { gzipSync } from "node:zlib"
import { directory, root } from "./project.ts"

const kilobyte = 1000

const bundle = (external: ReadonlyArray<string>): Uint8Array => {
  const { outputFiles } = esbuild.buildSync({
    absWorkingDir: directory,
    stdin: { contents: `import { lock } from "effect-locks"; console.log(lock)`, resolveDir: directory },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    external: [...external],
    write: false
  })
  return outputFiles[0]!.contents
}

const check = (what: string, code: Uint8Array, limit: number): string => {
  const size = code.length / kilobyte
  if (size > limit) throw new Error(`${what} is ${size.toFixed(1)} kB, more than ${limit} kB`)
  if (!readFileSync(path.join(root, "README.md"), "utf8").includes(`${limit} kB`)) {
    throw new Error(`the README does not say that ${what} is less than ${limit} kB`)
  }
  const zipped = gzipSync(code).length / kilobyte
  return `${size.toFixed(1)} kB, ${zipped.toFixed(1)} kB gzipped; at most ${limit} kB`
}

export const checks: ReadonlyArray<readonly [string, () => string]> = [
  [
    "size of lock",
    () => {
      const code = bundle(["effect", "effect/*", "@effect/*"])
      if (Buffer.from(code).includes("@effect/platform")) throw new Error("lock alone imports @effect/platform")
      return check("lock", code, 40)
    }
  ],
  ["size of lock with effect", () => check("lock with effect", bundle([]), 240)]
]

/** Workers of tests as one file each: a process that compiles itself takes seconds to start. */
import * as esbuild from "esbuild"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

export interface Bundle {
  readonly file: string
  readonly remove: () => void
}

/** `source` is a file of this directory. */
export const bundle = async (source: string): Promise<Bundle> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-worker-"))
  const file = path.join(directory, "worker.cjs")
  await esbuild.build({
    entryPoints: [path.join(import.meta.dirname, source)],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    external: ["pg-native", "koffi", "fs-native-extensions"],
    logLevel: "error",
    outfile: file
  })
  return { file, remove: () => fs.rmSync(directory, { recursive: true, force: true }) }
}

/** The commands, each one file with all it needs but what is native: who uses the library installs none of it. */
import { build, type BuildOptions } from "esbuild"
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = import.meta.dirname

export const commands = ["effect-locks", "lockutils-wrapper"]

const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { readonly version: string }

const options: BuildOptions = {
  absWorkingDir: root,
  entryPoints: commands.map((command) => path.join("src", "bin", `${command}.ts`)),
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  banner: { js: "#!/usr/bin/env node" },
  define: { VERSION: JSON.stringify(version) },
  external: ["fs-native-extensions", "koffi"],
  // Names stay, for what a stack trace says.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning"
}

/** What is bundled asks for its licence to be passed on with it. */
const licences = (inputs: ReadonlyArray<string>): string => {
  const packages = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []))
  return Array.from(packages).sort().map((directory) => {
    const file = ["LICENSE", "LICENSE.md", "license"].map((name) => path.join(root, directory, name)).find(existsSync)
    if (file === undefined) throw new Error(`${directory} is bundled and has no licence`)
    return `${directory.replace(/^.*node_modules\//, "")}\n\n${readFileSync(file, "utf8").trim()}\n`
  }).join("\n---\n\n")
}

export const bundle = async (directory: string): Promise<void> => {
  const { metafile } = await build({ ...options, outdir: directory, metafile: true })
  for (const command of commands) chmodSync(path.join(directory, `${command}.js`), 0o755)
  const used = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.keys(inputs).filter((input) => inputs[input]!.bytesInOutput > 0)
  )
  writeFileSync(path.join(directory, "LICENSES.txt"), licences(used))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(path.join(root, "dist", "bin"))

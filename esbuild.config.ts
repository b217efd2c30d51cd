/** The commands, each one file with all it needs but what is native: who uses the library installs none of it. */
import { build, type BuildOptions } from "esbuild"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = import.meta.dirname
const commands = ["effect-locks", "lockutils-wrapper"]

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
  metafile: true,
  logLevel: "warning"
}

export const bundle = async (directory: string): Promise<void> => {
  await build({ ...options, outdir: directory })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(path.join(root, "dist", "bin"))

/** The commands of the installed package: all of them in one file each, and they run. */
import * as esbuild from "esbuild"
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { directory, run } from "./project.ts"

const allowed = (name: string) => name.startsWith("node:") || name === "fs-native-extensions" || name === "koffi"

/** What a command imports, also late, that a user does not have. */
const foreign = (file: string): ReadonlyArray<string> => {
  const { metafile } = esbuild.buildSync({
    entryPoints: [file],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    write: false,
    metafile: true
  })
  return Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path)).filter((name) =>
    !allowed(name)
  )
}

export const check = (installed: string): string => {
  const { bin } = JSON.parse(readFileSync(path.join(installed, "package.json"), "utf8")) as {
    readonly bin: Readonly<Record<string, string>>
  }
  for (const [name, file] of Object.entries(bin)) {
    const imported = foreign(path.join(installed, file))
    if (imported.length > 0) throw new Error(`${name} imports ${imported.join(", ")}`)
  }
  if (existsSync(path.join(installed, "src", "bin"))) throw new Error("the commands ship twice")
  const command = (name: string) => path.join(directory, "node_modules", ".bin", name)
  const printed = run(directory, [
    command("lockutils-wrapper"),
    command("effect-locks"),
    "run",
    "x",
    "--",
    process.execPath,
    "--print",
    "'ran'"
  ])
  if (printed !== "ran") throw new Error(`the command printed ${printed}`)
  return `${Object.keys(bin).join(" and ")} run`
}

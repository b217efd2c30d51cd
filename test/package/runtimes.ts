/** What can run JavaScript here: the Node of npm in three versions, Bun and Deno. */
import { existsSync } from "node:fs"
import * as path from "node:path"
import { directory, run } from "./project.ts"

export interface Runtime {
  readonly name: string
  /** Nothing where npm has none for this platform. */
  readonly command: readonly [string, ...ReadonlyArray<string>] | undefined
}

const tool = (file: string, ...args: ReadonlyArray<string>): Runtime["command"] => {
  const command = path.join(import.meta.dirname, "node_modules", file)
  return existsSync(command) ? [command, ...args] : undefined
}

export const nodes: ReadonlyArray<Runtime> = ["20", "22", "24"].map((version) => ({
  name: `Node ${version}`,
  command: tool(`node-${version}/bin/node`)
}))

export const others: ReadonlyArray<Runtime> = [
  // Bun would fetch a package that is not installed, and koffi must be missing.
  { name: "Bun", command: tool("bun/bin/bun", "--no-install") },
  { name: "Deno", command: tool("deno/deno", "run", "--allow-all", "--no-remote") }
]

export const all: ReadonlyArray<Runtime> = [...nodes, ...others]

const env = { DENO_DIR: path.join(directory, ".deno"), DENO_NO_UPDATE_CHECK: "1" }

/** What the program printed. */
export const start = (command: NonNullable<Runtime["command"]>, args: ReadonlyArray<string>): string =>
  run(directory, [...command, ...args], env)

export const versionOf = ([command]: NonNullable<Runtime["command"]>): string =>
  run(directory, [command, "--version"]).match(/\d+\.\d+\.\d+/)![0]

/** A project that knows nothing of this one. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

export const root = path.resolve(import.meta.dirname, "../..")

const lockfile: { readonly packages: Record<string, { readonly version?: string }> } = JSON.parse(
  readFileSync(path.join(root, "package-lock.json"), "utf8")
)

/** The version that this checkout is tested with. */
export const versionOf = (name: string): string => {
  const version = lockfile.packages[`node_modules/${name}`]?.version
  if (version === undefined) throw new Error(`package-lock.json has no ${name}`)
  return version
}

/** Runs a program; what it printed, or an error with all of it. */
export const run = (
  cwd: string,
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  env: Readonly<Record<string, string>> = {}
): string => {
  const { error, signal, status, stderr, stdout } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env }
  })
  if (status === 0) return stdout.trim()
  throw new Error(`${path.basename(command)} ${args.join(" ")}: ${error ?? signal ?? status}\n${stdout}${stderr}`)
}

const isBelowModules = (directory: string): boolean =>
  existsSync(path.join(directory, "node_modules")) ||
  (path.dirname(directory) !== directory && isBelowModules(path.dirname(directory)))

/**
 * A new directory, which is removed when this process exits. Packages are found in
 * every directory above, where one that is missing in the project must not be.
 */
const emptyDirectory = (): string => {
  const base = [os.tmpdir(), os.homedir()].find((directory) => !isBelowModules(directory))
  if (base === undefined) {
    throw new Error(`there is a node_modules above both ${os.tmpdir()} and ${os.homedir()}; give another TMPDIR`)
  }
  const directory = mkdtempSync(path.join(base, "effect-locks-consumer-"))
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export const directory = emptyDirectory()

/**
 * Installs packages as npm does, with the versions of this checkout also for what
 * they depend on, so that the same thing is tried each time. No script runs.
 */
export const install = (dependencies: Readonly<Record<string, string>>): void => {
  const overrides = Object.fromEntries(
    Object.entries(lockfile.packages).flatMap(([place, { version }]) => {
      const name = place.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)$/)?.[1]
      return name === undefined || version === undefined ? [] : [[name, version]]
    })
  )
  writeFileSync(
    path.join(directory, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies, overrides })
  )
  run(directory, ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
}

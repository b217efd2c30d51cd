/** The data directory of a server. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { cp } from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"
import type pg from "pg"
import { programIn } from "./binaries.ts"
import { giveAllToUser, giveToUser, user } from "./user.ts"

const run = promisify(execFile)

/** Who needs a password; everybody else is trusted. Its name and password, as they stand in a URL. */
export const secured = "secured:secret"

const access = `
local all all trust
local replication all trust
host all secured all scram-sha-256
host all all all trust
host replication all all trust
`

/** Makes a new one. */
export const initialize = async (bin: string, data: string): Promise<void> => {
  fs.mkdirSync(data, { mode: 0o700 })
  giveToUser(data)
  await run(programIn(bin, "initdb"), [
    `--pgdata=${data}`,
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--wal-segsize=1",
    "--no-sync"
  ], { ...user, cwd: path.dirname(data), env: { ...process.env, LC_ALL: "C", TZ: "UTC" } })
  fs.writeFileSync(path.join(data, "pg_hba.conf"), access)
}

/** What the server says of itself there, a line each: its process, its memory, whether it is ready. */
export const statusIn = (data: string): ReadonlyArray<string> => {
  try {
    return fs.readFileSync(path.join(data, "postmaster.pid"), "utf8").split("\n").map((line) => line.trim())
  } catch {
    return []
  }
}

/** What a server that crashed leaves in the system, which has room for few of them on macOS. */
export const forgetMemory = async (data: string): Promise<void> => {
  const id = statusIn(data)[6]?.split(/\s+/)[1]
  if (id !== undefined) await run("ipcrm", ["-m", id]).catch(() => {})
}

/** What is in here is made anew, or copied last. */
const left = ["pg_dynshmem", "pg_stat_tmp", "pg_wal"]

/** Copies the data of a server that runs, to which the client is connected. */
export const copy = async (client: pg.Client, version: string, from: string, to: string): Promise<void> => {
  const [begin, end] = Number.parseInt(version) < 15
    ? ["pg_start_backup('copy', true, false)", "pg_stop_backup(false)"]
    : ["pg_backup_start('copy', true)", "pg_backup_stop()"]
  const filter = (file: string) =>
    !file.startsWith(path.join(from, "postmaster.")) && !left.includes(path.basename(path.dirname(file)))
  await client.query(`SELECT ${begin}`)
  await cp(from, to, { recursive: true, filter })
  const { rows: [{ labelfile }] } = await client.query(`SELECT labelfile FROM ${end}`)
  fs.writeFileSync(path.join(to, "backup_label"), labelfile)
  await cp(path.join(from, "pg_wal"), path.join(to, "pg_wal"), { recursive: true })
  fs.chmodSync(to, 0o700)
  giveAllToUser(to)
}

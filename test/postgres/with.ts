/**
 * Runs a command with a PostgreSQL server of its own, whose address is in DATABASE_URL. Where there is none the command
 * is run without.
 *
 * Run: tsx test/postgres/with.ts <command> [arguments]
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { find } from "./binaries.ts"
import { start } from "./server.ts"

const [command, ...args] = process.argv.slice(2) as [string, ...Array<string>]
const found = await find()
const server = "missing" in found ? undefined : await start()
// eslint-disable-next-line no-console
if ("missing" in found) console.error(`there is no PostgreSQL: ${found.missing}`)
const child = spawn(command, args, {
  stdio: "inherit",
  env: { ...process.env, ...server && { DATABASE_URL: server.url() } }
})
const [code] = await once(child, "exit") as [number | null]
await server?.remove()
process.exit(code ?? 1)

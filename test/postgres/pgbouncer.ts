/** A PgBouncer in transaction mode, where a session belongs to a client for a transaction only. */
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { findPgBouncer, type Missing } from "./binaries.ts"
import { processIn } from "./guard.ts"
import { freePort } from "./ports.ts"
import { Program } from "./program.ts"
import { temporary } from "./temporary.ts"

export interface PgBouncer {
  readonly port: number
  readonly version: string
  readonly url: (database?: string) => string
  readonly stop: () => Promise<void>
}

const configuration = (server: { readonly host: string; readonly port: number }, port: number, size: number) => `
[databases]
* = host=${server.host} port=${server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${size}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
`

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.on("error", () => resolve(false)).on("connect", () => {
      socket.destroy()
      resolve(true)
    })
  })

/** In front of a server, to which it keeps as many sessions as `size` says, for each database. */
export const pgBouncer = async (
  server: { readonly host: string; readonly port: number },
  size = 1
): Promise<PgBouncer | Missing> => {
  const found = findPgBouncer()
  if ("missing" in found) return found
  const directory = temporary()
  const guard = processIn(directory)
  const file = path.join(directory, "pgbouncer.ini")
  for (let tries = 1;; tries++) {
    const port = await freePort()
    fs.writeFileSync(file, configuration(server, port, size))
    const program = new Program({ program: found.program, args: [file], directory, guard })
    const stop = async () => {
      program.signal("SIGKILL")
      await program.closed
      fs.rmSync(directory, { recursive: true, force: true })
      guard.end()
    }
    for (let looks = 0; program.isRunning && looks < 1_000; looks++) {
      if (await accepts(port)) {
        const url = (database = "postgres") => `postgres://postgres@127.0.0.1:${port}/${encodeURIComponent(database)}`
        return { port, version: found.version, url, stop }
      }
      await sleep(10)
    }
    // Somebody was faster to take the port.
    if (!program.isRunning && /in use/.test(program.log) && tries < 5) continue
    await stop()
    throw new Error(`PgBouncer did not start:\n${program.log}`)
  }
}

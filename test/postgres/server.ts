/** A PostgreSQL server of a test's own. */
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type pg from "pg"
import { find, type Found, programIn } from "./binaries.ts"
import { copy, forgetMemory, initialize, secured, statusIn } from "./data.ts"
import { type Guard, processIn } from "./guard.ts"
import { Observer } from "./observer.ts"
import { freePort } from "./ports.ts"
import { Program } from "./program.ts"
import { temporary } from "./temporary.ts"

export { secured }

export type Settings = Readonly<Record<string, string>>

export interface Options {
  /** Of postgresql.conf. @default those that make it fast: a crash of the machine may lose everything */
  readonly settings?: Settings
  /** What it listens at. @default 127.0.0.1 */
  readonly host?: string
  /** A data directory to run with, which stays. @default a new one, removed with the server */
  readonly data?: string
  /** What the command begins with, for a server in a network namespace. */
  readonly prefix?: ReadonlyArray<string>
}

const isWindows = process.platform === "win32"

const fast: Settings = {
  fsync: "off",
  autovacuum: "off",
  max_connections: "200",
  shared_buffers: "32MB",
  // In the data directory, with which it is removed also after a crash.
  ...isWindows ? {} : { dynamic_shared_memory_type: "mmap" }
}

export class Server extends Observer {
  readonly version: string
  readonly host: string
  readonly data: string
  /** Stays the same when the server is started again. */
  port = 0
  private readonly found: Found
  private readonly directory: string
  private readonly guard: Guard
  private readonly prefix: ReadonlyArray<string>
  private settings: Settings
  private program: Program | undefined

  constructor(found: Found, directory: string, { data, host, prefix, settings }: Options) {
    super(() => this)
    this.found = found
    this.version = found.version
    this.directory = directory
    this.guard = processIn(directory)
    this.data = data ?? path.join(directory, "data")
    this.host = host ?? "127.0.0.1"
    this.prefix = prefix ?? []
    this.settings = { ...fast, ...settings }
  }

  /** Of the server process, while it runs. */
  get pid(): number | undefined {
    return this.program?.isRunning ? this.program.pid : undefined
  }

  /** What the server wrote since it was started last. */
  get log(): string {
    return this.program?.log ?? ""
  }

  /** Ends all sessions, and itself in good order. */
  async stop(): Promise<void> {
    await this.end("SIGINT")
  }

  /** Without any order: SIGQUIT says a word to the clients, SIGKILL takes all of its processes at once. */
  async crash(signal: "SIGKILL" | "SIGQUIT" = "SIGKILL"): Promise<void> {
    await this.end(signal)
  }

  /** At the same port, with the same data, and with other settings where some are given. */
  async restart(settings: Settings = {}): Promise<void> {
    await this.stop()
    this.settings = { ...this.settings, ...settings }
    await this.launch()
  }

  /** Another server, with a copy of the data, which stays in recovery. */
  async standby(options: Omit<Options, "data"> = {}): Promise<Server> {
    const standby = new Server(this.found, temporary(), options)
    return ready(standby, async () => {
      await this.connected((client) => copy(client, this.version, this.data, standby.data))
      fs.writeFileSync(path.join(standby.data, "standby.signal"), "")
      await standby.launch()
    })
  }

  /** Stops it, and leaves nothing. */
  async remove(): Promise<void> {
    const patience = setTimeout(() => this.program?.kill(this.data), 10_000)
    await this.end("SIGQUIT")
    clearTimeout(patience)
    await forgetMemory(this.data)
    fs.rmSync(this.directory, { recursive: true, force: true })
    this.guard.end()
  }

  /** @internal */
  async launch(): Promise<void> {
    const chosen = this.port
    for (let tries = 1;; tries++) {
      this.port = chosen || await freePort()
      this.program = this.spawn()
      if (await this.isReady(this.program)) return
      // Somebody was faster to take the port, or has it still.
      if (!/could not bind/.test(this.log) || tries === 10) throw new Error(`PostgreSQL did not start:\n${this.log}`)
      await sleep(100)
    }
  }

  private spawn(): Program {
    const settings: Settings = {
      ...this.settings,
      listen_addresses: this.host,
      port: String(this.port),
      unix_socket_directories: isWindows ? "" : this.directory
    }
    return new Program({
      program: programIn(this.found.bin, "postgres"),
      args: ["-D", this.data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      prefix: this.prefix,
      directory: this.directory,
      guard: this.guard
    })
  }

  /** Waits until it accepts connections, or has ended. */
  private async isReady(program: Program): Promise<boolean> {
    const started = Date.now()
    while (program.isRunning) {
      const status = statusIn(this.data)
      if (status[0] === String(program.pid) && status[7] === "ready") return true
      if (Date.now() - started > 60_000) await this.end("SIGKILL")
      await sleep(10)
    }
    return false
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    // A server that hangs does not end what is asked of it.
    void this.close().catch(() => {})
    if (signal === "SIGKILL") this.program?.kill(this.data)
    else this.program?.signal(signal)
    await this.program?.closed
  }

  /** Not through the network, which a test may cut. */
  protected override configFor(database = "postgres"): pg.ClientConfig {
    const host = isWindows ? this.host : this.directory
    return { ...super.configFor(database), host }
  }
}

/** Removes the server that could not be made ready. */
const ready = async (server: Server, body: () => Promise<void>): Promise<Server> => {
  try {
    await body()
    return server
  } catch (error) {
    await server.remove()
    throw error
  }
}

/** Starts a server, and waits until it accepts connections. */
export const start = async (options: Options = {}): Promise<Server> => {
  const found = await find()
  if ("missing" in found) throw new Error(found.missing)
  const server = new Server(found, temporary(), options)
  return ready(server, async () => {
    if (options.data === undefined) await initialize(found.bin, server.data)
    await server.launch()
    if (options.data !== undefined) return
    const [name, password] = secured.split(":") as [string, string]
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD '${password}'`)
  })
}

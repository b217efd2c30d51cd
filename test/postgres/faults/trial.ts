/** A test of locks between processes: with a database, workers and a register of its own, and a look at what is left. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, vi } from "vitest"
import type { Observer } from "../observer.ts"
import { type Proxy, proxy } from "../proxy.ts"
import { Register } from "./register.ts"
import { type Attempt, Worker } from "./workers.ts"

export type Kind = "session" | "lease"

export const until = (condition: () => Promise<boolean>, what: string): Promise<void> =>
  vi.waitFor(async () => assert.isTrue(await condition(), what), { timeout: 40_000, interval: 15 })

let made = 0

export class Trial {
  readonly register = new Register()
  readonly database: string
  readonly url: string
  readonly kind: Kind
  /** Milliseconds. */
  readonly silence: number
  readonly server: Observer
  /** Rows that may stay although their time is over: of those whose word arrived when they had given up. */
  late = 0
  /** Of workers that are started from now on: milliseconds. */
  connectTimeout = 20_000
  private readonly program: string
  private readonly workers: Array<Worker> = []
  private readonly endings: Array<() => unknown> = []
  private readonly closings: Array<() => unknown> = []

  constructor(program: string, server: Observer, kind: Kind, silence: number) {
    this.program = program
    this.server = server
    this.kind = kind
    this.silence = silence
    this.database = `faults_${process.pid}_${made++}`
    this.url = server.url(this.database)
  }

  /** To be done at the end. */
  finally(end: () => unknown): void {
    this.endings.push(end)
  }

  /** To be done when the workers have ended, before anybody looks at what they have left. */
  afterwards(close: () => unknown): void {
    this.closings.push(close)
  }

  private async close(): Promise<void> {
    for (const close of this.closings.splice(0)) await close()
  }

  /** Processes that are ready. */
  async start<const Names extends ReadonlyArray<string>>(
    names: Names,
    url = this.url
  ): Promise<{ [N in keyof Names]: Worker }> {
    const { connectTimeout, kind, silence } = this
    const workers = names.map((name) => {
      const terms = { url, application: name, layer: kind, silence, connectTimeout }
      const worker = new Worker(this.program, name, terms, this.register)
      this.workers.push(worker)
      return worker
    })
    return await Promise.all(workers.map((worker) => worker.started())) as any
  }

  /** A network to the server, and how to come through it. */
  async network(): Promise<{ readonly network: Proxy; readonly url: string }> {
    const { hostname, port } = new URL(this.url)
    const network = await proxy({ host: hostname, port: Number(port) })
    this.finally(() => network.close())
    const url = new URL(this.url)
    url.hostname = "127.0.0.1"
    url.port = String(network.port)
    return { network, url: String(url) }
  }

  /** A file that is not there yet. */
  signal(): { readonly file: string; readonly give: () => void } {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-signal-"))
    const file = path.join(directory, "signal")
    this.finally(() => fs.rmSync(directory, { recursive: true }))
    return { file, give: () => fs.writeFileSync(file, "") }
  }

  /** What a worker's layer has at the server. */
  sessionsOf(worker: Worker) {
    return this.server.sessions(`${worker.terms.application} (locks)`, this.database)
  }

  async advisoryOf(worker: Worker) {
    const all = await this.server.advisory(this.database)
    return all.filter(({ application }) => application === `${worker.terms.application} (locks)`)
  }

  /** Asks, and waits until the server knows it. */
  async queue(worker: Worker, key: string): Promise<Attempt> {
    const before = await this.waitersOf(worker)
    const attempt = worker.hold({ key })
    await until(async () => await this.waitersOf(worker) > before, `${worker.name} waits`)
    return attempt
  }

  /** Of leases the server knows only that somebody has asked and was not given any. */
  private async waitersOf(worker: Worker): Promise<number> {
    if (this.kind === "session") return (await this.advisoryOf(worker)).filter(({ granted }) => !granted).length
    return (await this.sessionsOf(worker)).filter(({ query }) => query.includes("INSERT INTO")).length
  }

  /** Longer than any patience: nobody comes in meanwhile. */
  async nobody(...attempts: ReadonlyArray<Attempt>): Promise<void> {
    await sleep(this.silence * 2)
    for (const { granted, over, worker: { name } } of attempts) {
      assert.isUndefined(granted.value, `${name} was granted it`)
      assert.isUndefined(over.value, `${name} gave up`)
    }
  }

  /** Ends the workers; nothing of them is left then. */
  async conclude(): Promise<void> {
    const { database, server } = this
    const ended = await Promise.all(this.workers.map((worker) => worker.end()))
    assert.deepStrictEqual(this.workers.filter((_, i) => !ended[i]).map(({ name }) => name), [], "ended by themselves")
    await this.close()
    await until(async () => (await server.sessions("%", database)).length === 0, "no session is left")
    assert.deepStrictEqual(await server.advisory(database), [], "no lock is left")
    const rows = async (where = ""): Promise<number> => {
      const [row] = await server.query(`SELECT count(*)::int AS count FROM effect_locks.lease ${where}`, [], database)
      return row!["count"]
    }
    if (this.workers.length > 0) {
      await until(async () => await rows("WHERE expires > clock_timestamp()") === 0, "no lease is left")
      const killed = this.workers.filter(({ isKilled }) => isKilled).reduce((sum, { held }) => sum + held, 0)
      assert.isAtMost(await rows(), killed + this.late, "rows of others than those who were killed")
    }
    assert.deepStrictEqual(this.register.backwards, [])
  }

  async clean(): Promise<void> {
    for (const worker of this.workers) if (!worker.isKilled) await worker.kill()
    await this.close()
    for (const end of this.endings.reverse()) await end()
    await this.server.query(`DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`).catch(() => {})
  }
}

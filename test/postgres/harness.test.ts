/** The servers and networks that the tests of PostgreSQL locks stand on do what they say. */
import * as esbuild from "esbuild"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { afterAll, afterEach, assert, beforeAll, describe, inject, it, vi } from "vitest"
import { findPgBouncer } from "./binaries.ts"
import { isPossible, Namespaces } from "./namespaces.ts"
import { observer } from "./observer.ts"
import { pgBouncer } from "./pgbouncer.ts"
import { proxy } from "./proxy.ts"
import { secured, type Server, start } from "./server.ts"
import { temporary } from "./temporary.ts"

const shared = inject("postgres")
const isMissing = "missing" in shared
const bouncerFound = findPgBouncer()
const pgBouncerIsMissing = "missing" in bouncerFound
const impossible = isPossible()

/* eslint-disable no-console */
if (pgBouncerIsMissing) console.log(`skipped: ${bouncerFound.missing}`)
if (impossible !== undefined) console.log(`skipped: ${impossible}`)
/* eslint-enable no-console */

/** What a test has to end, the last first. */
const endings: Array<() => unknown> = []

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

const connected = async (url: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: url, application_name: "test" })
  client.on("error", () => {})
  endings.push(() => client.end())
  await client.connect()
  return client
}

const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => undefined, (error) => error)

/** What comes of it soon, or `nothing`. */
const soon = <A>(promise: Promise<A>): Promise<A | "nothing"> => Promise.race([promise, sleep(150, "nothing" as const)])

describe.skipIf(isMissing)("the shared server", () => {
  const { url } = shared as { readonly url: string }

  it("tells who holds an advisory lock and who waits for it", async () => {
    const seen = observer(url)
    endings.push(() => seen.close())
    const there = await seen.createDatabase("Of a test")
    const [one, other] = [await connected(there), await connected(there)]
    await one.query("SELECT pg_advisory_lock(-12884901890)")
    const waiting = other.query("SELECT pg_advisory_lock_shared(-12884901890)")
    await vi.waitFor(async () => assert.lengthOf(await seen.advisory("Of a test"), 2), { interval: 10 })
    const [held, wanted] = await seen.advisory("Of a test")
    const key = "-12884901890"
    const common = { application: "test", database: "Of a test", key }
    const [first, second] = await seen.sessions("te%", "Of a test")
    assert.deepStrictEqual(held, { ...common, pid: first!.pid, mode: "ExclusiveLock", granted: true })
    assert.deepStrictEqual(wanted, { ...common, pid: second!.pid, mode: "ShareLock", granted: false })
    assert.deepStrictEqual([second!.waitsFor, await seen.advisory("postgres")], ["advisory", []])
    await one.query("SELECT pg_advisory_unlock_all()")
    await waiting
  })

  it("trusts everybody but one", async () => {
    const seen = observer(url)
    await (await connected(seen.url("postgres", secured))).query("SELECT")
    assert.strictEqual((await failure(connected(seen.url("postgres", "secured:wrong")))).code, "28P01")
  })
})

describe.skipIf(isMissing)("a server of its own", () => {
  let server: Server
  beforeAll(async () => {
    server = await start({ settings: { fsync: "on", synchronous_commit: "off" } })
  })
  afterAll(() => server?.remove())

  it("is gone when it crashed, and comes back at the same port with the same data and the same settings", async () => {
    const { port } = server
    await server.query("CREATE TABLE kept AS SELECT 1 AS one")
    await server.query("CHECKPOINT")
    for (const signal of ["SIGKILL", "SIGQUIT"] as const) {
      const client = await connected(server.url())
      await client.query("SELECT pg_advisory_lock(1)")
      const ended = failure(client.query("SELECT pg_sleep(60)"))
      await server.crash(signal)
      assert.instanceOf(await ended, Error)
      assert.strictEqual((await failure(connected(server.url()))).code, "ECONNREFUSED")
      await server.restart({ synchronous_commit: "on" })
      assert.deepStrictEqual([server.port, await server.advisory()], [port, []])
    }
    const [settings] = await server.query(
      "SELECT one, current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit FROM kept"
    )
    assert.deepStrictEqual(settings, { one: 1, fsync: "on", commit: "on" })
  })

  it("has a standby, which is in recovery and has its data", async () => {
    await server.query("CREATE TABLE copied AS SELECT 2 AS two")
    const standby = await server.standby()
    endings.push(() => standby.remove())
    const [row] = await standby.query("SELECT pg_is_in_recovery() AS recovery, two FROM copied")
    assert.deepStrictEqual(row, { recovery: true, two: 2 })
    await standby.restart()
    assert.strictEqual((await failure(standby.query("CREATE TABLE t ()"))).code, "25006")
  })

  it.skipIf(pgBouncerIsMissing)("gives two clients of PgBouncer the same session", async () => {
    const bouncer = await pgBouncer(server)
    if ("missing" in bouncer) return assert.fail(bouncer.missing)
    endings.push(bouncer.stop)
    const sessions = []
    for (const client of [await connected(bouncer.url()), await connected(bouncer.url())]) {
      sessions.push((await client.query("SELECT pg_backend_pid() AS pid")).rows[0].pid)
    }
    assert.strictEqual(sessions[0], sessions[1])
  })
})

describe.skipIf(process.platform === "win32")("a guard", () => {
  it("ends what a killed process leaves", async () => {
    const directory = temporary()
    const { outputFiles: [script] } = esbuild.buildSync({
      stdin: {
        contents: `
          import { spawn } from "node:child_process"
          import { processIn } from "./guard.ts"
          const { pid } = spawn("sleep", ["60"], { detached: true, stdio: "ignore" })
          processIn(${JSON.stringify(directory)}).tell(String(pid))
          console.log(pid)
          setInterval(() => {}, 1000)`,
        resolveDir: import.meta.dirname,
        loader: "ts"
      },
      bundle: true,
      format: "esm",
      platform: "node",
      write: false
    })
    const parent = spawn(process.execPath, ["--input-type=module", "-e", script!.text], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const pid = Number(await line(parent))
    assert.isTrue(process.kill(pid, 0))
    parent.kill("SIGKILL")
    await vi.waitFor(() => assert.isFalse(existsSync(directory)), { timeout: 20_000, interval: 20 })
  })
})

/** The next thing that a process says. */
const line = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => child.stdout!.once("data", (chunk) => resolve(String(chunk).trim())))

describe("a proxy", () => {
  /** Answers what it is told. */
  const echo = async (): Promise<{ readonly port: number; readonly sockets: Array<Socket> }> => {
    const sockets: Array<Socket> = []
    const server = createServer((socket) => {
      sockets.push(socket.on("error", () => {}))
      socket.pipe(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    endings.push(() => server.close())
    return { port: (server.address() as AddressInfo).port, sockets }
  }

  const through = async (transform?: Parameters<typeof proxy>[1]) => {
    const server = await echo()
    const between = await proxy(server, transform)
    endings.push(() => between.close())
    const open = () => {
      const socket = connect(between.port, "127.0.0.1").on("error", () => {})
      const ended = new Promise<string>((resolve) => socket.on("end", () => resolve("ended")))
      const closed = new Promise<string>((resolve) => socket.on("close", () => resolve("closed")))
      const ask = (text: string) => {
        socket.write(text)
        return new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(String(chunk))))
      }
      return { socket, ask, ended, closed }
    }
    return { server, between, open }
  }

  it("is silent while paused, also to those who come, and then delivers what was sent", async () => {
    const { between, open, server } = await through()
    const [one, gone] = [open(), open()]
    assert.deepStrictEqual([await one.ask("a"), await gone.ask("b")], ["a", "b"])
    between.pause()
    const answer = one.ask("c")
    const other = open()
    const otherAnswer = other.ask("d")
    server.sockets[1]!.end()
    const news = Promise.race([answer, otherAnswer, one.closed, gone.ended, other.closed])
    assert.deepStrictEqual([await soon(news), server.sockets.length], ["nothing", 2])
    between.resume()
    assert.deepStrictEqual(await Promise.all([answer, otherAnswer, gone.ended]), ["c", "d", "ended"])
  })

  it("loses answers alone, where it is paused towards the client", async () => {
    const { between, open, server } = await through()
    const one = open()
    await one.ask("a")
    const arrived = new Promise((resolve) => server.sockets[0]!.once("data", (chunk) => resolve(String(chunk))))
    between.pause("toClient")
    const answer = one.ask("b")
    assert.deepStrictEqual([await arrived, await soon(answer)], ["b", "nothing"])
    between.resume()
    assert.strictEqual(await answer, "b")
  })

  it("cuts all connections, and accepts new ones", async () => {
    const { between, open } = await through()
    const one = open()
    await one.ask("a")
    between.cut()
    await one.closed
    assert.strictEqual(await open().ask("b"), "b")
  })

  it("changes what is said", async () => {
    const { open } = await through((chunk, direction) =>
      direction === "toClient" ? Buffer.from(String(chunk).replace("15", "12")) : chunk
    )
    assert.strictEqual(await open().ask("version 15"), "version 12")
  })
})

describe.skipIf(isMissing || impossible !== undefined)("network namespaces", () => {
  it("are silent to each other when cut, and the server does not know", async () => {
    const namespaces = new Namespaces()
    endings.push(() => namespaces.remove())
    const server = await start({ host: namespaces.addresses.server, prefix: namespaces.prefix("server") })
    endings.push(() => server.remove())
    const script = `
      const pg = require("pg")
      const client = new pg.Client(${JSON.stringify(server.url())} + "?application_name=far")
      client.connect().then(() => {
        console.log("connected")
        process.stdin.on("data", async () => console.log((await client.query("SELECT 'answer' AS a")).rows[0].a))
      })`
    const [command, ...args] = namespaces.runIn("client", process.execPath, "-e", script)
    const far = spawn(command!, args, { cwd: path.resolve(import.meta.dirname, "../..") })
    endings.push(() => far.kill("SIGKILL"))
    assert.strictEqual(await line(far), "connected")
    namespaces.cut()
    const answer = line(far)
    far.stdin.write("go\n")
    assert.strictEqual(await soon(answer), "nothing")
    assert.lengthOf(await server.sessions("far"), 1)
    namespaces.mend()
    assert.strictEqual(await answer, "answer")
  })
})

/** Two hosts, and the cable between them is cut: neither is told by the network. */
import { type ChildProcess, spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, inject, it, vi } from "vitest"
import { type Command, ready, type Saying, type Terms } from "./hostMessages.ts"
import { type Host, isPossible, Namespaces } from "./namespaces.ts"
import { type Server, start } from "./server.ts"
import { type Bundle, bundle } from "./stormBundle.ts"
import type { Kind } from "./stormMessages.ts"

const postgres = inject("postgres")
const impossible = isPossible()
// eslint-disable-next-line no-console
if (impossible !== undefined) console.log(`skipped: two hosts: ${impossible}`)

/** Milliseconds. */
const silence = 4000
/** Within it, all that is to happen happens: ten times of what it takes. */
const patience = 100_000

const now = (): bigint => process.hrtime.bigint()

class Peer {
  readonly application: string
  private readonly child: ChildProcess
  private readonly said: Array<Saying | typeof ready> = []
  private errors = ""
  private hasEnded = false

  constructor(application: string, prefix: ReadonlyArray<string>, worker: string, terms: Omit<Terms, "application">) {
    this.application = application
    const [command, ...args] = [
      ...prefix,
      process.execPath,
      worker,
      JSON.stringify({ ...terms, application } satisfies Terms)
    ]
    this.child = spawn(command!, args, { stdio: ["ignore", "inherit", "pipe", "ipc"] })
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => this.errors += text)
    this.child.on("close", () => this.hasEnded = true)
    this.child.on("message", (saying: Saying | typeof ready) => this.said.push(saying))
  }

  /** Waits for the first that it says of these. */
  private async first(
    what: string,
    isOne: (saying: Saying | typeof ready) => boolean
  ): Promise<Saying | typeof ready> {
    const began = performance.now()
    for (;;) {
      const found = this.said.find(isOne)
      if (found !== undefined) return found
      if (this.hasEnded || performance.now() - began > patience) {
        const state = this.hasEnded ? "has ended" : "runs"
        assert.fail(
          `${this.application} ${state}, and did not say ${what}: ${JSON.stringify(this.said)} ${this.errors}`
        )
      }
      await sleep(2)
    }
  }

  get isReady(): Promise<unknown> {
    return this.first(ready, (saying) => saying === ready)
  }

  /** Waits for it, and fails when it can come no more. */
  async saying(id: string, is: Saying["is"]): Promise<Saying> {
    const isOne = (saying: Saying | typeof ready) =>
      saying !== ready && saying.id === id && (saying.is === is || ["told", "ended", "failed"].includes(saying.is))
    const saying = await this.first(`${is} of ${id}`, isOne) as Saying
    assert.strictEqual(saying.is, is, `${this.application} of ${id}: ${saying.text}`)
    return saying
  }

  hasSaid(id: string, is: Saying["is"]): boolean {
    return this.said.some((saying) => saying !== ready && saying.id === id && saying.is === is)
  }

  async hold(id: string, key: string): Promise<void> {
    this.child.send({ hold: id, key } satisfies Command)
    await this.saying(id, "asks")
  }

  async held(id: string, key: string): Promise<void> {
    await this.hold(id, key)
    await this.saying(id, "granted")
  }

  async letGo(id: string): Promise<void> {
    this.child.send({ letGo: id } satisfies Command)
    await this.saying(id, "ended")
  }

  end(): void {
    this.child.kill("SIGKILL")
  }
}

interface Hosts {
  readonly namespaces: Namespaces
  readonly server: Server
  /** On a host of its own: its cable is cut. */
  readonly far: Peer
  /** Beside the server. */
  readonly near: Peer
  readonly next: Peer
  /** Waits until somebody waits for a lock there, where the server knows of it. */
  readonly waits: (peer: Peer, count: number) => Promise<void>
}

/** Since the cable was cut. */
const after = (cutAt: bigint, { at }: Saying): string => `${(Number(BigInt(at) - cutAt) / 1e9).toFixed(2)} s`

const isBefore = (one: Saying, other: Saying): boolean => BigInt(one.at) < BigInt(other.at)

describe.skipIf("missing" in postgres || impossible !== undefined)("the cable between two hosts is cut", () => {
  let worker: Bundle
  beforeAll(async () => {
    worker = await bundle("hostWorker.ts")
  })
  afterAll(() => worker?.remove())

  const withHosts = async (kind: Kind, body: (hosts: Hosts) => Promise<void>): Promise<void> => {
    const namespaces = new Namespaces()
    const peers: Array<Peer> = []
    let server: Server | undefined
    try {
      server = await start({ host: namespaces.addresses.server, prefix: namespaces.prefix("server") })
      const { file } = worker
      const terms = { kind, url: server.url(), silence }
      const peer = (application: string, host: Host) => {
        const peer = new Peer(application, namespaces.prefix(host), file, terms)
        peers.push(peer)
        return peer
      }
      const [far, near, next] = [peer("far", "client"), peer("near", "server"), peer("next", "server")]
      const known = server
      const waits = ({ application }: Peer, count: number) =>
        vi.waitFor(async () => {
          const locks = await known.advisory()
          const waiting = locks.filter((lock) => !lock.granted && lock.application === `${application} (locks)`)
          if (kind === "session") assert.lengthOf(waiting, count)
        }, { timeout: patience, interval: 10 })
      await Promise.all(peers.map((peer) => peer.isReady))
      await body({ namespaces, server, far, near, next, waits })
    } finally {
      for (const peer of peers) peer.end()
      await server?.remove()
      namespaces.remove()
    }
  }

  const print = (kind: Kind, text: string) => {
    // eslint-disable-next-line no-console
    console.log(`${kind} locks, silence ${silence} ms, cable cut: ${text}`)
  }

  const onServer = async (server: Server, { application }: Peer) =>
    (await server.advisory()).filter((lock) => lock.application === `${application} (locks)`)

  for (const kind of ["session", "lease"] as const) {
    const title = kind === "session" ? "session locks" : "leases"

    it.concurrent(
      `${title}: the holder is told before the next one is granted, and works again when it is mended`,
      () =>
        withHosts(kind, async ({ far, namespaces, near, server, waits }) => {
          await far.held("first", "x")
          await near.hold("second", "x")
          await waits(near, 1)
          const cutAt = now()
          namespaces.cut()
          const [told, granted] = await Promise.all([far.saying("first", "told"), near.saying("second", "granted")])
          print(kind, `told after ${after(cutAt, told)}, granted elsewhere after ${after(cutAt, granted)}`)
          assert.isTrue(isBefore(told, granted), `${told.text}: told at ${told.at}, granted at ${granted.at}`)
          assert.deepStrictEqual(await onServer(server, far), [])
          namespaces.mend()
          await far.hold("third", "x")
          await waits(far, 1)
          assert.isFalse(far.hasSaid("third", "granted"))
          await near.letGo("second")
          await far.saying("third", "granted")
          await far.letGo("third")
        }),
      patience * 2
    )

    it.concurrent(
      `${title}: who waits there fails, and leaves nothing that others wait for`,
      () =>
        withHosts(kind, async ({ far, namespaces, near, next, server, waits }) => {
          for (const key of ["soon", "later"]) {
            await near.held(`near ${key}`, key)
            await far.hold(`far ${key}`, key)
          }
          await waits(far, 2)
          for (const key of ["soon", "later"]) await next.hold(`next ${key}`, key)
          await waits(next, 2)
          const cutAt = now()
          namespaces.cut()
          // The server gives it to the one who is gone, of whom it does not know yet.
          await near.letGo("near soon")
          const failed = await Promise.all(["soon", "later"].map((key) => far.saying(`far ${key}`, "failed")))
          await near.letGo("near later")
          const granted = await Promise.all(["soon", "later"].map((key) => next.saying(`next ${key}`, "granted")))
          print(
            kind,
            `two who waited there failed after ${
              failed.map((saying) => after(cutAt, saying)).join(" and ")
            }, those behind ` +
              `them were granted after ${granted.map((saying) => after(cutAt, saying)).join(" and ")}`
          )
          for (const { text } of failed) assert.match(text, /^ExternalLockError/)
          assert.deepStrictEqual([far.hasSaid("far soon", "granted"), far.hasSaid("far later", "granted")], [
            false,
            false
          ])
          assert.deepStrictEqual(await onServer(server, far), [])
          namespaces.mend()
          for (const key of ["soon", "later"]) await next.letGo(`next ${key}`)
          await far.held("again", "soon")
          await far.letGo("again")
        }),
      patience * 2
    )

    it.concurrent(
      `${title}: who held nothing works again when it is mended, also when the server has dropped it`,
      () =>
        withHosts(kind, async ({ far, namespaces, server }) => {
          await far.held("warm", "x")
          await far.letGo("warm")
          const sessions = () => server.sessions("far (locks)")
          assert.lengthOf(await sessions(), 1)
          namespaces.cut()
          const cutAt = now()
          await vi.waitFor(async () => assert.deepStrictEqual(await sessions(), []), {
            timeout: patience,
            interval: 20
          })
          const dropped = now() - cutAt
          namespaces.mend()
          await far.held("after", "x")
          await far.letGo("after")
          // Who asks while it is cut is told that it cannot be.
          namespaces.cut()
          await far.hold("meanwhile", "x")
          const asked = await far.saying("meanwhile", "asks")
          const failed = await far.saying("meanwhile", "failed")
          assert.match(failed.text, /^ExternalLockError/)
          namespaces.mend()
          await far.held("in the end", "x")
          await far.letGo("in the end")
          print(
            kind,
            `the server dropped an idle session after ${
              (Number(dropped) / 1e9).toFixed(2)
            } s; who asked meanwhile failed ` +
              `after ${after(BigInt(asked.at), failed)}`
          )
        }),
      patience * 2
    )
  }
})

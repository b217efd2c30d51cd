/**
 * Many processes take a few locks, all the time, while what they stand on is hit: their sessions are ended, their
 * network is silent or cut, they are stopped, killed and started anew.
 */
import { type ChildProcess, fork } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import type { Observer } from "./observer.ts"
import { type Direction, type Proxy, proxy } from "./proxy.ts"
import type { Kind, Message, Work } from "./stormMessages.ts"
import { Random } from "./stormRandom.ts"
import { Register } from "./stormRegister.ts"

export interface Options {
  readonly kind: Kind
  readonly worker: string
  readonly seen: Observer
  readonly database: string
  readonly seed: number
  readonly processes: number
  readonly fibers: number
  /** Of each fiber. */
  readonly grants: number
  /** Milliseconds. */
  readonly silence: number
  readonly keys: ReadonlyArray<string>
  /** Of faults, about. None is a calm, in which nobody is freed by what befalls others. */
  readonly rounds: number
}

export interface Result {
  readonly register: Register
  readonly done: number
  readonly seconds: number
  /** How often something happened. */
  readonly counts: ReadonlyMap<string, number>
  /** What must not be. */
  readonly complaints: ReadonlyArray<string>
  /** Who held and waited, when nothing had been done for long. */
  readonly stuck: string | undefined
}

/** For how long nobody may be served until it is said to be stuck: it decides when all is lost, and nothing else. */
const patience = 60_000

/** In each round, in an order that the seed decides. */
const round = {
  terminate: 12,
  pause: 6,
  cut: 6,
  stop: 5,
  kill: 4,
  longPause: 1,
  longStop: 1
}

type Fault = keyof typeof round

const faults = (Object.keys(round) as ReadonlyArray<Fault>).flatMap((fault) =>
  Array.from({ length: round[fault] }, () => fault)
)

class Slot {
  readonly index: number
  readonly proxy: Proxy
  readonly remaining: Array<number>
  /** What each fiber asks for. */
  readonly asks: Array<string>
  child: ChildProcess | undefined
  lives = 0
  /** Something is being done to it. */
  isBusy = false
  isOver = false
  constructor(index: number, proxy: Proxy, { fibers, grants }: Options) {
    this.index = index
    this.proxy = proxy
    this.remaining = Array.from({ length: fibers }, () => grants)
    this.asks = this.remaining.map(() => "nothing yet")
  }
  get application(): string {
    return `storm-${this.index}`
  }
}

class Storm {
  readonly register = new Register()
  readonly counts = new Map<string, number>()
  readonly complaints: Array<string> = []
  done = 0
  lastDone = performance.now()
  stuck: string | undefined
  private readonly options: Options
  private readonly random: Random
  private readonly slots: Array<Slot> = []
  private wake: () => void = () => {}

  constructor(options: Options) {
    this.options = options
    this.random = new Random(options.seed)
  }

  async run(): Promise<Result> {
    const { processes, seen } = this.options
    const { hostname, port } = new URL(seen.url())
    const started = performance.now()
    try {
      for (let i = 0; i < processes; i++) {
        this.slots.push(new Slot(i, await proxy({ host: hostname, port: Number(port) }), this.options))
      }
      const over = new Promise<void>((resolve) => this.wake = resolve)
      for (const slot of this.slots) this.start(slot)
      const watching = setInterval(() => void this.watch(), 1000)
      const hitting = this.hit()
      await over
      clearInterval(watching)
      await hitting
    } finally {
      for (const { child, proxy } of this.slots) {
        child?.kill("SIGKILL")
        await proxy.close()
      }
    }
    const { complaints, counts, done, register, stuck } = this
    return { register, done, seconds: (performance.now() - started) / 1000, counts, complaints, stuck }
  }

  private get isOver(): boolean {
    return this.stuck !== undefined || this.slots.every(({ isOver }) => isOver)
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  private start(slot: Slot): void {
    const { database, keys, kind, seed, silence, worker } = this.options
    const life = ++slot.lives
    const work: Work = {
      kind,
      url: `postgres://postgres@127.0.0.1:${slot.proxy.port}/${database}`,
      application: slot.application,
      silence,
      seed: seed * 1000 + slot.index * 100 + life,
      keys,
      remaining: slot.remaining
    }
    const prefix = `${work.application}.${work.seed}.`
    const child = fork(worker, [JSON.stringify(work)], { stdio: ["ignore", "pipe", "pipe", "ipc"] })
    slot.child = child
    let wasKilled = false
    const kill = child.kill.bind(child)
    child.kill = (signal) => {
      const sent = kill(signal)
      if (signal === "SIGKILL") {
        wasKilled = true
        this.register.killed((id) => id.startsWith(prefix))
      }
      return sent
    }
    // It may be gone before it is answered.
    child.on("error", () => {})
    for (const output of [child.stdout!, child.stderr!]) {
      output.setEncoding("utf8").on("data", (text: string) => this.complaints.push(`${work.application}: ${text}`))
    }
    child.on("message", (messages: ReadonlyArray<Message>) => {
      for (const message of messages) {
        if ("number" in message) {
          this.serve(message, wasKilled)
          if (child.connected) child.send(message.number)
        } else this.hear(slot, message)
      }
    })
    // Everything that it said was heard then.
    child.on("close", (code, signal) => {
      slot.child = undefined
      if (this.stuck !== undefined) return
      if (signal === "SIGKILL" && wasKilled) return this.start(slot)
      if (code !== 0) this.complaints.push(`${work.application} ended with ${code ?? signal}`)
      slot.isOver = true
      if (slot.remaining.some((left) => left > 0)) this.complaints.push(`${work.application} left before it was done`)
      if (this.isOver) this.wake()
    })
  }

  private serve(message: Extract<Message, { readonly number: number }>, isDead: boolean): void {
    const { register } = this
    switch (message.is) {
      case "enter":
        return register.enter(message.grant, message.parts, isDead)
      case "write":
        return register.grants.has(message.grant) ? register.write(message.grant) : undefined
      case "leave":
        if (message.writes) register.write(message.grant)
        return register.leave(message.grant)
    }
  }

  private hear(slot: Slot, message: Exclude<Message, { readonly number: number }>): void {
    switch (message.is) {
      case "asks":
        slot.asks[message.fiber] = `${message.what}, at ${Math.round(performance.now())}`
        return
      case "ended":
        return this.register.ended(message.grant, message.outcome)
      case "done":
        this.done++
        this.lastDone = performance.now()
        slot.remaining[message.fiber]!--
        return
      case "met":
        return this.count(message.what)
      case "complaint":
        this.complaints.push(`${slot.application}: ${message.text}`)
        return
    }
  }

  private async watch(): Promise<void> {
    if (performance.now() - this.lastDone < patience || this.isOver) return
    const { database, seen } = this.options
    this.stuck = "being looked at"
    const lines = [
      `nobody was served for ${patience} ms; ${this.done} were`,
      "in the register:",
      ...this.register.holders(),
      `what the fibers ask for, now being ${Math.round(performance.now())}:`,
      ...this.slots.flatMap(({ application, asks, child, proxy }) =>
        asks.map((what) =>
          `${application} (${child === undefined ? "gone" : child.pid}, ${
            proxy.isPaused("toServer") || proxy.isPaused("toClient") ? "silent" : "linked"
          }): ${what}`
        )
      ),
      "on the server:",
      ...(await seen.advisory(database)).map((one) => JSON.stringify(one)),
      ...(await seen.sessions("%", database)).map((one) => JSON.stringify(one))
    ]
    this.stuck = lines.join("\n")
    this.wake()
  }

  /** One fault after the other, until all is done; the next one comes when enough was done since the last. */
  private async hit(): Promise<void> {
    const { random } = this
    const { fibers, grants, processes, rounds } = this.options
    if (rounds === 0) return
    const apart = processes * fibers * grants / (rounds * faults.length)
    const running = new Set<Promise<void>>()
    let deck: Array<Fault> = []
    for (let next = 1; !this.isOver;) {
      await sleep(random.between(5, 30))
      const free = this.slots.filter(({ child, isBusy }) => child !== undefined && !isBusy)
      if (this.done < next || free.length === 0) continue
      next = this.done + random.between(0, 2 * apart)
      if (deck.length === 0) deck = random.shuffle(faults)
      const hit = this.one(deck.pop()!, random.pick(free)).finally(() => running.delete(hit))
      running.add(hit)
    }
    await Promise.all(running)
  }

  private async one(fault: Fault, slot: Slot): Promise<void> {
    const { random } = this
    const { silence } = this.options
    const { child, proxy } = slot
    slot.isBusy = true
    try {
      switch (fault) {
        case "terminate":
          return await this.terminate(slot)
        case "cut":
          this.count("links cut")
          return proxy.cut()
        case "pause":
          return await this.pause(proxy, "links silent for a while", random.between(10, silence * 0.3))
        case "longPause":
          return await this.pause(proxy, "links silent for too long", silence * random.between(0.9, 1.2))
        case "stop":
          return await this.stop(child!, "processes stopped for a while", random.between(10, silence * 0.3))
        case "longStop":
          return await this.stop(child!, "processes stopped for too long", silence * random.between(1.1, 1.4))
        case "kill":
          this.count("processes killed")
          child!.kill("SIGKILL")
      }
    } finally {
      slot.isBusy = false
    }
  }

  private async pause(proxy: Proxy, what: string, milliseconds: number): Promise<void> {
    this.count(what)
    const directions: ReadonlyArray<ReadonlyArray<Direction>> = [[], [], ["toServer"], ["toClient"]]
    proxy.pause(...this.random.pick(directions))
    await sleep(milliseconds)
    proxy.resume()
  }

  private async stop(child: ChildProcess, what: string, milliseconds: number): Promise<void> {
    this.count(what)
    child.kill("SIGSTOP")
    await sleep(milliseconds)
    child.kill("SIGCONT")
  }

  /** A session of locks: one that has some, one that waits for one, or any. */
  private async terminate({ application }: Slot): Promise<void> {
    const condition = this.random.pick([
      "true",
      "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory' AND granted)",
      "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory' AND NOT granted)"
    ])
    const ended = await this.options.seen.query(
      `SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity a WHERE datname = $1 AND application_name = $2 AND ${condition}
        ORDER BY hashint8(pid + $3) LIMIT 1) AS one`,
      [this.options.database, `${application} (locks)`, Math.floor(this.random.between(0, 1e6))]
    )
    if (ended.length > 0) this.count("sessions terminated")
  }
}

export const run = (options: Options): Promise<Result> => new Storm(options).run()

/** Processes that hold locks, as a test sees them. */
import * as esbuild from "esbuild"
import { type ChildProcess, fork } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type Ask, clock, type Command, type Order, type Saying, type Terms, type Visit, type Why } from "./protocol.ts"
import type { Register, Stay } from "./register.ts"

/** Compiles what the workers run, once: a process that does so itself takes seconds to start. */
export const compile = async (): Promise<{ readonly program: string; readonly remove: () => void }> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-worker-"))
  const program = path.join(directory, "worker.cjs")
  await esbuild.build({
    entryPoints: [path.join(import.meta.dirname, "worker.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    external: ["pg-native"],
    outfile: program,
    logLevel: "warning"
  })
  return { program, remove: () => fs.rmSync(directory, { recursive: true, force: true }) }
}

/** Something that happens once. */
class Event<A> {
  value: A | undefined
  readonly promise: Promise<A>
  private resolve!: (value: A) => void
  private reject!: (error: unknown) => void
  constructor() {
    this.promise = new Promise<A>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Who waits for it is told.
    this.promise.catch(() => {})
  }
  happens(value: A): void {
    this.value ??= value
    this.resolve(value)
  }
  fails(error: unknown): void {
    this.reject(error)
  }
}

type Said<Say extends Saying["say"]> = Extract<Saying, { readonly say: Say }>

/** One request of a worker, and what came of it. */
export class Attempt {
  readonly granted = new Event<Said<"granted">>()
  readonly blocked = new Event<Said<"blocked">>()
  /** Its body has ended, or was told of the loss. */
  readonly out = new Event<Said<"out">>()
  /** Nothing is left of it in the worker. */
  readonly over = new Event<Said<"over">>()
  writes = 0
  stay: Stay | undefined
  readonly worker: Worker
  readonly id: number
  readonly ask: Ask
  constructor(worker: Worker, id: number, ask: Ask) {
    this.worker = worker
    this.id = id
    this.ask = ask
  }
  order(order: Order): void {
    this.worker.tell({ do: "order", id: this.id, order })
  }
  /** Lets go, and waits until it has. */
  async letGo(): Promise<Why | undefined> {
    this.order({ do: "let go" })
    return (await this.over.promise).why
  }
  /** What it fails with, without ever being granted. */
  get failure(): Promise<Why> {
    return this.granted.promise.then(
      () => Promise.reject(new Error(`${this.worker.name} was granted it`)),
      async (error) => (await this.over.promise).why ?? Promise.reject(error)
    )
  }
  heard(saying: Saying): void {
    const { key, mode = "exclusive" } = this.ask
    const { name, register } = this.worker
    switch (saying.say) {
      case "granted": {
        const token = saying.token === undefined ? undefined : BigInt(saying.token)
        this.stay = register.enter(name, key, mode, token, saying.at)
        return this.granted.happens(saying)
      }
      case "blocked":
        return this.blocked.happens(saying)
      case "write":
        this.writes++
        return register.write(this.stay!)
      case "out":
        this.stay!.left = Math.min(this.stay!.left, saying.at)
        return this.out.happens(saying)
      case "over":
        this.granted.fails(new Error(`${name} was not granted ${key}: ${saying.why?.message}`))
        return this.over.happens(saying)
    }
  }
  died(at: number, error: unknown): void {
    if (this.stay !== undefined) this.stay.left = Math.min(this.stay.left, at)
    for (const event of [this.granted, this.blocked, this.out, this.over]) event.fails(error)
  }
}

export class Worker {
  readonly name: string
  readonly register: Register
  readonly terms: Terms
  private readonly child: ChildProcess
  private readonly attempts: Array<Attempt> = []
  private readonly results = new Map<number, (saying: Saying) => void>()
  private readonly ready = new Event<void>()
  private readonly exited: Promise<void>
  /** When it was killed. */
  private killedAt: number | undefined

  constructor(program: string, name: string, terms: Terms, register: Register) {
    this.name = name
    this.register = register
    this.terms = terms
    const child = fork(program, [JSON.stringify(terms)], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
    this.child = child
    child.on("message", (saying: Saying) => {
      if (saying.say === "ready") this.ready.happens()
      else if (saying.say === "refused") this.ready.fails(new Error(`${saying.why.reason}: ${saying.why.message}`))
      else if (saying.say === "visits" || saying.say === "stormed") this.results.get(saying.id)!(saying)
      else this.attempts[saying.id]!.heard(saying)
    })
    child.on("error", () => {})
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        const error = new Error(`the worker ${name} has ended: ${signal ?? code}`)
        this.ready.fails(error)
        for (const attempt of this.attempts) attempt.died(this.killedAt ?? clock(), error)
        resolve()
      })
    })
  }

  get pid(): number {
    return this.child.pid!
  }
  get isKilled(): boolean {
    return this.killedAt !== undefined
  }
  /** How many it held when it was killed. */
  get held(): number {
    return this.attempts.filter(({ out, stay }) => stay !== undefined && out.value === undefined).length
  }
  async started(): Promise<this> {
    await this.ready.promise
    return this
  }
  tell(command: Command): void {
    this.child.send(command)
  }
  private attempt(ask: Ask): Attempt {
    const attempt = new Attempt(this, this.attempts.length, ask)
    this.attempts.push(attempt)
    return attempt
  }
  hold(ask: Ask): Attempt {
    const attempt = this.attempt(ask)
    this.tell({ do: "hold", id: attempt.id, ask })
    return attempt
  }
  /** Holds it again and again. */
  async repeat(ask: Ask, times: number): Promise<ReadonlyArray<Visit>> {
    const attempt = this.attempt(ask)
    const visits = new Promise<ReadonlyArray<Visit>>((resolve) => {
      this.results.set(attempt.id, (saying) => {
        if (saying.say === "visits") resolve(this.visited(attempt, saying.visits))
      })
    })
    this.tell({ do: "repeat", id: attempt.id, ask, times })
    const failed = attempt.over.promise.then(({ why }) => Promise.reject(new Error(why?.message)))
    return Promise.race([visits, failed])
  }
  /** Many ask, and from `begin` on give up within so many milliseconds. */
  storm(ask: Ask, fibers: number, within: number): { readonly begin: () => Promise<Said<"stormed">> } {
    const attempt = this.attempt(ask)
    const stormed = new Promise<Said<"stormed">>((resolve) => {
      this.results.set(attempt.id, (saying) => {
        if (saying.say !== "stormed") return
        this.visited(attempt, saying.visits)
        resolve(saying)
      })
    })
    this.tell({ do: "storm", id: attempt.id, ask, fibers, within })
    return {
      begin: () => {
        attempt.order({ do: "let go" })
        return Promise.race([stormed, attempt.over.promise.then(() => Promise.reject(new Error("it ended")))])
      }
    }
  }
  private visited({ ask: { key, mode = "exclusive" } }: Attempt, visits: ReadonlyArray<Visit>): ReadonlyArray<Visit> {
    for (const { entered, left, token } of visits) {
      this.register.enter(this.name, key, mode, BigInt(token), entered).left = left
    }
    return visits
  }
  stop(): void {
    process.kill(this.pid, "SIGSTOP")
  }
  continue(): void {
    process.kill(this.pid, "SIGCONT")
  }
  /** It has left at once, as it can do nothing any more. */
  async kill(): Promise<void> {
    this.killedAt ??= clock()
    this.child.kill("SIGKILL")
    await this.exited
  }
  /** Asks it to end; false when it does not do so by itself. */
  async end(): Promise<boolean> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return true
    this.continue()
    if (this.child.connected) this.tell({ do: "stop" })
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.child.kill("SIGKILL")
    }, 20_000)
    await this.exited
    clearTimeout(timer)
    return !isLate
  }
}

/** Two hosts with a cable between them, on one machine: Linux alone has such, for root alone. */
import { execFileSync, spawnSync } from "node:child_process"
import { Guard } from "./guard.ts"

/** The host of the server, and that of its clients. */
export type Host = "server" | "client"

const peerOf = { server: "client", client: "server" } as const
const nobody = "02:00:00:00:00:99"

let made = 0

const ip = (...args: ReadonlyArray<string>): string => execFileSync("ip", args, { encoding: "utf8", stdio: "pipe" })

export class Namespaces {
  /** By which each reaches the other; several pairs may have the same, as they do not see each other. */
  readonly addresses = { server: "10.77.0.1", client: "10.77.0.2" } as const
  private readonly names: Readonly<Record<Host, string>>
  private readonly guard: Guard

  constructor() {
    const base = `locks-${process.pid}-${made++}`
    this.names = { server: `${base}-s`, client: `${base}-c` }
    this.guard = new Guard("ip netns del \"$1\"; ip netns del \"$2\"", this.names.server, this.names.client)
    try {
      this.make()
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** What a command begins with that runs on this host. */
  prefix(host: Host): ReadonlyArray<string> {
    return ["ip", "netns", "exec", this.names[host]]
  }

  runIn(host: Host, ...command: ReadonlyArray<string>): ReadonlyArray<string> {
    return [...this.prefix(host), ...command]
  }

  /** What is sent goes to nobody from now on, and neither host is told. */
  cut(): void {
    this.neighbour("server", nobody)
    this.neighbour("client", nobody)
  }

  mend(): void {
    this.neighbour("server", this.hardware("client"))
    this.neighbour("client", this.hardware("server"))
  }

  remove(): void {
    for (const name of Object.values(this.names)) spawnSync("ip", ["netns", "del", name])
    this.guard.end()
  }

  private make(): void {
    const { client, server } = this.names
    ip("netns", "add", server)
    ip("netns", "add", client)
    ip("-n", server, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", client)
    for (const host of ["server", "client"] as const) {
      ip("-n", this.names[host], "address", "add", `${this.addresses[host]}/24`, "dev", "cable")
      ip("-n", this.names[host], "link", "set", "lo", "up")
      ip("-n", this.names[host], "link", "set", "cable", "up")
    }
    // No look-up of a neighbour that may fail, and mending is the same as at first.
    this.mend()
  }

  private hardware(host: Host): string {
    const [link] = JSON.parse(ip("-json", "-n", this.names[host], "link", "show", "cable"))
    return link.address
  }

  private neighbour(host: Host, hardware: string): void {
    const address = this.addresses[peerOf[host]]
    ip("-n", this.names[host], "neigh", "replace", address, "lladdr", hardware, "nud", "permanent", "dev", "cable")
  }
}

let impossible: { readonly reason: string | undefined } | undefined

const tryIt = (): string | undefined => {
  if (process.platform !== "linux") return "network namespaces are there on Linux alone"
  if (process.getuid?.() !== 0) return "network namespaces are for root alone"
  try {
    const namespaces = new Namespaces()
    try {
      const [command, ...args] = namespaces.runIn("client", "setpriv", "--version")
      execFileSync(command!, args, { stdio: "pipe" })
    } finally {
      namespaces.remove()
    }
    return undefined
  } catch (error) {
    return `network namespaces cannot be made here: ${(error as Error).message.trim()}`
  }
}

/** Why there can be none here, if so. */
export const isPossible = (): string | undefined => (impossible ??= { reason: tryIt() }).reason

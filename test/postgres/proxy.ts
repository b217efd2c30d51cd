/** A network between a client and a server that goes silent, breaks and lies when a test says so. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"

export type Direction = "toServer" | "toClient"

export interface Target {
  readonly host?: string
  readonly port: number
}

/** What is forwarded instead of a chunk. */
export type Transform = (chunk: Buffer, direction: Direction) => Buffer

class Connection {
  readonly client: Socket
  readonly server: Socket

  constructor(proxy: Proxy, client: Socket, target: Target) {
    this.client = client
    this.server = connect({ port: target.port, host: target.host ?? "127.0.0.1", allowHalfOpen: true, noDelay: true })
    this.forward(proxy, "toServer")
    this.forward(proxy, "toClient")
  }

  from(direction: Direction): Socket {
    return direction === "toServer" ? this.client : this.server
  }

  private to(direction: Direction): Socket {
    return direction === "toServer" ? this.server : this.client
  }

  private forward(proxy: Proxy, direction: Direction): void {
    const from = this.from(direction)
    const to = this.to(direction)
    from.on("data", (chunk: Buffer) => {
      if (to.write(proxy.transform(chunk, direction))) return
      from.pause()
      to.once("drain", () => proxy.isPaused(direction) || from.resume())
    })
    // Its end is news as well, which Node tells of a paused socket too, and news does not get through a silent network.
    from.on("end", () => void proxy.whenForwarding(direction).then(() => to.end()))
    from.on("error", () => {})
    from.on("close", () => void proxy.whenForwarding(direction).then(() => to.destroy()))
    if (proxy.isPaused(direction)) from.pause()
    else from.resume()
  }

  destroy(): void {
    this.client.destroy()
    this.server.destroy()
  }
}

export class Proxy {
  /** Where new connections lead; may be set at any time. */
  target: Target
  /** May be set at any time. */
  transform: Transform
  private readonly listener: Server
  private readonly connections = new Set<Connection>()
  /** Accepted while nothing went to the server: it does not know of them. */
  private waiting: Array<Socket> = []
  private paused: ReadonlyArray<Direction> = []
  private resumed: Array<() => void> = []

  constructor(listener: Server, target: Target, transform: Transform) {
    this.listener = listener
    this.target = target
    this.transform = transform
    listener.on("connection", (client) => {
      client.on("error", () => {})
      if (this.isPaused("toServer")) this.waiting.push(client)
      else this.join(client)
    })
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port
  }

  /** How many connections to the server there are. */
  get size(): number {
    return this.connections.size
  }

  isPaused(direction: Direction): boolean {
    return this.paused.includes(direction)
  }

  /**
   * Forwards nothing, not even the end of a connection; what is sent meanwhile is kept. New connections are accepted,
   * and are as silent. In one direction only, where one is given.
   */
  pause(...directions: ReadonlyArray<Direction>): void {
    this.paused = directions.length === 0 ? ["toServer", "toClient"] : directions
    for (const connection of this.connections) {
      for (const direction of this.paused) connection.from(direction).pause()
    }
  }

  /** Delivers what was kept, and goes on. */
  resume(): void {
    this.paused = []
    for (const connection of this.connections) {
      connection.client.resume()
      connection.server.resume()
    }
    for (const client of this.waiting.splice(0)) this.join(client)
    for (const wake of this.resumed.splice(0)) wake()
  }

  /** Waits until it forwards in this direction. */
  async whenForwarding(direction: Direction): Promise<void> {
    while (this.isPaused(direction)) await new Promise<void>((resolve) => this.resumed.push(resolve))
  }

  /** Ends all connections at once; new ones are accepted. */
  cut(): void {
    for (const connection of this.connections) connection.destroy()
    for (const client of this.waiting.splice(0)) client.destroy()
  }

  /** Ends all connections, and accepts no more. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.paused = []
      this.listener.close(() => resolve())
      this.cut()
    })
  }

  private join(client: Socket): void {
    const connection = new Connection(this, client, this.target)
    this.connections.add(connection)
    connection.server.on("close", () => this.connections.delete(connection))
  }
}

export const proxy = (target: Target, transform: Transform = (chunk) => chunk): Promise<Proxy> =>
  new Promise((resolve, reject) => {
    const listener = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
    listener.on("error", reject)
    listener.listen(0, "127.0.0.1", () => resolve(new Proxy(listener, target, transform)))
  })

/** The servers that locks across hosts are measured on: started for it, and ended with it. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

export interface Server {
  readonly url: string
  readonly version: string
  readonly end: () => void
}

export const postgres = async (): Promise<Server> => {
  const child = spawn("npx", ["tsx", path.resolve("test", "postgres", "serve.ts")], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const [line] = await once(child.stdout, "data") as [Buffer]
  const { url, version } = JSON.parse(String(line)) as Omit<Server, "end">
  return { url, version, end: () => child.stdin.end() }
}

const freePort = async (): Promise<number> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as net.AddressInfo
  server.close()
  return port
}

/** Why there is none, or one that keeps nothing on the disk. */
export const redis = async (): Promise<Server | string> => {
  const version = spawnSync("redis-server", ["--version"], { encoding: "utf8" })
  if (version.status !== 0) return "no Redis server is here"
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "lock-bench-redis-"))
  const port = await freePort()
  const child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory])
  for await (const text of child.stdout) if (String(text).includes("Ready to accept")) break
  child.stdout.resume()
  return {
    url: `redis://127.0.0.1:${port}`,
    version: /v=(\S+)/.exec(version.stdout)?.[1] ?? "",
    end: () => {
      child.kill()
      fs.rmSync(directory, { recursive: true, force: true })
    }
  }
}

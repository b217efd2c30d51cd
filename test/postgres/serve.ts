/** Starts a server for a program that is not a test, prints what it is, and ends it with its input. */
import { start } from "./server.ts"

const server = await start()
process.stdout.write(`${JSON.stringify({ url: server.url(), version: server.version })}\n`)
process.stdin.resume()
process.stdin.on("end", () => void server.remove())

/** A process that wants one lock again and again, or holds it; says when it asked, was granted and released. */
import { kinds } from "./databaseLocks.js"

const [, , kind, url] = process.argv as [string, string, string, string]
const now = () => Number(process.hrtime.bigint()) / 1e6
const locks = kinds[kind]!(url)

/** Everything is loaded, compiled and connected before it counts. */
for (let i = 0; i < 20; i++) await locks.hold(`warm up ${process.pid}`, async () => {})

type Order = { readonly passes: number } | { readonly hold: true }

process.on("message", async (order: Order) => {
  if ("hold" in order) {
    await locks.hold("hot", async () => {
      process.send!("held")
      await new Promise(() => {})
    })
    return
  }
  const passes: Array<readonly [asked: number, granted: number, released: number]> = []
  for (let i = 0; i < order.passes; i++) {
    const asked = now()
    passes.push(await locks.hold("hot", async () => [asked, now(), now()] as const))
  }
  process.send!(passes)
})
process.on("disconnect", () => process.exit())
process.send!("ready")

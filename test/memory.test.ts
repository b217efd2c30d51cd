import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

// Each measurement is a process of its own, whose heap nobody else uses.
const measure = (name: string): number => {
  const program = fileURLToPath(new URL("./fixtures/memory.ts", import.meta.url))
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--expose-gc", "--import", "tsx", program, name],
    { encoding: "utf8" }
  )
  assert.strictEqual(status, 0, stderr)
  return JSON.parse(stdout)
}

describe("memory", () => {
  it("is flat after 1,000,000 names", () => {
    assert.isBelow(measure("names"), 5 * 2 ** 20)
  }, 120_000)

  it("a scoped hold that had to wait does not keep the fiber that asked for it", () => {
    assert.strictEqual(measure("fibers"), 0)
  }, 60_000)
})

/** What docs/commands.md shows. */
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"
import { shell } from "./processes.ts"

const page = fs.readFileSync("docs/commands.md", "utf8")
const examples = Array.from(page.matchAll(/```sh\n([\s\S]*?)```/g), ([, script]) => script!)

describe("docs/commands.md", () => {
  it("has examples", () => assert.isAtLeast(examples.length, 3))

  it.each(examples.map((script, i) => [i + 1, script] as const))("is right in example %i", async (_, script) => {
    const { code, err } = await shell(`set -e\n${script}`).closed
    assert.deepStrictEqual([code, err], [0, ""])
  })

  it("lists the exit codes that --help does", async () => {
    const { out } = await shell("effect-locks --help").closed
    const inHelp = out.slice(out.indexOf("EXIT CODES")).match(/^\d\S*/gm)
    const inPage = page.match(/(?<=^\| )\d\S*/gm)
    assert.deepStrictEqual(inPage, inHelp!.filter((code) => code !== "0"))
  })
})

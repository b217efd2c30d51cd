/** The rooms of docs/inside.md: every file has one, and imports what is below it. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const source = path.join(root, "src")

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replaceAll(path.sep, "/"))

/** From the surface down. */
const rooms = (() => {
  const page = readFileSync(path.join(root, "docs", "inside.md"), "utf8")
  const table = page.slice(page.indexOf("## The rooms")).match(/^\|.*\|$/gm)!.slice(2)
  return table.map((row) => Array.from(row.split("|")[2]!.matchAll(/`([^`]+\.ts)`/g), ([, name]) => name!))
})()

const roomOf = (file: string) => rooms.findIndex((room) => room.includes(path.posix.basename(file)))

/** What a file imports or exports anew, types left out. */
const importsOf = (file: string): ReadonlyArray<string> =>
  Array.from(
    readFileSync(path.join(source, file), "utf8").matchAll(
      /^(?:im|ex)port (\{[^}]*\}|\* as \w+|\*) from "(\.[^"]+)"/gm
    ),
    ([, what, from]) => {
      const names = what!.startsWith("{") ? what!.replaceAll(/\/\*[\s\S]*?\*\//g, "").slice(1, -1).split(",") : [what!]
      const isValue = names.some((name) => name.trim() !== "" && !name.trim().startsWith("type "))
      return isValue ? [path.posix.join(path.posix.dirname(file), from!)] : []
    }
  ).flat()

describe("the rooms of src", () => {
  it("have every file once", () => {
    assert.sameMembers(rooms.flat(), files.map((file) => path.posix.basename(file)))
  })

  it("import values from rooms below, or from their own", () => {
    for (const file of files) {
      for (const to of importsOf(file)) assert.isAtLeast(roomOf(to), roomOf(file), `${file} imports ${to}`)
    }
  })

  it("have no circle of imports", () => {
    const above: Array<string> = []
    const done = new Set<string>()
    const visit = (file: string) => {
      assert.notInclude(above, file)
      if (done.has(file)) return
      above.push(file)
      importsOf(file).forEach(visit)
      above.pop()
      done.add(file)
    }
    files.forEach(visit)
    assert.strictEqual(done.size, files.length)
  })
})

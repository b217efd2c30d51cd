/** `effect-locks status`, `remove` and `path` as real processes. */
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"
import { atTerminal, hasPython, holder, inside, isFree, locks, pidIn, shell, start } from "./processes.ts"

interface Holder {
  readonly pid: number
  readonly parent: number | null
  readonly mode: string
  readonly command: string
  readonly started: string
}

interface Status {
  readonly at: string
  readonly lockPath: string
  readonly complete: boolean
  readonly locks: ReadonlyArray<{
    readonly file: string
    readonly path: string
    readonly complete: boolean
    readonly holders: ReadonlyArray<Holder>
  }>
}

const parse = (text: string): Status => JSON.parse(text) as Status

describe.runIf(process.platform === "linux")("status", () => {
  it("tells who holds which file, as text and as JSON, and takes nothing", async () => {
    const held = await holder("x", "--prefix", "nova")
    const readers = [await holder("r", "--shared"), await holder("r", "--shared")]
    fs.writeFileSync(inside("locks", "free\u001b[31m"), "")
    fs.mkdirSync(inside("locks", "directory"))
    const [json, text, selected] = await Promise.all([
      locks("status", "--json").closed,
      locks("status").closed,
      locks("status", "--prefix", "nova-", "--json").closed
    ])
    assert.deepStrictEqual([json, text, selected].map(({ code, err }) => [code, err]), [[0, ""], [0, ""], [0, ""]])
    const status = parse(json.out)
    assert.deepStrictEqual([status.lockPath, status.complete], [inside("locks"), true])
    assert.deepStrictEqual(
      status.locks.map(({ complete, file, holders, path }) => [file, path, complete, holders.length]),
      [
        ["free\u001b[31m", inside("locks", "free\u001b[31m"), true, 0],
        ["nova-x", inside("locks", "nova-x"), true, 2],
        ["r", inside("locks", "r"), true, 4]
      ]
    )
    const [, nova, r] = status.locks
    const [outer, inner] = [
      nova!.holders.find(({ parent }) => parent === null),
      nova!.holders.find(({ parent }) => parent !== null)
    ]
    assert.deepStrictEqual(
      [outer, inner].map((holder) => [holder?.pid, holder?.parent, holder?.mode]),
      [[held.pid, null, "exclusive"], [pidIn(held), held.pid, "exclusive"]]
    )
    assert.strictEqual(outer!.command, "effect-locks run x --prefix nova -- sh -c echo up $$; read line; exit 0")
    assert.strictEqual(inner!.command, "sh -c echo up $$; read line; exit 0")
    const age = Date.parse(status.at) - Date.parse(inner!.started)
    assert.isTrue(age > -2000 && age < 120_000, `${age} ms`)
    assert.sameMembers(r!.holders.map(({ pid }) => pid), readers.flatMap((one) => [one.pid, pidIn(one)]))
    assert.deepStrictEqual(parse(selected.out).locks.map(({ file }) => file), ["nova-x"])
    const lines = text.out.split("\n")
    assert.strictEqual(lines[0], inside("locks"))
    assert.match(lines[1]!, /^LOCK +HELD +PID +STARTED +COMMAND$/)
    assert.match(lines[2]!, /^free\\u001b\[31m +free$/)
    assert.match(lines[3]!, new RegExp(`^nova-x +exclusive +${held.pid} +\\d+s ago +effect-locks run x `))
    assert.match(lines[4]!, new RegExp(`^ +exclusive +${pidIn(held)} +\\d+s ago +  sh -c `))
    for (const one of [held, ...readers]) one.goOn()
    assert.deepStrictEqual(
      await Promise.all([held, ...readers].map(async ({ closed }) => (await closed).code)),
      [0, 0, 0]
    )
    assert.isTrue(await isFree("r"))
  })

  it("makes no lock path, and says when there is none", async () => {
    const [missing, none, file] = await Promise.all([
      locks("status", "--json").closed,
      start("effect-locks", ["status"], { OSLO_LOCK_PATH: "" }).closed,
      start("effect-locks", ["status"], { OSLO_LOCK_PATH: "/dev/null" }).closed
    ])
    assert.deepStrictEqual([missing.code, parse(missing.out).locks], [0, []])
    assert.isFalse(fs.existsSync(inside("locks")))
    assert.strictEqual(none.code, 78)
    assert.include(none.err, "give --lock-path DIR, or set OSLO_LOCK_PATH")
    assert.strictEqual(file.code, 78)
  })

  it("watches: a line of JSON, or a table, when something has changed", async () => {
    fs.mkdirSync(inside("locks"))
    fs.writeFileSync(inside("locks", "x"), "")
    const json = locks("status", "--watch", "--json")
    const table = locks("status", "--watch")
    await Promise.all([json.says(/\n/), table.says("free")])
    const held = await holder("x")
    await Promise.all([json.says(/"parent":\d/), table.says("exclusive")])
    held.goOn()
    await Promise.all([json.says(/"parent":\d[^]*"holders":\[\]/), table.says(/exclusive[^]*free/)])
    json.kill("SIGINT")
    table.kill("SIGTERM")
    const ends = await Promise.all([json.closed, table.closed])
    assert.deepStrictEqual(ends.map(({ err, signal }) => [signal, err]), [["SIGINT", ""], ["SIGTERM", ""]])
    const counts = ends[0].out.trimEnd().split("\n").map((line) => parse(line).locks[0]!.holders.length)
    assert.deepStrictEqual([counts[0], counts.at(-1), Math.max(...counts)], [0, 0, 2])
    assert.notInclude(ends[1].out, "\u001b")
  })

  it("stops without a word when nobody reads, and says when it cannot write", async () => {
    fs.mkdirSync(inside("locks"))
    for (let i = 0; i < 400; i++) fs.writeFileSync(inside("locks", `${i}-${"x".repeat(240)}`), "")
    const { err, out } = await shell(
      `{ effect-locks status; echo $? >&2; } | head -n 1; { effect-locks status --watch; echo $? >&2; } | head -n 1
      effect-locks status > /dev/full; echo $? >&2`
    ).closed
    assert.strictEqual(out.replace(/^\d{4}-.*Z /m, ""), `${inside("locks")}\n${inside("locks")}\n`)
    assert.match(err, /^141\n141\neffect-locks: cannot write the output: .*ENOSPC.*\n74\n$/)
  })

  it.runIf(hasPython)("draws over itself at a terminal, until it is interrupted", async () => {
    fs.mkdirSync(inside("locks"))
    fs.writeFileSync(inside("locks", "x"), "")
    const one = atTerminal(["effect-locks", "status", "--watch"])
    await one.says(/free/)
    const held = await holder("x")
    await one.says(/exclusive/)
    one.process.stdin!.write("\u0003")
    const { code, out } = await one.closed
    assert.strictEqual(code, 130)
    assert.isTrue(out.startsWith("\u001b[?25l"), "the cursor is hidden")
    assert.isTrue(out.trimEnd().endsWith("\u001b[?25h"), "and shown again")
    // What is drawn over is three lines high.
    assert.include(out, "\u001b[3A")
    assert.include(out, "\u001b[32m")
    held.goOn()
    await held.closed
  })
})

describe("remove", () => {
  it("removes a free file, and nothing else", async () => {
    const held = await holder("x")
    const [atOnce, late] = await Promise.all([
      locks("remove", "x", "--no-wait").closed,
      locks("remove", "x", "--timeout", "0.1").closed
    ])
    assert.deepStrictEqual([atOnce.code, late.code], [75, 75])
    assert.include(atOnce.err, "lock \"x\" is busy")
    assert.isTrue(fs.existsSync(inside("locks", "x")))
    const waiting = locks("remove", "x")
    held.goOn()
    assert.deepStrictEqual([(await held.closed).code, (await waiting.closed).code], [0, 0])
    assert.deepStrictEqual(fs.readdirSync(inside("locks")), [])
    const again = await locks("remove", "x", "--lock-path", inside("other")).closed
    assert.deepStrictEqual(again, { code: 0, signal: null, out: "", err: "" })
    assert.isFalse(fs.existsSync(inside("other")))
  })
})

describe("path", () => {
  it("prints the path, and makes nothing", async () => {
    const [plain, refused, several] = await Promise.all([
      locks("path", "a/b", "--prefix", "nova-").closed,
      locks("path", "..").closed,
      locks("path", "x", "y").closed
    ])
    assert.deepStrictEqual(plain, { code: 0, signal: null, out: `${inside("locks", "nova-a_b")}\n`, err: "" })
    assert.strictEqual(refused.code, 64)
    assert.include(refused.err, "\"..\" is a directory")
    assert.strictEqual(several.code, 64)
    assert.isFalse(fs.existsSync(inside("locks")))
  })
})

describe("completions", () => {
  it("are scripts that the shell takes", async () => {
    const { code, err, out } = await shell("effect-locks --completions bash > script && bash -n script && cat script")
      .closed
    assert.deepStrictEqual([code, err], [0, ""])
    assert.include(out, "effect-locks")
    assert.include(out, "--no-wait")
  })
})

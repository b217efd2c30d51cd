/** `lockutils-wrapper` as a real process. */
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"
import { inside, leftover, listener, start } from "./processes.ts"

const wrapper = (...args: ReadonlyArray<string>) => start("lockutils-wrapper", args)

describe("lockutils-wrapper", () => {
  it("gives the command a lock path of its own, which is removed", async () => {
    const script = "stat -c '%a %F' \"$OSLO_LOCK_PATH\" || ls -ld \"$OSLO_LOCK_PATH\"; echo $OSLO_LOCK_PATH; " +
      "mkdir $OSLO_LOCK_PATH/a; touch $OSLO_LOCK_PATH/a/b; exit 7"
    const { code, err, out } = await wrapper("sh", "-c", script).closed
    assert.deepStrictEqual([code, err], [7, ""])
    const [kind, directory] = out.split("\n")
    if (process.platform === "linux") assert.strictEqual(kind, "700 directory")
    assert.isTrue(directory!.startsWith(inside("tmp", "lockutils-wrapper-")), directory)
    assert.deepStrictEqual(leftover(), [])
  })

  it("may be nested: the inner path wins, the outer one stays meanwhile", async () => {
    const inner = "test \"$OSLO_LOCK_PATH\" != \"$1\" && test -d \"$1\" && test -d \"$OSLO_LOCK_PATH\""
    const outer = `lockutils-wrapper sh -c '${inner}' sh "$OSLO_LOCK_PATH"`
    assert.strictEqual((await wrapper("sh", "-c", outer).closed).code, 0)
    assert.deepStrictEqual(leftover(), [])
  })

  it("keeps back what would lead to another lock path", async () => {
    const script = "test -z \"$OS_OSLO_CONCURRENCY__LOCK_PATH\" && test -d \"$OSLO_LOCK_PATH\""
    const elsewhere = { OS_OSLO_CONCURRENCY__LOCK_PATH: "/elsewhere" }
    assert.strictEqual((await start("lockutils-wrapper", ["sh", "-c", script], elsewhere).closed).code, 0)
  })

  it("exits as the command does, or says why it did not run", async () => {
    const ends = await Promise.all([
      wrapper("sh", "-c", "kill -KILL $$").closed,
      wrapper("no-such-command").closed,
      wrapper(inside()).closed,
      wrapper().closed,
      wrapper("--help").closed,
      wrapper("--", "true").closed,
      start("lockutils-wrapper", ["true"], { TMPDIR: inside("none") }).closed
    ])
    assert.deepStrictEqual(ends.map(({ code }) => code), [137, 127, 126, 64, 0, 0, 73])
    assert.strictEqual(ends[1].err, "lockutils-wrapper: no-such-command: the command was not found\n")
    assert.match(ends[3].err, /^lockutils-wrapper: no command was given\nusage: lockutils-wrapper COMMAND/)
    assert.match(ends[4].out, /^usage: lockutils-wrapper COMMAND/)
    assert.include(ends[6].err, "set TMPDIR")
    assert.deepStrictEqual(leftover(), [])
  })

  it("leaves arguments, input and outputs alone", async () => {
    const args = ["--help", "--", "", "a b", "$HOME"]
    const script = "process.stdout.write(JSON.stringify(process.argv.slice(1)))"
    const { err, out } = await wrapper(process.execPath, "-e", script, "--", ...args).closed
    assert.deepStrictEqual([JSON.parse(out), err], [args, ""])
    const copying = wrapper("cat")
    const text = "0123456789\n".repeat(100_000)
    copying.process.stdin!.end(text)
    assert.isTrue((await copying.closed).out === text)
    const piped = await start("sh", ["-c", "{ lockutils-wrapper yes; echo $? >&2; } | head -n 1"]).closed
    assert.deepStrictEqual([piped.out, piped.err], ["y\n", "141\n"])
    assert.deepStrictEqual(leftover(), [])
  })

  it("passes signals on, and waits", async () => {
    const one = wrapper(...listener)
    await one.says(/up .*;/)
    const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const
    for (const signal of signals) {
      one.kill(signal)
      await one.says(`got ${signal};`)
    }
    assert.strictEqual(leftover().length, 1)
    one.goOn()
    const { code, out } = await one.closed
    assert.strictEqual(code, 5)
    assert.deepStrictEqual(out.match(/got \w+/g), signals.map((signal) => `got ${signal}`))
    assert.deepStrictEqual(leftover(), [])
  })

  it("that is terminated leaves neither the directory nor an orphan, at any time", async () => {
    const ends = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const one = wrapper("sh", "-c", "echo up; exec sleep 60")
      if (i < 3) await one.says("up")
      // The rest while it starts, sooner or later.
      else await new Promise((resolve) => setTimeout(resolve, i * 12))
      one.kill("SIGTERM")
      // Who is left behind would keep the outputs open.
      return one.closed
    }))
    ends.forEach(({ code, signal }, i) => assert.isTrue(code === 143 || (i >= 3 && signal === "SIGTERM"), `${i}`))
    assert.deepStrictEqual(leftover(), [])
    assert.isFalse(fs.existsSync(inside("locks")))
  })
})

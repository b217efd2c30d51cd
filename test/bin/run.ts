/** `effect-locks run` as a real process. */
import * as fs from "node:fs"
import * as os from "node:os"
import { assert, describe, it } from "vitest"
import {
  atTerminal,
  hasPython,
  hasUsers,
  holder,
  inside,
  isFree,
  listener,
  locks,
  parentIn,
  pidIn,
  shell,
  start
} from "./processes.ts"

const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const

const codeOf = (signal: NodeJS.Signals) => 128 + os.constants.signals[signal]

describe("exit codes", () => {
  it("are those of the command, or say how it ended", async () => {
    const ends = await Promise.all(
      [
        ["sh", "-c", "exit 7"],
        ["sh", "-c", "kill -KILL $$"],
        ["no-such-command"],
        [""],
        [inside()]
      ].map((command, i) => locks("run", `x${i}`, "--", ...command).closed)
    )
    assert.deepStrictEqual(ends.map(({ code }) => code), [7, 137, 127, 127, 126])
    assert.strictEqual(ends[2]!.err, "effect-locks: no-such-command: the command was not found\n")
    assert.deepStrictEqual(ends.slice(0, 2).map(({ err, out }) => out + err), ["", ""])
    assert.isTrue(await isFree("x2"))
  })

  it("say that the lock was not to be had", async () => {
    const held = await holder("x")
    const [atOnce, late, shared] = await Promise.all([
      locks("run", "x", "--no-wait", "--", "echo", "held").closed,
      locks("run", "x", "--timeout", "150ms", "--", "echo", "held").closed,
      locks("run", "x", "-n", "-s", "--", "echo", "held").closed
    ])
    assert.deepStrictEqual([atOnce, late, shared].map(({ code, out }) => [code, out]), [[75, ""], [75, ""], [75, ""]])
    assert.match(atOnce.err, /^effect-locks: lock "x" is busy: another process holds it/)
    assert.match(late.err, /^effect-locks: lock "x" was not free within (\d+s )?\d+ms: another process holds it/)
    held.goOn()
    assert.strictEqual((await held.closed).code, 0)
    assert.isTrue(await isFree("x"))
  })

  it("say that there can be no lock", async () => {
    fs.mkdirSync(inside("locks"))
    fs.mkdirSync(inside("locks", "directory"))
    fs.mkdirSync(inside("open"))
    fs.chmodSync(inside("open"), 0o777)
    fs.symlinkSync(inside("locks"), inside("link"))
    const [none, unfit, linked, taken, unsafe] = await Promise.all([
      start("effect-locks", ["run", "x", "--", "echo"], { OSLO_LOCK_PATH: "" }).closed,
      locks("run", "x", "--lock-path", inside("open"), "--", "echo").closed,
      locks("run", "x", "--lock-path", inside("link"), "--", "echo").closed,
      locks("run", "directory", "--", "echo").closed,
      locks("run", "x", "--prefix", "a/b", "--", "echo").closed
    ])
    assert.deepStrictEqual([none, unfit, linked, taken, unsafe].map(({ code, out }) => [code, out]), [
      [78, ""],
      [78, ""],
      [78, ""],
      [78, ""],
      [64, ""]
    ])
    assert.strictEqual(
      none.err,
      "effect-locks: there is no lock path; give --lock-path DIR, or set OSLO_LOCK_PATH\n"
    )
    assert.include(unfit.err, "chmod o-w")
    assert.include(linked.err, "is a symbolic link")
    assert.include(taken.err, "something else is where")
    assert.include(unsafe.err, "the prefix has a \"/\" in it")
  })

  it.runIf(process.getuid?.() !== 0)("say that it may not", async () => {
    fs.mkdirSync(inside("locks"), { mode: 0o500 })
    const { code, err } = await locks("run", "x", "--", "echo").closed
    assert.strictEqual(code, 77)
    assert.include(err, "give it the permission")
  })

  it("say how it is to be called", async () => {
    const wrong = [
      [["run", "x"], "there is no command; put it behind \"--\""],
      [["run", "x", "ls", "file"], "put the command behind \"--\": effect-locks run x -- ls file"],
      [["run", "x", "--shard", "--", "ls"], "there is no option --shard here"],
      [["run", "x", "--timeout", "-5", "--", "ls"], "--timeout \"-5\" is no time"],
      [[], "give a command: run, status, remove or path"]
    ] as const
    const ends = await Promise.all(wrong.map(([args]) => locks(...args).closed))
    ends.forEach(({ code, err, out }, i) => {
      assert.deepStrictEqual([code, out], [64, ""], err)
      assert.match(err, /^effect-locks: /)
      assert.include(err, wrong[i]![1])
      assert.include(err, "effect-locks --help")
    })
    assert.isFalse(fs.existsSync(inside("locks")))
  })

  it("are in the help, which is plain where it is no terminal", async () => {
    const [help, version] = await Promise.all([locks("run", "--help").closed, locks("--version").closed])
    assert.deepStrictEqual([help.code, help.err], [0, ""])
    for (const text of ["--timeout TIME", "--no-wait", "OSLO_LOCK_PATH", "EXIT CODES", "75     the lock is busy"]) {
      assert.include(help.out, text)
    }
    assert.notInclude(help.out, "\u001b")
    const { version: expected } = JSON.parse(fs.readFileSync("package.json", "utf8")) as { readonly version: string }
    assert.deepStrictEqual(version, { code: 0, signal: null, out: `${expected}\n`, err: "" })
  })
})

describe("the command", () => {
  it("gets its arguments as they are, and the input and the outputs", async () => {
    const args = ["--help", "--", "--version", "", "a b", "--log-level", "$HOME", "*"]
    const script = "process.stdout.write(JSON.stringify(process.argv.slice(1)))"
    const { err, out } = await locks("run", "x", "--", process.execPath, "-e", script, "--", ...args).closed
    assert.deepStrictEqual([JSON.parse(out), err], [args, ""])
    const copying = locks("run", "x", "--", "sh", "-c", "cat; echo end >&2")
    const text = "0123456789\n".repeat(100_000)
    copying.process.stdin!.end(text)
    const copied = await copying.closed
    assert.isTrue(copied.out === text)
    assert.strictEqual(copied.err, "end\n")
  })

  it("may be read by who stops reading", async () => {
    const piped = shell("{ effect-locks run x -- yes; echo $? >&2; } | head -n 1")
    const { err, out } = await piped.closed
    assert.deepStrictEqual([out, err], ["y\n", "141\n"])
    assert.isTrue(await isFree("x"))
  })

  it("runs alone, or with those that share", async () => {
    const one = await holder("x", "--shared")
    const two = await holder("x", "-s")
    assert.isFalse(await isFree("x"))
    one.goOn()
    await one.closed
    assert.isFalse(await isFree("x"))
    two.goOn()
    await two.closed
    assert.isTrue(await isFree("x"))
  })

  it("of 20 copies runs in one at a time", async () => {
    fs.writeFileSync(inside("count"), "0")
    const count =
      `mkdir ${inside("inside")} || exit 1; n=$(cat ${inside("count")}); echo $((n + 1)) > ${inside("count")}; ` +
      `rmdir ${inside("inside")}`
    const ends = await Promise.all(Array.from({ length: 20 }, () => locks("run", "x", "--", "sh", "-c", count).closed))
    assert.deepStrictEqual(ends.map(({ code, err }) => [code, err]), Array.from({ length: 20 }, () => [0, ""]))
    assert.strictEqual(fs.readFileSync(inside("count"), "utf8").trim(), "20")
  })

  it("keeps the lock when run is killed", async () => {
    const killed = locks("run", "x", "--", "sh", "-c", "echo up $$; exec sleep 60")
    await killed.says(/up \d+/)
    killed.kill("SIGKILL")
    await new Promise((resolve) => killed.process.once("exit", resolve))
    assert.isFalse(await isFree("x"))
    assert.strictEqual((await locks("run", "x", "--no-wait", "--", "true").closed).code, 75)
    process.kill(pidIn(killed), "SIGTERM")
    assert.strictEqual((await killed.closed).signal, "SIGKILL")
    assert.strictEqual((await locks("run", "x", "--no-wait", "--", "true").closed).code, 0)
  })

  it("does not keep it with what it leaves behind", async () => {
    const { out } = await locks("run", "x", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!").closed
    const left = Number(out)
    try {
      assert.isTrue(await isFree("x"))
      process.kill(left, 0)
    } finally {
      process.kill(left, "SIGKILL")
    }
  })

  it("is told to end when the lock is lost", async () => {
    const losing = await holder("x")
    fs.rmSync(inside("locks", "x"))
    const { code, err } = await losing.closed
    assert.strictEqual(code, 76)
    assert.match(err, /^effect-locks: lock "x" was lost: .*; the command is told to end$/m)
    assert.match(err, /^effect-locks: lock "x" was lost: .*; the command ended with 143$/m)
  })

  it("may have ended when it is seen that the lock was lost", async () => {
    const { code, err } = await locks("run", "x", "--", "sh", "-c", `rm ${inside("locks", "x")}`).closed
    assert.strictEqual(code, 76)
    assert.include(err, "was lost: its file")
  })
})

describe("a signal", () => {
  it("that comes before there is anything to end ends it", async () => {
    const early = locks("run", "x", "--", "sleep", "60")
    early.kill("SIGTERM")
    const { code, signal } = await early.closed
    assert.isTrue(code === 143 || signal === "SIGTERM")
    assert.isTrue(await isFree("x"))
  })

  it("ends the wait", async () => {
    const held = await holder("x")
    const some = ["SIGINT", "SIGTERM", "SIGUSR1"] as const
    const ends = await Promise.all(some.map(async (signal) => {
      const waiting = locks("run", "x", "--log-level", "debug", "--", "echo", "held")
      await waiting.says("Acquiring lock")
      waiting.kill(signal)
      return waiting.closed
    }))
    assert.deepStrictEqual(ends.map(({ code, out }) => [code, out]), some.map((signal) => [codeOf(signal), ""]))
    held.goOn()
    await held.closed
    assert.isTrue(await isFree("x"))
  })

  it("between the grant and the command leaves neither", async () => {
    const ends = await Promise.all(Array.from({ length: 4 }, async (_, i) => {
      const granted = locks("run", `x${i}`, "--log-level", "debug", "--", "sleep", "60")
      await granted.says("Acquired lock")
      granted.kill("SIGTERM")
      return granted.closed
    }))
    assert.deepStrictEqual(ends.map(({ code, signal }) => [code, signal]), ends.map(() => [143, null]))
    assert.isTrue(await isFree("x0"))
  })

  it("goes to the command", async () => {
    const one = locks("run", "x", "--", ...listener)
    await one.says(/up .*;/)
    for (const signal of signals) {
      one.kill(signal)
      await one.says(`got ${signal};`)
    }
    assert.isFalse(await isFree("x"))
    one.goOn()
    const { code, out } = await one.closed
    assert.strictEqual(code, 5)
    assert.deepStrictEqual(out.match(/got \w+/g), signals.map((signal) => `got ${signal}`))
  })

  it("ends the command, and so its code", async () => {
    const some = ["SIGTERM", "SIGHUP"] as const
    const ends = await Promise.all(some.map(async (signal, i) => {
      const one = locks("run", `x${i}`, "--", "sh", "-c", "echo up; exec sleep 60")
      await one.says("up")
      one.kill(signal)
      return one.closed
    }))
    assert.deepStrictEqual(ends.map(({ code, err }) => [code, err]), some.map((signal) => [codeOf(signal), ""]))
    assert.isTrue(await isFree("x1"))
  })

  it("leaves the lock with what the command had started", async () => {
    const one = locks("run", "x", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo up $!; wait")
    await one.says(/up \d+/)
    one.kill("SIGTERM")
    assert.strictEqual((await one.closed).code, 143)
    assert.isFalse(await isFree("x"))
    process.kill(pidIn(one), "SIGKILL")
    assert.strictEqual((await locks("run", "x", "--timeout", "30s", "--", "true").closed).code, 0)
  })

  it.skipIf(!hasUsers)(
    "that may not be sent is told, each time, and the command is waited for",
    async () => {
      fs.mkdirSync(inside("locks"), { mode: 0o1777 })
      fs.chmodSync(inside(), 0o755)
      fs.chmodSync(inside("locks"), 0o1777)
      // A process of root, which the one that has started it may not end any more.
      fs.copyFileSync("/usr/bin/setpriv", inside("as"))
      fs.chmodSync(inside("as"), 0o4755)
      const inner = `effect-locks run x -- ${inside("as")} --reuid 0 sh -c 'echo up; read line; exit 3'`
      const one = start("setpriv", ["--reuid", "65534", "sh", "-c", `echo run $$; exec ${inner}`])
      await one.says("up\n")
      const pid = Number(/run (\d+)/.exec(one.out)![1])
      for (const times of [1, 2]) {
        process.kill(pid, "SIGTERM")
        await one.says(new RegExp(`(cannot be sent a signal[^]*){${times}}`))
      }
      one.goOn()
      assert.strictEqual((await one.closed).code, 3)
    }
  )

  it("that comes when the command has ended changes nothing", async () => {
    const one = locks("run", "x", "--log-level", "debug", "--", "sh", "-c", "exit 7")
    await one.says("Released lock")
    one.kill("SIGTERM")
    const { code, signal } = await one.closed
    // When it comes, all is over; what is left of the process may be ended by it.
    assert.isTrue(code === 7 || signal === "SIGTERM")
    assert.isTrue(await isFree("x"))
  })
})

describe.runIf(hasPython)("at a terminal", () => {
  it("Ctrl-C reaches the command once", async () => {
    const one = atTerminal(["effect-locks", "run", "x", "--", ...listener])
    await one.says(/up .*;/)
    // Two of one signal may become one on the way: more often than not they do not.
    for (let i = 1; i <= 5; i++) {
      one.process.stdin!.write("\u0003")
      await one.says(new RegExp(`(got SIGINT;[^]*){${i}}`))
      // What was passed on before this would have come before it.
      process.kill(parentIn(one), "SIGUSR1")
      await one.says(new RegExp(`(got SIGUSR1;[^]*){${i}}`))
    }
    const once = ["got SIGINT", "got SIGUSR1"]
    assert.deepStrictEqual(one.out.match(/got \w+/g), [once, once, once, once, once].flat())
    one.process.stdin!.write("\u001c")
    await one.says("got SIGQUIT;")
    one.process.stdin!.write("\u0004")
    assert.strictEqual((await one.closed).code, 5)
  })

  it("Ctrl-C ends the wait", async () => {
    const held = await holder("x")
    const one = atTerminal(["effect-locks", "run", "x", "--log-level", "debug", "--", "true"])
    await one.says("Acquiring lock")
    one.process.stdin!.write("\u0003")
    assert.strictEqual((await one.closed).code, 130)
    held.goOn()
    await held.closed
  })

  it("help has colours, unless they are not wanted", async () => {
    const [colored, plain] = await Promise.all(
      ["", "1"].map((NO_COLOR) => atTerminal(["effect-locks", "--help"], { NO_COLOR }).closed)
    )
    assert.include(colored!.out, "\u001b[")
    assert.include(plain!.out, "EXIT CODES")
    assert.notInclude(plain!.out, "\u001b")
  })
})

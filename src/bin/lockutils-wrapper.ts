/**
 * Runs a command with a lock path of its own in `OSLO_LOCK_PATH`, as oslo's command
 * of this name does: for test suites that take locks between processes.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { resolve } from "node:path"
import { start } from "./child.ts"
import * as Code from "./exitCode.ts"
import { isCode, say, write } from "./output.ts"
import { Signals } from "./signals.ts"

const program = "lockutils-wrapper"

const complain = (text: string) => say(`${program}: ${text}`)

const usage = `usage: ${program} COMMAND [ARGUMENT...]

Runs COMMAND with OSLO_LOCK_PATH set to a new private directory, removes the
directory when the command has ended, and exits with its exit code: 128+n when
signal n has killed it, 126 when it cannot be run, 127 when it is not found.
`

const remove = (directory: string) => {
  try {
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  } catch (error) {
    complain(`cannot remove ${directory}: ${String(error)}`)
  }
}

const given = process.argv.slice(2)
const [command, ...args] = given[0] === "--" ? given.slice(1) : given

if (command === undefined) {
  complain(`no command was given\n${usage.trimEnd()}`)
  process.exitCode = Code.usage
} else if (given[0] === "--help" || given[0] === "-h") {
  try {
    write(1, usage)
  } catch (error) {
    process.exitCode = isCode(error, "EPIPE") ? Code.nobodyReads : Code.cannotWrite
  }
} else {
  // No signal is seen before there is somebody to pass it on to: what follows does not wait.
  const signals = new Signals(() => {})
  signals.listen()
  let directory: string
  try {
    directory = mkdtempSync(resolve(tmpdir(), `${program}-`))
  } catch (error) {
    complain(`cannot make a directory in ${tmpdir()}: ${String(error)}; set TMPDIR to one that can be written to`)
    process.exit(Code.cannotLock)
  }
  const child = start(
    [command, ...args],
    // Where oslo.config looks first, which would lead to locks of others.
    { env: { ...process.env, OS_OSLO_CONCURRENCY__LOCK_PATH: undefined, OSLO_LOCK_PATH: directory } },
    ({ code, problem }) => {
      signals.goTo(() => {})
      remove(directory)
      if (problem !== undefined) complain(problem)
      process.exit(code)
    }
  )
  signals.goTo(child.passOn)
}

/**
 * Writing without `process.stdout` and `process.stderr`: those make a pipe
 * non-blocking, also for the command that has it too, and may lose what is
 * written just before the end.
 */
import { writeSync } from "node:fs"
import { isatty } from "node:tty"

const pause = new Int32Array(new SharedArrayBuffer(4))

/** Writes all of it, or throws. */
export const write = (fd: 1 | 2, text: string): void => {
  let rest: Uint8Array = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      // Somebody else made it non-blocking, and it is full.
      if (!isCode(error, "EAGAIN")) throw error
      Atomics.wait(pause, 0, 0, 5)
    }
  }
}

export const isCode = (error: unknown, code: string): boolean =>
  typeof error === "object" && error !== null && Reflect.get(error, "code") === code

/** A line for whoever listens. Whether anybody does changes nothing. */
export const say = (line: string): void => {
  try {
    write(2, `${line}\n`)
  } catch {
    // There is nowhere else to say it.
  }
}

const isDumb = (): boolean => process.env["TERM"] === "dumb"

/** Can it be redrawn? */
export const isTerminal = (fd: 1 | 2): boolean => isatty(fd) && !isDumb()

/** https://no-color.org */
export const hasColor = (fd: 1 | 2): boolean => isTerminal(fd) && (process.env["NO_COLOR"] ?? "") === ""

// eslint-disable-next-line no-control-regex
const escapes = /\u001b\[[0-9;?]*[A-Za-z]/g

export const plain = (text: string): string => text.replace(escapes, "")

/** What a terminal would obey instead of showing: names of files and commands are anybody's. */
// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

export const harmless = (text: string): string =>
  text.replace(controls, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)

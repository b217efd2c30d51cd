/** A status that is looked at again and again. */
import * as Effect from "effect/Effect"
import type { Ended } from "./failure.ts"
import { hasColor, isTerminal } from "./output.ts"
import { print } from "./print.ts"
import type { Status } from "./status.ts"
import { lines } from "./table.ts"

const every = "1 second"

const repeated = <E, R>(self: Effect.Effect<void, E, R>): Effect.Effect<never, E, R> =>
  Effect.forever(Effect.zipLeft(self, Effect.sleep(every)))

/** Forgets what is different each time. */
const essence = ({ lockPath, locks }: Status): string =>
  JSON.stringify([lockPath, locks], (key, value: unknown) => key === "started" ? undefined : value)

/** Prints what is not as it was: for programs, and for logs. */
export const changes = <E, R>(
  look: Effect.Effect<Status, E, R>,
  show: (status: Status) => string
): Effect.Effect<never, E | Ended, R> => {
  let before: string | undefined
  return repeated(Effect.flatMap(look, (status) => {
    const now = essence(status)
    if (now === before) return Effect.void
    before = now
    return print(show(status))
  }))
}

/** Where the cursor is taken to be when it is where it was. */
interface Drawn {
  readonly height: number
  readonly columns: number
  readonly rows: number
}

const clear = "\u001b[H\u001b[2J"
const clearRest = "\u001b[J"
const clearLine = "\u001b[K"
const up = (height: number) => height === 0 ? "" : `\u001b[${height}A`
const hideCursor = print("\u001b[?25l")
const showCursor = Effect.ignore(print("\u001b[?25h"))

/** Some terminals do not know, or say 0. */
const size = () => ({ columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 })

/** Draws each over the last one. */
export const redrawn = <E, R>(look: Effect.Effect<Status, E, R>): Effect.Effect<never, E | Ended, R> => {
  let drawn: Drawn = { height: 0, columns: 0, rows: 0 }
  const draw = (status: Status) => {
    const { columns, rows } = size()
    const all = lines(status, { color: hasColor(1), width: columns })
    // One is for the cursor. What has scrolled away cannot be drawn over.
    const most = Math.max(2, rows - 1)
    const shown = all.length <= most ? all : [...all.slice(0, most - 1), `… ${all.length - most + 1} more lines`]
    const isResized = drawn.height > 0 && (columns !== drawn.columns || rows !== drawn.rows)
    const start = isResized ? clear : up(drawn.height)
    drawn = { height: shown.length, columns, rows }
    return print(start + shown.map((line) => `${line}${clearLine}\n`).join("") + clearRest)
  }
  return Effect.acquireUseRelease(hideCursor, () => repeated(Effect.flatMap(look, draw)), () => showCursor)
}

/** For people, who may have a terminal. */
export const text = (status: Status): string =>
  lines(status, { color: hasColor(1), width: isTerminal(1) ? size().columns : Infinity }).join("\n") + "\n"

export const watch = <E, R>(look: Effect.Effect<Status, E, R>): Effect.Effect<never, E | Ended, R> =>
  isTerminal(1) ? redrawn(look) : changes(look, (status) => `${status.at} ${text(status)}\n`)

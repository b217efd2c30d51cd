/** What Linux tells of a process in `/proc/<pid>/stat`. */
import * as Effect from "effect/Effect"

/** What of a `FileSystem` tells of processes. */
export interface Files {
  readonly readFileString: (path: string) => Effect.Effect<string, unknown>
  readonly readDirectory: (path: string) => Effect.Effect<Array<string>, unknown>
}

export interface Status {
  readonly parent: number
  /** When it started: ticks since the boot. */
  readonly started: string
  /** It has ended, and its parent does not know yet. */
  readonly isOver: boolean
}

/** The name of the program, in parentheses, may have anything in it. */
const parse = (stat: string): Status | undefined => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const [state, parent] = fields
  const started = fields[19]
  return state === undefined || started === undefined
    ? undefined
    : { parent: Number(parent), started, isOver: state === "Z" || state === "X" }
}

/** Nothing, when there is no such process. */
export const read = (fs: Files, pid: number | "self"): Effect.Effect<Status | undefined> =>
  Effect.match(fs.readFileString(`/proc/${pid}/stat`), { onFailure: () => undefined, onSuccess: parse })

/** What Linux tells of a process in `/proc/<pid>/stat`. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

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
export const read = (fs: FileSystem.FileSystem, pid: number | "self"): Effect.Effect<Status | undefined> =>
  Effect.match(fs.readFileString(`/proc/${pid}/stat`), { onFailure: () => undefined, onSuccess: parse })

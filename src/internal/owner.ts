/**
 * Who a process is, told so that another can see whether it is gone.
 *
 * A number of a process is good only together with when the process started, on
 * which boot of the machine, and among which processes it is counted; where any
 * of that is unknown, or differs from ours, nothing can be seen. Linux tells.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ProcessStatus from "./processStatus.ts"

export class Owner extends Schema.Class<Owner>("effect-locks/Owner")({
  pid: Schema.Number,
  started: Schema.optional(Schema.String),
  boot: Schema.optional(Schema.String),
  pidNamespace: Schema.optional(Schema.String),
  command: Schema.String
}) {}

export const Json = Schema.parseJson(Owner)

export const self = (fs: FileSystem.FileSystem): Effect.Effect<Owner> =>
  Effect.gen(function*() {
    const text = (effect: Effect.Effect<string, unknown>) =>
      Effect.match(effect, { onFailure: () => undefined, onSuccess: (text) => text.trim() })
    const status = yield* ProcessStatus.read(fs, "self")
    return new Owner({
      pid: process.pid,
      started: status?.started,
      boot: yield* text(fs.readFileString("/proc/sys/kernel/random/boot_id")),
      pidNamespace: yield* text(fs.readLink("/proc/self/ns/pid")),
      command: process.argv.join(" ")
    })
  })

/** Is it certain that a process is there, or that it is gone? */
export const look = (
  fs: FileSystem.FileSystem,
  self: Owner,
  { boot, pid, pidNamespace, started }: Owner
): Effect.Effect<"there" | "gone" | "unknown"> => {
  const isComparable = started !== undefined && boot !== undefined && boot === self.boot &&
    pidNamespace !== undefined && pidNamespace === self.pidNamespace
  return isComparable
    ? Effect.map(
      ProcessStatus.read(fs, pid),
      (status) => status === undefined || status.isOver || status.started !== started ? "gone" : "there"
    )
    : Effect.succeed("unknown")
}

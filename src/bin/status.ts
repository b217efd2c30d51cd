/** Who holds the lock files of a lock path, without taking or making anything. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { lstatSync } from "node:fs"
import * as path from "node:path"
import * as FileError from "../internal/fileError.ts"
import { findAll, type Holding } from "../internal/fileHolders.ts"
import type { FileIdentity } from "../KernelLock.ts"
import type { ExternalLockError } from "../LockError.ts"
import { canonical } from "./location.ts"
import { procFiles } from "./procFiles.ts"

/** The shape of `--json`, documented in docs/commands.md. */
export interface Status {
  /** When it was so. */
  readonly at: string
  readonly lockPath: string
  readonly complete: boolean
  readonly locks: ReadonlyArray<LockFile>
}

export interface LockFile {
  readonly file: string
  readonly path: string
  /** Are these all its holders? */
  readonly complete: boolean
  readonly holders: ReadonlyArray<Holder>
}

export interface Holder {
  readonly pid: number
  /** The holder that it is a child of, and has the open file from. */
  readonly parent: number | null
  readonly mode: "exclusive" | "shared"
  readonly command: string
  /** When the process started: before that it cannot have held anything. */
  readonly started: string | null
}

/** On all of Linux, for programs. */
const ticksPerSecond = 100

const unknown: Holding = { found: [], complete: false }

interface File {
  readonly name: string
  readonly identity: FileIdentity
}

/** Nothing, of what is no file, or not there any more. */
const fileAt = (directory: string, name: string): File | undefined => {
  const stat = lstatSync(path.join(directory, name), { bigint: true, throwIfNoEntry: false })
  return stat?.isFile() === true ? { name, identity: { device: stat.dev, inode: stat.ino } } : undefined
}

/** Of those whose name begins as those of `prefix` do. */
export const look = (
  lockPath: string,
  prefix: string | undefined
): Effect.Effect<Status, ExternalLockError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = canonical(lockPath)
    const names = yield* fs.readDirectory(directory).pipe(
      Effect.catchIf(FileError.isMissing, () => Effect.succeed([])),
      Effect.mapError((error) => FileError.make(directory, error))
    )
    const files = yield* Effect.try({
      try: () =>
        names.filter((name) => name.startsWith(beginning(prefix))).sort().flatMap((name) =>
          fileAt(directory, name) ?? []
        ),
      catch: (error) => FileError.make(directory, error)
    })
    const all = yield* findAll(procFiles, files.map(({ identity }) => identity))
    const now = Date.now()
    const uptime = parseFloat(yield* Effect.orElseSucceed(procFiles.readFileString("/proc/uptime"), () => ""))
    const startOf = (ticks: string): string | null => {
      const age = uptime - Number(ticks) / ticksPerSecond
      return age >= 0 ? new Date(Math.round(now / 1000 - age) * 1000).toISOString() : null
    }
    const locks = files.map(({ name }, i): LockFile => {
      const { complete, found } = all?.[i] ?? unknown
      const pids = new Set(found.map(({ process }) => process.pid))
      const holders = found.map(({ mode, process: { command, parent, pid, started } }): Holder => ({
        pid,
        parent: pids.has(parent) ? parent : null,
        mode,
        command,
        started: startOf(started)
      }))
      return { file: name, path: path.join(directory, name), complete, holders }
    })
    return {
      at: new Date(now).toISOString(),
      lockPath: directory,
      complete: locks.every(({ complete }) => complete),
      locks
    }
  })

/** One hyphen at its end is dropped, as of every prefix. */
const beginning = (prefix: string | undefined): string =>
  prefix === undefined || prefix === "" ? "" : `${prefix.replace(/-$/, "")}-`

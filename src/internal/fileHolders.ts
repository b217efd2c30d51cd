/**
 * Who holds files, as Linux tells: /proc/locks lists all locks of the host, but
 * not the processes of those that belong to open files; /proc/<pid>/fdinfo lists the
 * locks of each open file, of the processes that this one may look at.
 */
import * as Effect from "effect/Effect"
import type { FileHolder, FileHolders } from "../FileLock.ts"
import type { FileIdentity } from "../KernelLock.ts"
import { gate } from "./fileWait.ts"
import * as ProcessStatus from "./processStatus.ts"

/** As in `1: OFDLCK ADVISORY  WRITE -1 08:02:1234 0 EOF`; a request that is blocked has an arrow. */
const pattern = /^(?:lock:\s*)?\d+: (?:OFDLCK|POSIX)\s+\S+\s+(READ|WRITE)\s+-?\d+ ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) /

interface Lock {
  /** The name of its identity. */
  readonly file: string
  readonly mode: "exclusive" | "shared"
}

/** As glibc's `makedev`. */
const deviceOf = (major: number, minor: number): bigint => {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n)
}

const nameOf = ({ device, inode }: FileIdentity): string => `${device}:${inode}`

const locksIn = (text: string, wanted: ReadonlySet<string>): ReadonlyArray<Lock> =>
  text.split("\n").flatMap((line) => {
    const [, mode, major, minor, node, start] = pattern.exec(line) ?? []
    if (mode === undefined || Number(start) >= gate.start) return []
    const device = deviceOf(parseInt(major!, 16), parseInt(minor!, 16))
    const file = nameOf({ device, inode: BigInt(node!) })
    return wanted.has(file) ? [{ file, mode: mode === "WRITE" ? "exclusive" : "shared" }] : []
  })

export interface Process extends ProcessStatus.Status {
  readonly pid: number
  readonly command: string
}

interface Found extends Lock {
  readonly process: Process
}

/** The processes that hold a file, and whether these are all. */
export interface Holding {
  readonly found: ReadonlyArray<Found>
  readonly complete: boolean
}

/**
 * Of each of several files; nothing, where /proc does not tell. A process that has
 * inherited the open file from its parent holds it as well.
 */
export const findAll = (
  fs: ProcessStatus.Files,
  files: ReadonlyArray<FileIdentity>
): Effect.Effect<ReadonlyArray<Holding> | undefined> => {
  const readIf = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => undefined)
  const read = (path: string) => Effect.map(readIf(path), (text) => text ?? "")
  const list = (path: string) => Effect.orElseSucceed(fs.readDirectory(path), (): Array<string> => [])
  const wanted = new Set(files.map(nameOf))
  return Effect.gen(function*() {
    const text = yield* readIf("/proc/locks")
    const all = locksIn(text ?? "", wanted)
    if (text !== undefined && all.length === 0) return files.map(() => ({ found: [], complete: true }))
    const pids = (yield* list("/proc")).filter((name) => /^\d+$/.test(name))
    if (pids.length === 0) return undefined
    const found = yield* Effect.forEach(pids, (pid) =>
      Effect.gen(function*() {
        const infos = yield* Effect.forEach(
          yield* list(`/proc/${pid}/fdinfo`),
          (fd) => read(`/proc/${pid}/fdinfo/${fd}`)
        )
        const locks = infos.flatMap((info) => locksIn(info, wanted))
        if (locks.length === 0) return []
        const status = yield* ProcessStatus.read(fs, Number(pid))
        if (status === undefined) return []
        const command = (yield* read(`/proc/${pid}/cmdline`)).replaceAll("\0", " ").trim()
        return locks.map((lock): Found => ({ ...lock, process: { ...status, pid: Number(pid), command } }))
      }), { concurrency: 16 })
    return files.map((file) => {
      const isOf = (lock: Lock) => lock.file === nameOf(file)
      return holding(found.flat().filter(isOf), all.filter(isOf))
    })
  })
}

const holding = (found: ReadonlyArray<Found>, all: ReadonlyArray<Lock>): Holding => {
  const pids = new Set(found.map(({ process }) => process.pid))
  const own = found.filter(({ process }) => !pids.has(process.parent))
  return { found, complete: own.length >= all.length }
}

/** Of one file. */
export const find = (fs: ProcessStatus.Files, file: FileIdentity): Effect.Effect<FileHolders | undefined> =>
  Effect.map(findAll(fs, [file]), (all) => {
    if (all === undefined) return undefined
    const [{ complete, found }] = all as [Holding]
    return {
      holders: found.map(({ mode, process: { command, pid } }): FileHolder => ({ pid, command, mode })),
      complete
    }
  })

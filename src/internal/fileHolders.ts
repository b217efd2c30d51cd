/**
 * Who holds a file, as Linux tells: /proc/locks lists all locks of the host, but
 * not the processes of those that belong to open files; /proc/<pid>/fdinfo lists the
 * locks of each open file, of the processes that this one may look at.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type { FileHolder, FileHolders } from "../FileLock.ts"
import type { FileIdentity } from "../KernelLock.ts"
import { gate } from "./fileWait.ts"

/** As in `1: OFDLCK ADVISORY  WRITE -1 08:02:1234 0 EOF`; a request that is blocked has an arrow. */
const pattern = /^(?:lock:\s*)?\d+: (?:OFDLCK|POSIX)\s+\S+\s+(READ|WRITE)\s+-?\d+ ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) /

interface Lock {
  readonly mode: "exclusive" | "shared"
}

const locksIn = (text: string, { device, inode }: FileIdentity): ReadonlyArray<Lock> =>
  text.split("\n").flatMap((line) => {
    const [, mode, major, minor, node, start] = pattern.exec(line) ?? []
    const isIt = node === String(inode) && deviceOf(parseInt(major!, 16), parseInt(minor!, 16)) === device &&
      Number(start) < gate.start
    return isIt ? [{ mode: mode === "WRITE" ? "exclusive" as const : "shared" as const }] : []
  })

/** As glibc's `makedev`. */
const deviceOf = (major: number, minor: number): bigint => {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n)
}

/** Nothing, where /proc does not tell. */
export const find = (fs: FileSystem.FileSystem, file: FileIdentity): Effect.Effect<FileHolders | undefined> => {
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const list = (path: string) => Effect.orElseSucceed(fs.readDirectory(path), (): Array<string> => [])
  return Effect.gen(function*() {
    const all = yield* read("/proc/locks")
    const pids = (yield* list("/proc")).filter((name) => /^\d+$/.test(name))
    if (pids.length === 0) return undefined
    const found = yield* Effect.forEach(pids, (pid) =>
      Effect.gen(function*() {
        const infos = yield* Effect.forEach(
          yield* list(`/proc/${pid}/fdinfo`),
          (fd) => read(`/proc/${pid}/fdinfo/${fd}`)
        )
        const locks = infos.flatMap((info) => locksIn(info, file))
        if (locks.length === 0) return []
        const command = (yield* read(`/proc/${pid}/cmdline`)).replaceAll("\0", " ").trim()
        return locks.map(({ mode }): FileHolder => ({ pid: Number(pid), command, mode }))
      }), { concurrency: 16 })
    const holders = found.flat()
    return { holders, complete: holders.length >= locksIn(all, file).length }
  })
}

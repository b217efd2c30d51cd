/**
 * Packs the built package and uses it as a stranger would: by name and by path,
 * compiled and run, with the internals out of reach.
 */
import { build } from "esbuild"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const consumer = path.join(root, "build", "consumer")
const modules = path.join(consumer, "node_modules")

rmSync(consumer, { recursive: true, force: true })
mkdirSync(path.join(modules, "effect-locks"), { recursive: true })
execFileSync("npm", ["pack", "--silent", "--pack-destination", consumer], { cwd: root })
const [tarball] = readdirSync(consumer).filter((file) => file.endsWith(".tgz"))
execFileSync("tar", [
  "-xzf",
  path.join(consumer, tarball!),
  "--strip-components=1",
  "-C",
  path.join(modules, "effect-locks")
])
mkdirSync(path.join(modules, "@effect"))
for (const peer of ["effect", path.join("@effect", "platform")]) {
  symlinkSync(path.join(root, "node_modules", peer), path.join(modules, peer))
}

writeFileSync(path.join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }))
writeFileSync(
  path.join(consumer, "tsconfig.json"),
  JSON.stringify({
    compilerOptions: { module: "NodeNext", target: "ES2022", strict: true, types: [], skipLibCheck: false },
    include: ["*.ts"]
  })
)
const modulesOf = (directory: string) =>
  readdirSync(path.join(root, directory)).filter((file) => file.endsWith(".ts")).map((file) =>
    path.basename(file, ".ts")
  )
const internals = ["bin", "internal"].flatMap((directory) =>
  modulesOf(`src/${directory}`).map((name) => `effect-locks/${directory}/${name}`)
)

const program = `import { Effect, type Scope } from "effect"
import * as Locks from "effect-locks"
import { ExternalLock } from "effect-locks/ExternalLock"
import { FileLock } from "effect-locks/FileLock"
import { KernelLock } from "effect-locks/KernelLock"
import * as Lock from "effect-locks/Lock"
import * as LockAll from "effect-locks/LockAll"
import { type AcquireLockFailed, Deadlock } from "effect-locks/LockError"
import type { AcquireError, LocalLockOptions } from "effect-locks/LockOptions"
import { withPrefix } from "effect-locks/LockPrefix"
import { LockRegistry } from "effect-locks/LockRegistry"
import * as LockSemaphore from "effect-locks/LockSemaphore"
import { ReaderWriterLock } from "effect-locks/ReaderWriterLock"

const { lock, withLock } = Locks
const plain: Effect.Effect<number, never, LockRegistry> = Effect.succeed(1).pipe(withLock("x"))
const timed: Effect.Effect<number, AcquireLockFailed, LockRegistry> = withLock(plain, "y", { timeout: 1 })
const failed: AcquireError<LocalLockOptions> extends AcquireLockFailed ? true : false = true
const several: Effect.Effect<number, never, LockRegistry> = LockAll.withLockAll(
  Effect.map(Effect.scoped(LockAll.lockAll(["c", { name: "d", mode: "shared" }])), (holds) => holds.length),
  ["a", "b"]
)
const permits: Effect.Effect<number, never, LockRegistry> = Effect.scoped(
  Effect.map(LockSemaphore.semaphore("s", { permits: 4, take: 3 }), (held) => held.permits)
).pipe(LockSemaphore.withSemaphore("t", { permits: 1 }))
const locked: Effect.Effect<boolean, never, LockRegistry> = LockRegistry.isLocked("x").pipe(withLock("x"))
const reading = Effect.flatMap(ReaderWriterLock.make, (unnamed) => unnamed.withReadLock(unnamed.isReader))
// Here an optional property may be undefined as well.
export const nested = (options: { reentrant?: boolean; mode?: "shared" }): Effect.Effect<unknown, never, any> =>
  // @ts-expect-error: without a mode it is exclusive, and can fail
  lock("z", options)
// @ts-expect-error: the internals have no types
export type Hidden = typeof import("effect-locks/internal/line")

const all: Effect.Effect<ReadonlyArray<number | boolean>, AcquireLockFailed, LockRegistry> = Effect.all([
  Effect.zipRight(Effect.scoped(lock("z") satisfies Effect.Effect<Locks.Held, never, LockRegistry | Scope.Scope>), timed),
  several,
  permits,
  locked,
  reading
])
const result = JSON.stringify(Effect.runSync(Effect.provide(all, LockRegistry.layer)))
if (result !== "[1,2,3,true,true]") throw new Error("not held: " + result)

const byPath = { ...Lock, ...LockAll, Deadlock, ExternalLock, FileLock, LockRegistry, ...LockSemaphore, ReaderWriterLock, withPrefix }
for (const [name, value] of Object.entries(byPath)) {
  if ((Locks as Record<string, unknown>)[name] !== value) throw new Error("two copies of " + name)
}
if (!failed || Object.keys(await import("effect-locks/LockOptions")).length > 0) throw new Error("not only types")
const outside: Effect.Effect<void, Locks.ExternalLockError | Locks.LockLost, LockRegistry | ExternalLock> =
  withLock(Effect.void, "x", { external: true })
if (!Effect.isEffect(outside) || !Effect.isEffect(KernelLock)) throw new Error("no effects")

declare const process: { readonly report: { readonly getReport: () => { readonly sharedObjects: ReadonlyArray<string> } } }
const native = () => process.report.getReport().sharedObjects.filter((file) => file.endsWith(".node"))
if (native().length > 0) throw new Error("importing loads " + native())

for (const hidden of ${JSON.stringify(internals)}) {
  const reached = await import(hidden).then(() => true, (error) => error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED")
  if (reached) throw new Error(hidden + " can be reached")
}
`
for (const name of modulesOf("src")) {
  const specifier = name === "index" ? "effect-locks" : `effect-locks/${name}`
  if (!program.includes(`from "${specifier}"`)) throw new Error(`the consumer does not import ${specifier}`)
}
writeFileSync(path.join(consumer, "main.ts"), program)

const run = (command: string, args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(command, args, { cwd: consumer, encoding: "utf8" })
  if (status !== 0) {
    console.error(stdout + stderr)
    process.exit(1)
  }
}
const imported = readdirSync(path.join(root, "dist"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".js") && path.dirname(file) !== "bin")
  .flatMap((file) =>
    readFileSync(path.join(root, "dist", file), "utf8").match(
      /^(import|export) .*from "(?!\.|effect|@effect\/platform).*/gm
    ) ?? []
  )
if (imported.length > 0) throw new Error(`importing the package imports more than its peers: ${imported.join("; ")}`)

const packed = path.join(modules, "effect-locks")
const { bin } = JSON.parse(readFileSync(path.join(packed, "package.json"), "utf8")) as { bin: Record<string, string> }
/** What a command imports, also late. */
const imports = async (file: string) => {
  const { metafile } = await build({
    entryPoints: [file],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    write: false,
    metafile: true
  })
  return Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
}
for (const file of Object.values(bin)) {
  const foreign = (await imports(path.join(packed, file))).filter((name) =>
    !name.startsWith("node:") && name !== "fs-native-extensions" && name !== "koffi"
  )
  if (foreign.length > 0) throw new Error(`${file} imports ${foreign.join(", ")}`)
}
const shipped = readdirSync(packed, { recursive: true, encoding: "utf8" })
if (shipped.some((file) => file.startsWith(path.join("src", "bin")))) throw new Error("the commands ship twice")
run(path.join(packed, bin["lockutils-wrapper"]!), [
  path.join(packed, bin["effect-locks"]!),
  "run",
  "x",
  "--",
  process.execPath,
  "--version"
])

run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", consumer])
run(process.execPath, ["main.js"])
console.log(`${tarball}: compiles and runs in a strange project`)

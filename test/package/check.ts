/**
 * Packs the built package and uses it as a stranger would: by name and by path,
 * compiled and run, with the internals out of reach.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
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
symlinkSync(path.join(root, "node_modules", "effect"), path.join(modules, "effect"))

writeFileSync(path.join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }))
writeFileSync(
  path.join(consumer, "tsconfig.json"),
  JSON.stringify({
    compilerOptions: { module: "NodeNext", target: "ES2022", strict: true, types: [], skipLibCheck: false },
    include: ["*.ts"]
  })
)
writeFileSync(
  path.join(consumer, "main.ts"),
  `import { Effect } from "effect"
import { type AcquireLockFailed, lock, withLock } from "effect-locks"
import { LockRegistry } from "effect-locks/LockRegistry"
import * as Lock from "effect-locks/Lock"
import { Deadlock } from "effect-locks/LockError"

const plain: Effect.Effect<number, never, LockRegistry> = Effect.succeed(1).pipe(withLock("x"))
const timed: Effect.Effect<number, AcquireLockFailed, LockRegistry> = withLock(plain, "y", { timeout: 1 })
const all = Effect.zipRight(Effect.scoped(lock("z")), timed)
if (Lock.withLock !== withLock || typeof Deadlock !== "function") throw new Error("two copies of one module")
if (Effect.runSync(Effect.provide(all, LockRegistry.layer)) !== 1) throw new Error("not held")
for (const hidden of ["effect-locks/internal/line", "effect-locks/internal/registry"]) {
  const reached = await import(hidden).then(() => true, (error) => error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED")
  if (reached) throw new Error(hidden + " can be reached")
}
`
)

const run = (command: string, args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(command, args, { cwd: consumer, encoding: "utf8" })
  if (status !== 0) {
    console.error(stdout + stderr)
    process.exit(1)
  }
}
run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", consumer])
run(process.execPath, ["main.js"])
console.log(`${tarball}: compiles and runs in a strange project`)

/**
 * Packs the built package and uses it as a stranger would: installed by npm into an
 * empty project, compiled, bundled and run, with the internals out of reach.
 */
import * as esbuild from "esbuild"
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Commands from "./commands.ts"
import { directory, install, root, run, versionOf } from "./project.ts"
import * as Runtimes from "./runtimes.ts"
import * as Size from "./size.ts"
import * as Types from "./types.ts"

let skipped = 0
const skip = (what: string, why: string) => {
  skipped++
  console.log(`skipped: ${what}: ${why}`)
}

const failures: Array<string> = []
const check = (what: string, f: () => string) => {
  const began = performance.now()
  try {
    console.log(`${what}: ${f()}, in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  } catch (error) {
    failures.push(what)
    console.error(`FAILED ${what}: ${error instanceof Error ? error.message : error}`)
  }
}

const equal = (found: string, wanted: string) => {
  if (found !== wanted) throw new Error(`got ${found}; should be ${wanted}`)
  return found
}

run(root, ["npm", "pack", "--silent", "--pack-destination", directory])
const tarball = path.join(directory, readdirSync(directory).find((file) => file.endsWith(".tgz"))!)
console.log(`${path.basename(tarball)}: ${(statSync(tarball).size / 1000).toFixed(0)} kB`)

const linter = (bin: string, ...args: ReadonlyArray<string>) =>
  run(root, [process.execPath, path.join(root, "node_modules", bin), ...args])
check("publint", () => linter("publint/src/cli.js", "run", tarball, "--strict").split("\n").at(-1)!)
check("attw", () => {
  linter("@arethetypeswrong/cli/dist/index.js", tarball, "--profile", "esm-only")
  return "the types are those of what is imported"
})

const peers = { effect: versionOf("effect"), "@effect/platform": versionOf("@effect/platform") }
install({ "effect-locks": `file:${tarball}`, ...peers })
const installed = path.join(directory, "node_modules", "effect-locks")

const dist = readdirSync(path.join(installed, "dist"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".js"))
  .map((file) => file.slice(0, -".js".length).replaceAll(path.sep, "/"))
const isPublic = (name: string) => !name.includes("/")
const internals = dist.filter((name) => !isPublic(name)).map((name) => `effect-locks/${name}`)

for (const file of ["main", "held", "database"]) {
  const source = path.join(import.meta.dirname, "consumer", `${file}.ts`)
  writeFileSync(path.join(directory, `${file}.ts`), readFileSync(source))
  esbuild.buildSync({ entryPoints: [source], outdir: directory, format: "esm", target: "es2022" })
}
writeFileSync(path.join(directory, "tsconfig.json"), JSON.stringify(Types.tsconfig))

check("imports", () => {
  /** What only locks of a database need. */
  const ofDatabase = /^(internal\/)?(postgres|lease)/i
  const imported = dist.filter((name) => !name.startsWith("bin/")).flatMap((name) =>
    Array.from(
      readFileSync(path.join(installed, "dist", `${name}.js`), "utf8").matchAll(
        /^(?:import|export) .*from "([^".].*)"/gm
      ),
      ([, from]) => from!
    ).filter((from) => {
      if (/^effect\/|^@effect\/platform\//.test(from)) return false
      return !(ofDatabase.test(name) && ["pg", "@effect/sql-pg/PgClient", "node:crypto"].includes(from))
    }).map((from) => `${name} imports ${from}`)
  )
  if (imported.length > 0) throw new Error(`more than the peers: ${imported.join("; ")}`)
  const index = readFileSync(path.join(installed, "dist", "index.js"), "utf8")
  if (ofDatabase.test(index) || index.includes("PostgresLock")) {
    throw new Error("who has no database would need its client")
  }
  const program = ["main.ts", "database.ts"].map((file) => readFileSync(path.join(directory, file), "utf8")).join("\n")
  for (const name of dist.filter(isPublic)) {
    const specifier = name === "index" ? "effect-locks" : `effect-locks/${name}`
    if (!program.includes(`from "${specifier}"`)) throw new Error(`consumer/main.ts does not import ${specifier}`)
  }
  return `${dist.length - internals.length} modules, and none of ${internals.length} internal ones`
})

check("commands", () => Commands.check(installed))

for (const [what, f] of [...Types.checks, ...Size.checks]) check(what, f)

const inEach = (
  what: string,
  runtimes: ReadonlyArray<Runtimes.Runtime>,
  f: (command: NonNullable<Runtimes.Runtime["command"]>) => string
) => {
  for (const { command, name } of runtimes) {
    if (command === undefined) skip(`${name}, ${what}`, `npm has no ${name} for ${process.platform} on ${process.arch}`)
    else check(`${name}, ${what}`, () => `${f(command)} (${Runtimes.versionOf(command)})`)
  }
}

inEach("imports", Runtimes.nodes, (command) => {
  Runtimes.start(command, ["main.js", ...internals])
  return "run, with the internals out of reach"
})

const client = { "@effect/sql-pg": versionOf("@effect/sql-pg"), pg: versionOf("pg") }
const sql = Object.fromEntries(["@effect/sql", "@effect/experimental"].map((name) => [name, versionOf(name)]))
install({ "effect-locks": `file:${tarball}`, ...peers, ...client, ...sql })
inEach("locks of a database", Runtimes.all, (command) => equal(Runtimes.start(command, ["database.js"]), "Unavailable"))
check("types of locks of a database", Types.database)

const platform = { ...peers, "@effect/platform-node": versionOf("@effect/platform-node") }
install({ "effect-locks": `file:${tarball}`, ...platform })

const held = (command: NonNullable<Runtimes.Runtime["command"]>) =>
  equal(Runtimes.start(command, ["held.js"]), "held, and then Busy")
/** The error, and no process that dies of a library that is not for this runtime. */
const refused = (advice: string) => (command: NonNullable<Runtimes.Runtime["command"]>) => {
  const printed = Runtimes.start(command, ["held.js"])
  if (!printed.startsWith("Unsupported: ") || !printed.includes(`run "npm install ${advice}"`)) {
    throw new Error(`got ${printed}; should be told to install ${advice}`)
  }
  return `told to install ${advice}`
}

inEach("a file lock", Runtimes.nodes, held)
inEach("a file lock without koffi", Runtimes.others, refused("koffi"))

const extensions = path.join(directory, "node_modules", "fs-native-extensions")
renameSync(extensions, `${extensions}-away`)
inEach("a file lock without fs-native-extensions", Runtimes.nodes.slice(0, 1), refused("fs-native-extensions"))
renameSync(`${extensions}-away`, extensions)

install({ "effect-locks": `file:${tarball}`, ...platform, koffi: versionOf("koffi") })
inEach("a file lock with koffi", Runtimes.others, held)
// As on Linux with musl, for which fs-native-extensions has nothing.
renameSync(extensions, `${extensions}-away`)
inEach("a file lock with koffi alone", Runtimes.nodes.slice(0, 1), held)

if (failures.length > 0) {
  console.error(`${failures.length} of the package checks failed: ${failures.join("; ")}`)
  process.exit(1)
}
console.log(`the package works in a strange project; ${skipped} checks skipped`)

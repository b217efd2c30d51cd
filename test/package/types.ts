/** The types of the installed package, under several TypeScripts. */
import { createRequire } from "node:module"
import * as path from "node:path"
import type TypeScript from "typescript"
import { directory, run } from "./project.ts"

const tools = createRequire(import.meta.url)

const options = { module: "NodeNext", target: "ES2022", strict: true, types: [], noEmit: true, skipLibCheck: false }

/** What `tsc` needs to check the same. */
export const tsconfig = { compilerOptions: options, files: ["main.ts"] }

/**
 * Up to 6.0 the compiler checks file by file, so only our declarations and the
 * program: what is wrong with those of effect (5.4 is too old for them without
 * `skipLibCheck`) is not ours, and checking them takes twice as long.
 */
const checkOurs = (name: string, file = "main.ts"): string => {
  const ts: typeof TypeScript = tools(name)
  const parsed = ts.parseJsonConfigFileContent({ ...tsconfig, files: [file] }, ts.sys, directory)
  const program = ts.createProgram(parsed.fileNames, parsed.options)
  const ours = program.getSourceFiles().filter(({ fileName }) => !/\/node_modules\/(?!effect-locks\/)/.test(fileName))
  const wrong = [
    ...parsed.errors,
    ...program.getOptionsDiagnostics(),
    ...ours.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
  ]
  if (ours.length < 2) throw new Error("none of our declarations was read")
  if (wrong.length > 0) {
    const host = { getCanonicalFileName: String, getCurrentDirectory: () => directory, getNewLine: () => "\n" }
    throw new Error(`TypeScript ${ts.version}:\n${ts.formatDiagnostics(wrong, host)}`)
  }
  return `${ours.length} files are right under TypeScript ${ts.version}`
}

/** TypeScript 7 is a program without such an interface, and fast: it checks all, effect's declarations as well. */
const checkAll = (name: string): string => {
  const tsc = path.join(path.dirname(tools.resolve(`${name}/package.json`)), "bin", "tsc")
  run(directory, [process.execPath, tsc, "-p", "."])
  const { version } = tools(`${name}/package.json`) as { readonly version: string }
  return `all files are right under TypeScript ${version}`
}

/** The program that needs the client of a database. */
export const database = (): string => checkOurs("typescript-6.0", "database.ts")

export const checks: ReadonlyArray<readonly [string, () => string]> = [
  ...["5.4", "5.9", "6.0"].map((version) => [`types, ${version}`, () => checkOurs(`typescript-${version}`)] as const),
  ["types, 7.0", () => checkAll("typescript-7.0")]
]

/** A Chromium: the one of this machine, or else one that npm has. */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type Browser, chromium } from "playwright-core"

const ofMachine = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
]

/** It is packed, and unpacks itself into the temporary directory, from where an older one must not be taken. */
const unpack = async (): Promise<string> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "effect-locks-chromium-"))
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }))
  process.env.TMPDIR = directory
  // It brings libraries for machines that have none, and uses them when it believes that it is there.
  process.env.AWS_EXECUTION_ENV ??= "AWS_Lambda_nodejs20.x"
  const { default: packed } = await import("@sparticuz/chromium")
  return packed.executablePath()
}

/** Why there is none, as an error. */
export const launch = async (): Promise<Browser> => {
  const given = process.env.CHROME_PATH
  const executablePath = given ?? ofMachine.find((file) => existsSync(file)) ?? await unpack()
  // Chromium refuses to run as root with its sandbox, and shows here nothing but our own pages.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] })
  console.log(`Chromium ${browser.version()}${given === undefined ? "" : `, from CHROME_PATH`}`)
  return browser
}

/** Who runs the servers: they refuse to run as root. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"

export interface User {
  readonly uid: number
  readonly gid: number
}

const idOf = (name: string): User | undefined => {
  const id = (what: string) => Number(execFileSync("id", [what, name], { encoding: "utf8", stdio: "pipe" }))
  try {
    return { uid: id("-u"), gid: id("-g") }
  } catch {
    return undefined
  }
}

/** Nothing for somebody who is not root: the servers run as themselves. */
export const user: User | undefined = process.getuid?.() === 0 ? idOf("postgres") ?? idOf("nobody") : undefined

/** As the prefix of a command, for one that has to be root until then. */
export const asUser: ReadonlyArray<string> = user === undefined
  ? []
  : ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"]

export const giveToUser = (...files: ReadonlyArray<string>): void => {
  if (user !== undefined) { for (const file of files) fs.chownSync(file, user.uid, user.gid) }
}

/** With everything that is in it. */
export const giveAllToUser = (directory: string): void => {
  if (user === undefined) return
  const names = fs.readdirSync(directory, { recursive: true, encoding: "utf8" })
  for (const file of [directory, ...names.map((name) => `${directory}/${name}`)]) {
    fs.lchownSync(file, user.uid, user.gid)
  }
}

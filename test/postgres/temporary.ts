import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { giveToUser } from "./user.ts"

/** A new directory of the user who runs the servers. */
export const temporary = (): string => {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "effect-locks-postgres-"))
  giveToUser(directory)
  return directory
}

/** What /proc tells is there at once; to read it in turn with others takes many times as long. */
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import type { Files } from "../internal/processStatus.ts"

export const procFiles: Files = {
  readFileString: (path) => Effect.try(() => readFileSync(path, "utf8")),
  readDirectory: (path) => Effect.try(() => readdirSync(path))
}

/** The tag alone: who only removes a lock file loads nothing of how they are locked. */
import * as Context from "effect/Context"
import type { FileLock } from "../FileLock.ts"

export const tag = /*#__PURE__*/ Context.GenericTag<FileLock>("effect-locks/FileLock")

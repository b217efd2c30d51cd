/**
 * The name of the file that a lock is kept in: oslo's (`_get_lock_path`), byte for
 * byte, so that both exclude each other.
 *
 * A separator in the name of the lock becomes `_`. What then is no name of a file
 * in the lock path is refused, where oslo would leave the lock path, or fail: one
 * with a separator in the prefix, `.` and `..`, nothing, a NUL, and more bytes
 * than a file system takes.
 */
import type { LockKey } from "../LockError.ts"

/** What every file system takes that people use: bytes, in UTF-8. */
const longest = 255

/** What would lead elsewhere on Windows, or is no file there. */
// eslint-disable-next-line no-control-regex
const windows = /[<>:"/|?*\u0000-\u001f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

export const make = ({ name, prefix }: LockKey, separator: string): string => {
  const file = name.replaceAll(separator, "_")
  return prefix === undefined ? file : `${prefix}-${file}`
}

const bytes = (text: string): number => new TextEncoder().encode(text).length

/** Why `file`, with `ending`, is no name of a file in the lock path, if it is none. */
export const objection = (file: string, ending: string, separator: string): string | undefined => {
  if (file === "") return "an empty name is no name of a file; give the lock a name"
  if (file === "." || file === "..") return `"${file}" is a directory; give the lock another name`
  if (file.includes("\0")) return "a name of a file cannot have a NUL in it; give the lock another name"
  if (file.includes(separator)) {
    return `the prefix has a "${separator}" in it, which would lead out of the lock path; leave it out`
  }
  if (/[\ud800-\udfff]/.test(file) && new TextDecoder().decode(new TextEncoder().encode(file)) !== file) {
    return `the name has half of a character in it, for which there are no bytes; give the lock another name`
  }
  if (separator === "\\" && windows.test(file)) {
    return `Windows has no file of this name; use neither <>:"/|?* nor a name of a device, and end it in no dot or space`
  }
  // A character is three bytes at most, and one at least.
  const most = longest - ending.length
  if (file.length * 3 > most && (file.length > most || bytes(file) > most)) {
    return `the name of its file would be longer than ${most} bytes; give the lock a shorter name, such as a hash of this one`
  }
  return undefined
}

/** How long to wait, as people write it: `10s`, `500ms`, `1.5`, `10 seconds`. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const units: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A number without a unit is one of seconds, as of flock(1) and timeout(1). */
export const parse = (text: string): Option.Option<Duration.Duration> => {
  const time = text.trim()
  const [, number, unit] = /^(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)?$/.exec(time) ?? []
  if (number !== undefined) return Option.some(Duration.millis(Number(number) * units[unit ?? "s"]!))
  return /^\d/.test(time) ? Duration.decodeUnknown(time) : Option.none()
}

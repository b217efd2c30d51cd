/** Replays what a registry told, and sees whether it makes sense. */
import type { LockEvent, LockKey, LockRequest } from "effect-locks"

const next: Readonly<Record<string, ReadonlyArray<LockEvent["_tag"]>>> = {
  "": ["Waiting", "Granted"],
  Waiting: ["Granted", "Abandoned"],
  Granted: ["Released"],
  // A downgrade.
  Released: ["Granted"],
  Abandoned: []
}

/** What is wrong with the events of a registry that was at rest before and after. */
export const implausible = (
  events: ReadonlyArray<LockEvent>,
  permits: (key: LockKey) => number
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const last = new Map<string, LockEvent["_tag"]>()
  const holding = new Map<string, ReadonlyArray<LockRequest>>()
  for (const { _tag, key, request, within } of events) {
    const place = `${key.prefix}/${key.name} in ${within?.ticket}`
    const id = `${key.prefix}/${key.name} ${request.ticket}`
    const before = last.get(id) ?? ""
    if (!next[before]!.includes(_tag)) wrong.push(`${id}: ${_tag} after ${before}`)
    last.set(id, _tag)
    const held = holding.get(place) ?? []
    const others = held.filter(({ ticket }) => ticket !== request.ticket)
    if (_tag === "Released" && others.length === held.length) wrong.push(`${id}: released, but not held`)
    if (_tag === "Granted") {
      // A hold may be shared by the request that made it exclusive, which came later.
      const shared = others.filter(({ mode, ticket }) =>
        mode === "exclusive" || ticket > request.ticket || others.length > 1
      )
      const taken = others.reduce((sum, { permits }) => sum + permits, request.permits)
      const excluded = request.mode === "exclusive"
        ? shared.length > 0
        : others.some(({ mode }) => mode === "exclusive")
      if (excluded || (request.mode === "shared" && taken > permits(key))) wrong.push(`${id}: granted beside others`)
    }
    if (_tag === "Granted") holding.set(place, [...others, request])
    if (_tag === "Released") holding.set(place, others)
  }
  for (const [id, tag] of last) if (tag !== "Released" && tag !== "Abandoned") wrong.push(`${id}: ${tag} in the end`)
  return wrong
}

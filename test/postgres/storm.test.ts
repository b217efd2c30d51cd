/** Locks of PostgreSQL under a storm of faults: what is fenced is never touched by two, and nobody is stuck. */
import { afterAll, assert, beforeAll, describe, inject, it, vi } from "vitest"
import { type Observer, observer } from "./observer.ts"
import { type Result, run } from "./storm.ts"
import { type Bundle, bundle } from "./stormBundle.ts"
import type { Kind } from "./stormMessages.ts"
import type { Grant, Overlap } from "./stormRegister.ts"

const postgres = inject("postgres")

const numberOf = (name: string): number | undefined => {
  const value = process.env[name]
  return value === undefined || value === "" ? undefined : Number(value)
}

const seed = numberOf("STORM_SEED") ?? Math.floor(Math.random() * 1_000_000)
const grants = numberOf("STORM_GRANTS") ?? 500

/** Where each grant takes longer, or shows as much. */
const few = Math.ceil(grants / 20)

const processes = 4
const fibers = 4

const report = (kind: Kind, { counts, done, register, seconds }: Result): string => {
  const lost = Array.from(register.grants.values()).filter(({ outcome }) => outcome === "lost").length
  return [
    `storm of ${kind} locks, STORM_SEED=${seed}: ${done} grants in ${seconds.toFixed(1)} s (${
      (done / seconds).toFixed(0)
    }/s), ${register.grants.size} entered, ${lost} told that the lock was lost`,
    `  fenced: ${register.writes} written, ${register.refusals} refused, ${register.broken.length} broken; ` +
    `unfenced: ${register.overlaps.length} overlaps`,
    ...Array.from(counts).sort().map(([what, count]) => `  ${count} ${what}`)
  ].join("\n")
}

/** Nobody of these two was told that it had lost the lock, or was killed. */
const isUntold = ({ grants }: Overlap): boolean =>
  grants.every(({ outcome }) => outcome !== "lost" && outcome !== "killed")

const tellGrant = ({ id, outcome, parts }: Grant): string =>
  `${id} ${outcome} (${parts.map(({ key, mode, token }) => `${key} ${mode} ${token}`).join(", ")})`

const tellOverlap = ({ grants, key }: Overlap): string => `${key}: ${grants.map(tellGrant).join(" and ")}`

describe.skipIf("missing" in postgres)("a storm", () => {
  let worker: Bundle
  let seen: Observer
  beforeAll(async () => {
    worker = await bundle("stormWorker.ts")
    seen = observer((postgres as { readonly url: string }).url)
  })
  afterAll(async () => {
    worker?.remove()
    await seen?.close()
  })

  const storm = async (kind: Kind, grants: number, rounds: number) => {
    const database = `storm_${kind}_${rounds}`
    await seen.createDatabase(database)
    const result = await run({
      kind,
      worker: worker.file,
      seen,
      database,
      seed,
      processes,
      fibers,
      grants,
      silence: 2000,
      rounds,
      keys: Array.from({ length: 8 }, (_, i) => `k${i}`)
    })
    // eslint-disable-next-line no-console
    console.log(report(kind, result))
    const { complaints, done, register, stuck } = result
    const all = Array.from(register.grants.values())
    assert.isUndefined(stuck, stuck)
    assert.deepStrictEqual(complaints, [])
    assert.strictEqual(done, processes * fibers * grants)
    assert.deepStrictEqual(register.broken, [], "the fenced register")
    for (const [key, tokens] of register.admitted()) {
      assert.isTrue(tokens.every((token, i) => i === 0 || token > tokens[i - 1]!), `tokens of ${key} grow`)
    }
    assert.deepStrictEqual(
      all.filter(({ isRefused, outcome }) => isRefused && outcome !== "lost" && outcome !== "killed").map(tellGrant),
      [],
      "refused, and neither told of a loss nor killed"
    )
    assert.deepStrictEqual(all.filter(({ outcome }) => outcome === undefined).map(tellGrant), [], "not ended")
    assert.deepStrictEqual(register.overlaps.filter(isUntold).map(tellOverlap), [], "overlaps of which nobody was told")
    await vi.waitFor(async () => {
      assert.deepStrictEqual(await seen.advisory(database), [])
      assert.deepStrictEqual(await seen.sessions("storm-%", database), [])
    }, { timeout: 30_000, interval: 20 })
    return { database, result }
  }

  it(`of session locks without any fault: ${processes} processes of ${fibers} fibers, ${few} grants each`, async () => {
    const { result } = await storm("session", few, 0)
    assert.deepStrictEqual(result.register.overlaps, [])
    assert.strictEqual(result.register.refusals, 0)
  }, 900_000)

  it(`of session locks: ${processes} processes of ${fibers} fibers, ${grants} grants each`, async () => {
    await storm("session", grants, 2)
  }, 900_000)

  it(`of leases: ${processes} processes of ${fibers} fibers, ${few} grants each`, async () => {
    const { database } = await storm("lease", few, 2)
    // What a killed process had is there until somebody asks for it, and holds for no longer than `silence`.
    await vi.waitFor(async () => {
      const rows = await seen.query("SELECT * FROM effect_locks.lease WHERE expires > now()", [], database)
      assert.deepStrictEqual(rows, [])
    }, { timeout: 30_000, interval: 20 })
  }, 900_000)
})

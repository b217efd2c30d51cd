/**
 * The transactions by which a hold changes its mode.
 *
 * To upgrade is a request of its own, before everybody else in the line, for all
 * the permits that the shared hold does not have. Two of them would wait for each
 * other's hold, so a lock has one at most.
 */
import { endUpgrade } from "./ending.ts"
import type { Ledger, Table } from "./ledger.ts"
import * as Line from "./line.ts"
import * as Lines from "./lines.ts"
import { misuse } from "./misuse.ts"
import type { Place } from "./place.ts"
import { holders, type Refused, stand, type Standing } from "./standing.ts"
import type { Ticket } from "./ticket.ts"

/** No program can ask for this priority. */
export const urgent = Infinity

export const isShared = (hold: Ticket): boolean => hold.mode === "shared" && !hold.isUpgraded

export const notHeld = (hold: Ticket, what: "upgraded" | "downgraded") =>
  misuse(`lock ${hold.key} cannot be ${what}: it is not held any more`)

/** How a request to upgrade dies whose hold ended before it did. */
export const ended = (upgrade: Ticket) => notHeld(upgrade, "upgraded")

/** Asks by `upgrade` to make a hold exclusive, which it may be already. */
export const upgrade = (ledger: Ledger, lines: Table, hold: Ticket, upgrade: Ticket): readonly [Standing, Table] => {
  if (hold.ended) throw ended(hold)
  if (!isShared(hold)) return ["granted", lines]
  const { key } = hold
  if (hold.upgrade !== undefined || isUpgrading(Lines.find(lines, key)!) || isInShared(hold)) {
    return [{ reason: "UpgradeConflict", key, holders: holders(lines, key) }, lines]
  }
  upgrade.change({ key })
  const [standing, next] = stand(ledger, lines, upgrade)
  if (standing === "granted") upgrade.open("granted")
  if (standing === "granted" || standing === "waiting") hold.upgrade = upgrade
  return [standing, next]
}

/** What is around it may be about to become shared, or not exclusive after all. */
const isInShared = ({ key }: Ticket): boolean => key.within !== undefined && !isExclusive(key.within)

/** Does somebody wait to upgrade? Nobody but those who were let pass it stands before that request. */
const isUpgrading = (line: Line.Line<Ticket>): boolean => {
  for (const waiter of Line.waiters(line)) {
    if (waiter.upgrades !== undefined) return true
    let place: Place = waiter.place
    while (place.before !== undefined) place = place.before
    if (place.priority !== urgent) return false
  }
  return false
}

/**
 * Holds that are exclusive in this process, and not or not for sure outside of it,
 * while that changes. Nobody else is let in beside them, and nothing exclusive
 * inside them.
 */
const unsure = new WeakSet<Ticket>()

/** Is it exclusive wherever it is held? */
export const isExclusive = (hold: Ticket): boolean => !isShared(hold) && !unsure.has(hold)

/**
 * Asks by `upgrades`, which do not wait, to make the holds that they are for
 * exclusive in this process: all or none. Outside is seen to next: `confirm` or `undo`.
 */
export const upgradeAll = (
  ledger: Ledger,
  lines: Table,
  upgrades: ReadonlyArray<Ticket>
): readonly [Refused | undefined, Table] => {
  for (const one of upgrades) {
    const hold = one.upgrades!
    const [standing, next] = upgrade(ledger, lines, hold, one)
    lines = next
    if (standing !== "granted") return [standing as Refused, undo(ledger, lines, upgrades)]
    if (hold.upgrade === one) unsure.add(hold)
  }
  return [undefined, lines]
}

export const confirm = (upgrades: ReadonlyArray<Ticket>): void => {
  for (const { upgrades: hold } of upgrades) unsure.delete(hold!)
}

/** Takes back what `upgradeAll` has done. */
export const undo = (ledger: Ledger, lines: Table, upgrades: ReadonlyArray<Ticket>): Table => {
  confirm(upgrades)
  return upgrades.reduce(
    (lines, one) => one.upgrades!.upgrade === one ? endUpgrade(ledger, lines, one.upgrades!) : lines,
    lines
  )
}

/** Has nothing exclusive be let in any more inside of holds that are going to be downgraded. */
export const prepareDowngrade = (lines: Table, holds: ReadonlyArray<Ticket>): void => {
  for (const hold of holds) checkDowngrade(lines, hold)
  for (const hold of holds) unsure.add(hold)
}

/** Throws when a hold cannot be downgraded. */
export const checkDowngrade = (lines: Table, hold: Ticket): void => {
  if (hold.ended) throw notHeld(hold, "downgraded")
  if (isShared(hold)) return
  const nested = hold.reentrant ? Lines.find(lines, hold.inside) : undefined
  if (nested !== undefined && [...Line.holders(nested), ...Line.waiters(nested)].some((one) => !isShared(one))) {
    throw misuse(
      `lock ${hold.key} cannot be downgraded: an exclusive request inside the hold has not ended; let it end first`
    )
  }
}

/** Makes an exclusive hold shared, and lets in whoever may share it. */
export const downgrade = (ledger: Ledger, lines: Table, hold: Ticket): Table => {
  unsure.delete(hold)
  if (isShared(hold)) return lines
  if (hold.upgrade !== undefined) return endUpgrade(ledger, lines, hold)
  const freed = hold.permits - 1
  ledger.events.emitOne("Released", hold)
  hold.change({ mode: "shared", permits: 1 })
  ledger.events.emitOne("Granted", hold)
  return ledger.grant(Lines.lighten(lines, hold, freed))
}

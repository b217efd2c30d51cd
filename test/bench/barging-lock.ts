import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as STM from "effect/STM"
import * as TRef from "effect/TRef"
import * as Context from "effect/Context"
import * as FiberRef from "effect/FiberRef"
import * as Line from "./barging-line.ts"

export class Gate { opened = false; granted = false; resume: undefined | ((_: Effect.Effect<void>) => void) = undefined
  open() { this.opened = true; if (this.resume) { this.resume(Effect.void); this.resume = undefined } }
  readonly wait = Effect.async<void>((resume) => { if (this.opened) resume(Effect.void); else this.resume = resume })
}
class Key { readonly hash: number; constructor(readonly prefix: string | undefined, readonly name: string) { this.hash = Hash.string(name) ^ (prefix === undefined ? 0 : Hash.string(prefix)) }
  [Hash.symbol]() { return this.hash } [Symbol.for("effect/Equal")](that: any) { return that instanceof Key && this.name === that.name && this.prefix === that.prefix } }
interface Req extends Line.Request { gate: Gate | undefined, readonly fiberId: any, since: number, key: Key, owned: boolean }
export class Registry { table = TRef.make<HashMap.HashMap<any, Line.Line<Req>>>(HashMap.empty()); ref!: TRef.TRef<HashMap.HashMap<any, Line.Line<Req>>>; ticket = 0 }
export const Tag = Context.GenericTag<Registry>("r")
const open = (r: Req) => { if (r.gate !== undefined) r.gate.open() }
const stepAll = (s: Line.Step<Req>) => { for (const g of s.granted) { if (g.gate) g.gate.granted = true; open(g) }; for (const w of s.woken) open(w); return s.line }
const modify = <A>(reg: Registry, key: Key, f: (line: Line.Line<Req>) => Line.Line<Req>) => TRef.modify(reg.ref, (table) => {
  const next = HashMap.modifyHash(table, key, key.hash, (found) => { const line = f(Option.isSome(found) ? found.value : Line.make<Req>(1)); return Line.isIdle(line) ? Option.none() : Option.some(line) })
  return [undefined, next] as const
})
const release = (reg: Registry, r: Req) => STM.commit(modify(reg, r.key, (line) => stepAll(Line.release(line, r))))
const cancel = (reg: Registry, r: Req) => STM.commit(modify(reg, r.key, (line) => stepAll(Line.cancel(line, r))))
const retry = (reg: Registry, r: Req) => Effect.suspend(() => { let granted = false; return Effect.flatMap(STM.commit(modify(reg, r.key, (line) => { if (Line.isHolding(line, r)) { granted = true; return line } const s = Line.retry(line, r); granted = s.granted[0] === r; if (!granted) r.gate!.opened = false; return stepAll(s) })), () => granted ? Effect.void : Effect.fail(1)) })
const acquire = (reg: Registry, restore: any, fiber: any, key: Key, fair: boolean, k: (r: Req) => Effect.Effect<any, any, any>): Effect.Effect<any, any, any> => {
  const r: Req = { ticket: reg.ticket++, permits: 1, fair, gate: undefined, fiberId: fiber.id(), since: Date.now(), key, owned: true }
  let granted = false
  return Effect.flatMap(STM.commit(modify(reg, key, (line) => { const next = Line.attempt(line, r); if (next !== undefined) { granted = true; return next } r.gate = new Gate(); return stepAll(Line.enqueue(line, r)) })),
() => granted ? k(r) : wait(reg, restore, r, k))
}
const wait = (reg: Registry, restore: any, r: Req, k: any): Effect.Effect<any> => Effect.matchCauseEffect(restore(r.gate!.wait), { onFailure: (c: any) => Effect.zipRight(cancel(reg, r), Effect.failCause(c)), onSuccess: () => r.gate!.granted ? k(r) : Effect.matchEffect(retry(reg, r), { onSuccess: () => k(r), onFailure: () => wait(reg, restore, r, k) }) })
export const withLock = (name: string, fair = false) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const key = new Key(undefined, name)
  return Effect.uninterruptibleMask((restore) => Effect.withFiberRuntime((fiber) => {
    const reg = Context.unsafeGet(fiber.getFiberRef(FiberRef.currentContext), Tag)
    const listening = fiber.getFiberRef(FiberRef.currentMinimumLogLevel).ordinal < 20000
    if (listening) console.log('x')
    return acquire(reg, restore, fiber, key, fair, (r) => Effect.matchCauseEffect(restore(self), { onFailure: (c) => Effect.zipRight(release(reg, r), Effect.failCause(c)), onSuccess: (a) => Effect.as(release(reg, r), a) }))
  }))
}
export const lock = (name: string, fair = false): Effect.Effect<void, never, Scope.Scope> => {
  const key = new Key(undefined, name)
  return Effect.uninterruptibleMask((restore) => Effect.withFiberRuntime((fiber) => {
    const ctx = fiber.getFiberRef(FiberRef.currentContext)
    const reg = Context.unsafeGet(ctx, Tag)
    return acquire(reg, restore, fiber, key, fair, (r) => Scope.addFinalizer(Context.unsafeGet(ctx, Scope.Scope) as any, release(reg, r)))
  }))
}

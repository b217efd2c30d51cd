// Does barging pay? Loops of 8 fibers over one lock, plain (barging, at most 16
// passes) against fair (strict hand-off), and Effect's semaphore beside them.
// Run: npx tsx test/bench/barging.ts
import { Effect, STM } from "effect"
import * as P from "./barging-lock.ts"
const reg: any = new P.Registry(); reg.ref = await Effect.runPromise(STM.commit(reg.table))
const provide = (e: any) => Effect.provideService(e, P.Tag, reg) as any
const loopOf = (eff: (i: number) => Effect.Effect<any, any, any>, k: number) => Effect.suspend(() => { let i = 0; return Effect.whileLoop({ while: () => i < k, body: () => eff(i++), step: () => {} }) })
const sem = Effect.unsafeMakeSemaphore(1)
const miss = Effect.promise(() => Promise.resolve(1))
const cache = new Map<number, number>()
const few = (n: number) => Effect.repeatN(Effect.sync(() => cache.set(1, 2)), n)
const yb = Effect.yieldNow()
const bodies: Record<string, [(i: number) => Effect.Effect<any>, Effect.Effect<any> | undefined]> = {
  "tight sync": [() => Effect.sync(() => {}), undefined],
  "tight 10% yield": [(i) => i % 10 === 0 ? yb : Effect.void, undefined],
  "10% yield, 5 ops outside": [(i) => i % 10 === 0 ? yb : Effect.void, few(5)],
  "2% yield, 0 ops outside": [(i) => i % 50 === 0 ? yb : Effect.void, undefined],
  "2% yield, 5 ops outside": [(i) => i % 50 === 0 ? yb : Effect.void, few(5)],
  "2% promise, 0 ops outside": [(i) => i % 50 === 0 ? miss : Effect.void, undefined],
  "2% promise, 5 ops outside": [(i) => i % 50 === 0 ? miss : few(1), few(5)],
  "random 10% promise, 0 out": [(i) => Math.random() < .1 ? miss : Effect.void, undefined],
  "random 2% promise, 5 out": [(i) => Math.random() < .02 ? miss : few(1), few(5)],
  "random 2% sleep, 5 out": [(i) => Math.random() < .02 ? Effect.sleep(0) : few(1), few(5)],
  "5 ops in, 0 out": [() => few(5), undefined],
  "50 ops in, 50 out": [() => few(50), few(50)],
}
for (const [name, [body, out]] of Object.entries(bodies)) { const n = 2000; const t: Record<string, number[]> = { plain: [], fair: [], sem: [] }
  for (let r = 0; r < 11; r++) for (const k of ["plain", "fair", "sem"]) { const w = (i: number) => k === "sem" ? sem.withPermits(1)(body(i)) : P.withLock("k", k === "fair")(body(i)) as any
    const one = out ? (i: number) => Effect.zipRight(w(i), out) : w
    const s = process.hrtime.bigint(); await Effect.runPromise(provide(Effect.forEach([1,2,3,4,5,6,7,8], () => loopOf(one, n), { concurrency: "unbounded", discard: true }))); if (r > 3) t[k]!.push(Number(process.hrtime.bigint() - s) / n / 8) }
  const med = (x: number[]) => x.sort((p, q) => p - q)[x.length >> 1]!
  console.log(name.padEnd(34), "plain", med(t.plain!).toFixed(0), "fair", med(t.fair!).toFixed(0), "sem", med(t.sem!).toFixed(0), "fair/plain", (med(t.fair!) / med(t.plain!)).toFixed(2)) }

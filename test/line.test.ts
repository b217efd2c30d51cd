import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as Line from "../src/internal/line.js"

// The model: a lock so simple that its order is plain to see.
interface Model {
  readonly limit: number
  holding: Array<Line.Request>
  waiting: Array<Line.Request>
}

interface Real {
  line: Line.Line<Line.Request>
  /** Everyone who was ever told to hold, in that order. */
  granted: Array<number>
  tickets: number
}

const free = (model: Model) => model.limit - model.holding.reduce((sum, request) => sum + request.permits, 0)

/** Serves the model's line from its head, and says whom it served. */
const serve = (model: Model): Array<number> => {
  const served: Array<number> = []
  while (model.waiting.length > 0 && model.waiting[0]!.permits <= free(model)) {
    const head = model.waiting.shift()!
    model.holding.push(head)
    served.push(head.ticket)
  }
  return served
}

const tickets = (requests: ReadonlyArray<Line.Request>) => requests.map((request) => request.ticket)
const ascending = (requests: ReadonlyArray<Line.Request>) => tickets(requests).sort((a, b) => a - b)

const agree = (model: Model, real: Real, step: Line.Step<Line.Request>, served: ReadonlyArray<number>) => {
  real.line = step.line
  assert.deepStrictEqual(tickets(step.granted), served)
  real.granted.push(...tickets(step.granted))
  assert.isUndefined(Line.violation(real.line))
  assert.deepStrictEqual(tickets(Line.holders(real.line)), ascending(model.holding))
  assert.deepStrictEqual(tickets(Line.waiters(real.line)), tickets(model.waiting))
  assert.strictEqual(real.line.free, free(model))
  assert.strictEqual(Line.isIdle(real.line), model.holding.length + model.waiting.length === 0)
}

const pick = (requests: ReadonlyArray<Line.Request>, at: number) => requests[at % requests.length]!
const without = (requests: ReadonlyArray<Line.Request>, gone: Line.Request) =>
  requests.filter((request) => request.ticket !== gone.ticket)

class Request implements fc.Command<Model, Real> {
  readonly share: number
  constructor(share: number) {
    this.share = share
  }
  check() {
    return true
  }
  run(model: Model, real: Real) {
    const request = { ticket: ++real.tickets, permits: 1 + this.share % model.limit }
    const fits = model.waiting.length === 0 && request.permits <= free(model)
    assert.strictEqual(Line.isFreeFor(real.line, request), fits)
    model.waiting.push(request)
    agree(model, real, Line.request(real.line, request), serve(model))
  }
  toString() {
    return `request(${this.share})`
  }
}

class Release implements fc.Command<Model, Real> {
  readonly at: number
  constructor(at: number) {
    this.at = at
  }
  check(model: Readonly<Model>) {
    return model.holding.length > 0
  }
  run(model: Model, real: Real) {
    const request = pick(model.holding, this.at)
    model.holding = without(model.holding, request)
    agree(model, real, Line.release(real.line, request), serve(model))
    // Once more: it holds nothing now, so nothing may change.
    agree(model, real, Line.release(real.line, request), [])
  }
  toString() {
    return `release(${this.at})`
  }
}

class Cancel implements fc.Command<Model, Real> {
  readonly at: number
  constructor(at: number) {
    this.at = at
  }
  check(model: Readonly<Model>) {
    return model.holding.length + model.waiting.length > 0
  }
  run(model: Model, real: Real) {
    const request = pick([...model.holding, ...model.waiting], this.at)
    model.holding = without(model.holding, request)
    model.waiting = without(model.waiting, request)
    agree(model, real, Line.cancel(real.line, request), serve(model))
    agree(model, real, Line.cancel(real.line, request), [])
  }
  toString() {
    return `cancel(${this.at})`
  }
}

const commands = (size: number) =>
  fc.commands([
    fc.nat(10).map((share) => new Request(share)),
    fc.nat(10).map((share) => new Request(share)),
    fc.nat(20).map((at) => new Release(at)),
    fc.nat(20).map((at) => new Cancel(at))
  ], { maxCommands: size })

const run = (limit: number, steps: Iterable<fc.Command<Model, Real>>) => {
  const model: Model = { limit, holding: [], waiting: [] }
  const real: Real = { line: Line.make(limit), granted: [], tickets: 0 }
  fc.modelRun(() => ({ model, real }), steps)
  return { model, real }
}

describe("the pure line", () => {
  // 1: a mutex; 2 and 3: small semaphores; 100: a lock shared by readers (1) and taken whole by writers.
  for (const limit of [1, 2, 3, 100]) {
    it(`agrees with its model and keeps its invariant, ${limit} permits`, () => {
      fc.assert(
        fc.property(commands(100), (steps) => {
          const { real } = run(limit, steps)
          assert.strictEqual(new Set(real.granted).size, real.granted.length, "nobody is granted twice")
        }),
        { numRuns: 500 }
      )
    })
  }

  it("grants in order of arrival, whoever leaves in between", () => {
    fc.assert(
      fc.property(commands(60), (steps) => {
        const { granted } = run(1, steps).real
        assert.deepStrictEqual(granted, granted.slice().sort((a, b) => a - b))
      }),
      { numRuns: 500 }
    )
  })

  it("a batch of readers enters together behind a writer, and a writer that gives up lets them in", () => {
    const limit = 10
    const request = (ticket: number, permits: number) => ({ ticket, permits })
    const enter = (line: Line.Line<Line.Request>, next: Line.Request) => Line.request(line, next).line
    const writer = request(2, limit)
    const readers = [request(3, 1), request(4, 1)]
    const queued = readers.reduce(enter, enter(enter(Line.make(limit), request(1, 1)), writer))
    assert.deepStrictEqual(tickets(Line.waiters(queued)), [2, 3, 4], "readers do not pass a waiting writer")
    assert.deepStrictEqual(tickets(Line.cancel(queued, writer).granted), [3, 4])
    const served = Line.release(queued, request(1, 1))
    assert.deepStrictEqual(tickets(served.granted), [2])
    assert.deepStrictEqual(tickets(Line.release(served.line, writer).granted), [3, 4])
  })

  it("sees every holder", () => {
    const requests = [1, 2, 3].map((ticket) => ({ ticket, permits: 1 }))
    const line = requests.reduce((line, one) => Line.request(line, one).line, Line.make<Line.Request>(3))
    for (const { ticket } of requests) assert.isTrue(Line.isHeldBy(line, (one) => one.ticket === ticket))
    assert.isFalse(Line.isHeldBy(line, (one) => one.ticket === 4))
  })

  it("sees when its invariant is broken", () => {
    const line = Line.make(1)
    const one = { ticket: 1, permits: 1 }
    const held = Line.request(line, one).line
    assert.isUndefined(Line.violation(held))
    assert.strictEqual(Line.violation({ ...held, free: 1 }), "1 held and 1 free are not 1")
    assert.strictEqual(Line.violation({ ...held, free: -1 }), "1 more permits are held than there are")
    const waiting = Line.request(held, { ticket: 2, permits: 1 }).line
    assert.isUndefined(Line.violation(waiting))
    assert.strictEqual(
      Line.violation({ ...waiting, free: 1, holding: line.holding }),
      "the head fits and was not granted"
    )
    assert.strictEqual(Line.violation({ ...waiting, waiting: held.holding }), "a holder waits")
  })
})

import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc, HashMap } from "effect"
import * as Line from "../src/internal/line.js"
import * as Lines from "../src/internal/lines.js"
import * as Key from "../src/internal/lockKey.js"
import type { Place } from "../src/internal/place.js"

const limits = { mutex: 1, pair: 2, few: 3, many: 100 }
const names = Object.keys(limits) as Array<keyof typeof limits>
const keys = Object.fromEntries(names.map((name) => [name, Key.make(undefined, name)])) as Record<
  keyof typeof limits,
  Key.LockKey
>

class Request implements Lines.Request {
  readonly ticket: number
  readonly key: Key.LockKey
  readonly limit: number
  permits: number
  place: Place
  members: ReadonlyArray<Request> | undefined = undefined
  constructor(ticket: number, name: keyof typeof limits, permits: number, place: Place) {
    this.ticket = ticket
    this.key = keys[name]
    this.limit = limits[name]
    this.permits = permits
    this.place = place
  }
}

// The model: one list of those who wait, sorted anew each time, served by trying everybody again and again.
interface Model {
  holding: Array<Request>
  waiting: Array<Request>
}

interface Real {
  lines: Lines.Lines<Request>
  granted: Array<Request>
  numbers: number
}

/** From the outermost place to its own: who was let pass has a longer path than who let it. */
const path = (place: Place): ReadonlyArray<readonly [number, number]> => [
  ...(place.before === undefined ? [] : path(place.before)),
  [-place.priority, place.arrival]
]

const byPath = (a: Request, b: Request): number => {
  const [as, bs] = [path(a.place), path(b.place)]
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const difference = as[i]![0] - bs[i]![0] || as[i]![1] - bs[i]![1]
    if (difference !== 0) return difference
  }
  return bs.length - as.length
}

const free = (model: Model, key: Key.LockKey) =>
  model.holding.filter((one) => one.key === key).reduce((left, one) => left - one.permits, limits[key.name as "mutex"])

const canHold = (model: Model, request: Request) =>
  Lines.membersOf(request).every((member) => {
    const first = model.waiting.filter((one) => one.key === member.key).sort(byPath)[0]
    return first === member && member.permits <= free(model, member.key)
  })

/** Serves whoever can be served, and says whom it served. */
const serve = (model: Model): Array<Request> => {
  const served: Array<Request> = []
  for (;;) {
    const next = model.waiting.find((request) => canHold(model, request))
    if (next === undefined) return served
    const members = Lines.membersOf(next)
    model.waiting = model.waiting.filter((one) => !members.includes(one))
    model.holding.push(...members)
    served.push(Lines.leader(next))
  }
}

const tickets = (requests: Iterable<Request>) => Array.from(requests, ({ ticket }) => ticket)
const ascending = (requests: Iterable<Request>) => tickets(requests).sort((a, b) => a - b)

const agree = (model: Model, real: Real, step: Lines.Step<Request>, served: ReadonlyArray<Request>) => {
  real.lines = step.lines
  real.granted.push(...step.granted)
  assert.isUndefined(Lines.violation(real.lines))
  assert.deepStrictEqual(ascending(step.granted), ascending(served), "the same are served")
  for (const key of Object.values(keys)) {
    const line = Lines.find(real.lines, key)
    const holding = model.holding.filter((one) => one.key === key)
    const waiting = model.waiting.filter((one) => one.key === key).sort(byPath)
    assert.strictEqual(line === undefined, holding.length + waiting.length === 0, "it exists while it is used")
    if (line === undefined) continue
    assert.deepStrictEqual(tickets(Line.holders(line)), ascending(holding))
    assert.deepStrictEqual(tickets(Line.waiters(line)), tickets(waiting))
    assert.strictEqual(line.free, free(model, key))
  }
}

const pick = <A>(among: ReadonlyArray<A>, at: number) => among[at % among.length]!
const leaders = (requests: ReadonlyArray<Request>) => Array.from(new Set(requests.map(Lines.leader)))
const without = (requests: ReadonlyArray<Request>, gone: Request) =>
  requests.filter((one) => !Lines.membersOf(gone).includes(one))

type Command = fc.Command<Model, Real>

const command = (name: string, check: (model: Readonly<Model>) => boolean, run: Command["run"]): Command => ({
  check,
  run,
  toString: () => name
})

const request = (wanted: ReadonlyArray<keyof typeof limits>, weight: number, priority: number) =>
  command(`request(${wanted}, ${weight}, ${priority})`, () => true, (model, real) => {
    const place = { priority, arrival: ++real.numbers, before: undefined }
    const members = wanted.map((name) => new Request(place.arrival, name, 1 + weight % limits[name], place))
    if (members.length > 1) { for (const member of members) member.members = members }
    model.waiting.push(...members)
    const { granted, lines } = Lines.request(real.lines, members[0]!)
    agree(model, real, { lines, granted: granted ? [members[0]!] : [] }, serve(model))
  })

const release = (at: number) =>
  command(`release(${at})`, (model) => model.holding.length > 0, (model, real) => {
    const one = pick(leaders(model.holding), at)
    model.holding = without(model.holding, one)
    agree(model, real, Lines.release(real.lines, one), serve(model))
    // Once more: it holds nothing now, so nothing may change.
    agree(model, real, Lines.release(real.lines, one), [])
  })

const releaseOne = (at: number) =>
  command(`releaseOne(${at})`, (model) => model.holding.length > 0, (model, real) => {
    const one = pick(model.holding, at)
    model.holding = model.holding.filter((other) => other !== one)
    agree(model, real, Lines.releaseOne(real.lines, one), serve(model))
  })

const leave = (at: number) =>
  command(`leave(${at})`, (model) => model.waiting.length > 0, (model, real) => {
    const one = pick(leaders(model.waiting), at)
    model.waiting = without(model.waiting, one)
    agree(model, real, Lines.leave(real.lines, one), serve(model))
    agree(model, real, Lines.leave(real.lines, one), [])
  })

const lighten = (at: number) =>
  command(`lighten(${at})`, (model) => model.holding.some(({ permits }) => permits > 1), (model, real) => {
    const one = pick(model.holding.filter(({ permits }) => permits > 1), at)
    const given = one.permits - 1
    one.permits = 1
    agree(model, real, Lines.lighten(real.lines, one, given), serve(model))
  })

/** Lets one pass another, as a yield does. */
const move = (at: number, before: number) =>
  command(`move(${at}, ${before})`, (model) => leaders(model.waiting).length > 1, (model, real) => {
    const waiting = leaders(model.waiting)
    const one = pick(waiting, at)
    const other = pick(waiting.filter((request) => request !== one), before)
    const place = { priority: one.place.priority, arrival: ++real.numbers, before: other.place }
    const step = Lines.move(real.lines, one, () => {
      for (const member of Lines.membersOf(one)) member.place = place
    })
    agree(model, real, step, serve(model))
  })

const several = fc.subarray(names, { minLength: 2, maxLength: 3 }).chain((some) =>
  fc.shuffledSubarray(some, { minLength: some.length })
)
const priority = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, {
  weight: 1,
  arbitrary: fc.integer({ min: -1, max: 2 })
})
const one = fc.constantFrom(...names).map((name) => [name])
const requests = (wanted: fc.Arbitrary<ReadonlyArray<keyof typeof limits>>) =>
  fc.tuple(wanted, fc.nat(120), priority).map((args) => request(...args))

const commands = (size: number) =>
  fc.commands([
    requests(one),
    requests(one),
    requests(several),
    fc.nat(20).map(release),
    fc.nat(20).map(leave),
    fc.nat(20).map(releaseOne),
    fc.nat(20).map(lighten),
    fc.tuple(fc.nat(20), fc.nat(20)).map((args) => move(...args))
  ], { maxCommands: size })

const run = (steps: Iterable<Command>) => {
  const model: Model = { holding: [], waiting: [] }
  const real: Real = { lines: Lines.empty(), granted: [], numbers: 0 }
  fc.modelRun(() => ({ model, real }), steps)
  return { model, real }
}

describe("the lines of a registry", () => {
  it("agree with their model and keep their invariant, whoever asks for whatever", () => {
    let several = 0
    fc.assert(
      fc.property(commands(80), (steps) => {
        const { granted } = run(steps).real
        assert.strictEqual(new Set(granted).size, granted.length, "nobody is granted twice")
        several += granted.filter(({ members }) => members !== undefined).length
      }),
      { numRuns: 1500 }
    )
    assert.isAbove(several, 500, "requests for several were served")
  })

  it("leave nothing behind when all have ended", () => {
    fc.assert(
      fc.property(commands(60), (steps) => {
        const { model, real } = run(steps)
        while (model.waiting.length > 0) leave(0).run(model, real)
        while (model.holding.length > 0) release(0).run(model, real)
        assert.deepStrictEqual(Array.from(real.lines), [])
      }),
      { numRuns: 300 }
    )
  })

  const single = (ticket: number, name: keyof typeof limits, permits: number) =>
    new Request(ticket, name, permits, { priority: 0, arrival: ticket, before: undefined })
  const both = (ticket: number) => {
    const members = (["mutex", "pair"] as const).map((name) => single(ticket, name, limits[name]))
    for (const member of members) member.members = members
    return members[0]!
  }
  const after = (...steps: ReadonlyArray<Request>) =>
    steps.reduce((lines, one) => Lines.request(lines, one).lines, Lines.empty<Request>())

  it("a batch of readers enters together behind a writer, and a writer that gives up lets them in", () => {
    const [reader, writer] = [single(1, "many", 1), single(2, "many", 100)]
    const queued = after(reader, writer, single(3, "many", 1), single(4, "many", 1))
    assert.deepStrictEqual(tickets(Lines.leave(queued, writer).granted), [3, 4])
    const served = Lines.release(queued, reader)
    assert.deepStrictEqual(tickets(served.granted), [2])
    assert.deepStrictEqual(tickets(Lines.release(served.lines, writer).granted), [3, 4])
  })

  it("a request for several holds nothing while it waits, and all of it at once", () => {
    const holder = single(1, "pair", 2)
    const queued = after(holder, both(2), single(3, "mutex", 1))
    assert.strictEqual(Lines.find(queued, keys.mutex)!.free, 1, "the mutex is free, and has two waiting")
    assert.strictEqual(Line.waiting(Lines.find(queued, keys.mutex)!), 2)
    const served = Lines.release(queued, holder)
    assert.deepStrictEqual(tickets(served.granted), [2])
  })

  it("two kinds of one lock are refused, and change nothing", () => {
    const lines = after(single(1, "few", 1))
    const other = Object.assign(single(2, "few", 1), { limit: 4 })
    assert.throws(
      () => Lines.request(lines, other),
      "\"few\" is in use as a semaphore of 3 permits and was asked for as a semaphore of 4 permits; " +
        "every use of a name must give the same number of permits"
    )
  })

  it("see when their invariant is broken", () => {
    const lines = after(single(1, "few", 1))
    const few = Lines.find(lines, keys.few)!
    const violationWith = (line: Line.Line<Request>) => Lines.violation(HashMap.set(lines, keys.few, line))
    assert.isUndefined(violationWith(few))
    assert.strictEqual(violationWith({ ...few, free: 1 }), "\"few\": 1 held and 1 free are not 3")
    assert.strictEqual(violationWith(Line.make(3)), "\"few\": an idle line is kept")
    assert.strictEqual(
      violationWith(Line.enter(few, single(2, "few", 1))),
      "\"few\": the head could hold and was not granted"
    )
    const torn = both(2)
    const half = HashMap.set(after(single(1, "pair", 1), torn), keys.mutex, Line.hold(Line.make(1), torn))
    assert.strictEqual(Lines.violation(half), "\"mutex\": a request waits in other lines, and not in this one")
  })
})

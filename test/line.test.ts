import { assert, describe, it } from "@effect/vitest"
import * as Line from "../src/internal/line.js"
import { order, type Place } from "../src/internal/place.js"

const place = (arrival: number, priority = 0, before?: Place): Place => ({ priority, arrival, before })
const request = (ticket: number, permits: number, priority = 0): Line.Request => ({
  ticket,
  permits,
  place: place(ticket, priority)
})
const tickets = (requests: Iterable<Line.Request>) => Array.from(requests, ({ ticket }) => ticket)

describe("the order of places", () => {
  it("the larger priority comes first, then who came first", () => {
    assert.deepStrictEqual([place(3), place(1), place(4, 2), place(2), place(5, -1)].sort(order), [
      place(4, 2),
      place(1),
      place(2),
      place(3),
      place(5, -1)
    ])
  })

  it("who was let pass stands directly before who let it pass, at whatever depth", () => {
    const [first, second, third] = [place(1), place(2), place(3)]
    const passed = place(10, 0, second)
    const later = place(11, 0, second)
    const urgent = place(12, 5, second)
    const deeper = place(13, 0, passed)
    const sorted = [first, urgent, deeper, passed, later, second, third]
    assert.deepStrictEqual(sorted.slice().reverse().sort(order), sorted)
    for (const a of sorted) {
      assert.strictEqual(order(a, a), 0)
      for (const b of sorted) assert.strictEqual(order(a, b) + order(b, a), 0)
    }
  })
})

describe("the pure line", () => {
  it("only the head may hold, however well another fits", () => {
    const line = [request(2, 3), request(3, 1)].reduce(Line.enter, Line.hold(Line.make(3), request(1, 1)))
    assert.strictEqual(Line.head(line)?.ticket, 2)
    assert.isUndefined(Line.fitting(line), "the head does not fit")
    assert.isFalse(Line.admits(line, request(4, 1)), "and nobody passes it")
    assert.isTrue(Line.admits(line, request(4, 1, 1)), "but who stands before it")
    assert.isFalse(Line.admits(line, request(4, 3, 1)), "if it fits")
    assert.strictEqual(Line.fitting(Line.release(line, request(1, 1)))?.ticket, 2)
    assert.deepStrictEqual(tickets(Line.waiters(line)), [2, 3])
    assert.deepStrictEqual(tickets(Line.holders(line)), [1])
    assert.deepStrictEqual([Line.isLast(line, request(3, 1)), Line.isLast(line, request(2, 3))], [true, false])
  })

  it("to release or to leave twice changes nothing", () => {
    const one = request(1, 1)
    const held = Line.hold(Line.make(2), one)
    const released = Line.release(held, one)
    assert.strictEqual(Line.release(released, one), released)
    assert.isTrue(Line.isIdle(released))
    assert.isTrue(Line.isIdle(Line.leave(Line.leave(Line.enter(Line.make(2), one), one), one)))
  })

  it("sees when its invariant is broken", () => {
    const line = Line.make<Line.Request>(1)
    const held = Line.hold(line, request(1, 1))
    assert.isUndefined(Line.violation(held))
    assert.strictEqual(Line.violation({ ...held, free: 1 }), "1 held and 1 free are not 1")
    assert.strictEqual(Line.violation({ ...held, free: -1 }), "1 more permits are held than there are")
    assert.isUndefined(Line.violation(Line.enter(held, request(2, 1))))
    assert.strictEqual(Line.violation(Line.enter(held, request(1, 1))), "a holder waits")
  })
})

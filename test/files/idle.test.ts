/** Lock files stay open for a while after they were used: for the next, but not for ever. */
import { Path } from "@effect/platform"
import { assert, describe, it, vi } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { ExternalLock, FileLock, LockRegistry, withLock } from "effect-locks"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach, beforeEach } from "vitest"
import { openFiles } from "../utils/openFiles.js"
import * as SyncFileSystem from "../utils/syncFileSystem.js"

const external = { external: true } as const

describe("a lock file that nobody uses", () => {
  let lockPath: string
  beforeEach(() => {
    lockPath = fs.mkdtempSync(path.join(os.tmpdir(), "effect-locks-"))
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] })
  })
  afterEach(() => {
    vi.useRealTimers()
    fs.rmSync(lockPath, { recursive: true })
  })

  const withService = (body: (service: ExternalLock, close: Effect.Effect<void>) => Effect.Effect<void, unknown>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const layer = Layer.provide(FileLock.layer({ lockPath }), Layer.merge(SyncFileSystem.layer, Path.layer))
      const services = yield* Layer.buildWithScope(layer, scope)
      yield* body(Context.get(services, ExternalLock), Scope.close(scope, Exit.void))
    })

  const visit = (service: ExternalLock, name: string, body: Effect.Effect<void> = Effect.void) =>
    withLock(body, name, external).pipe(
      Effect.provideService(ExternalLock, service),
      Effect.provide(LockRegistry.layer)
    )

  it.live("is closed five seconds later, and nothing goes on looking", () =>
    withService((service) =>
      Effect.gen(function*() {
        yield* visit(service, "x")
        vi.advanceTimersByTime(4000)
        assert.strictEqual(openFiles(lockPath), 1)
        yield* visit(service, "x", Effect.sync(() => assert.strictEqual(openFiles(lockPath), 1)))
        yield* visit(service, "y")
        assert.strictEqual(openFiles(lockPath), 2)
        vi.advanceTimersByTime(4000)
        assert.strictEqual(openFiles(lockPath), 2, "it was used meanwhile")
        assert.strictEqual(vi.getTimerCount(), 1)
        vi.advanceTimersByTime(2000)
        assert.strictEqual(openFiles(lockPath), 0)
        assert.strictEqual(vi.getTimerCount(), 0)
      })
    ))

  it.live("stays open while it is held, however long", () =>
    withService((service) =>
      visit(
        service,
        "x",
        Effect.sync(() => {
          vi.advanceTimersByTime(60_000)
          assert.strictEqual(openFiles(lockPath), 1)
        })
      )
    ))

  it.live("is not kept beyond a number of them", () =>
    withService((service) =>
      Effect.gen(function*() {
        for (let i = 0; i < 200; i++) yield* visit(service, `${i}`)
        assert.strictEqual(openFiles(lockPath), 128)
      })
    ))

  it.live("is closed with its layer, and after that as soon as it is released", () =>
    withService((service, close) =>
      Effect.gen(function*() {
        yield* visit(service, "x")
        yield* visit(
          service,
          "y",
          Effect.gen(function*() {
            yield* close
            assert.strictEqual(openFiles(lockPath), 1)
          })
        )
        assert.strictEqual(openFiles(lockPath), 0)
      })
    ))
})

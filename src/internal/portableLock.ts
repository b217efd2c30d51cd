/**
 * A lock kept by nothing but files and directories, for where the kernel locks no
 * files: the protocol of one process.
 *
 * The lock is a directory. Whoever holds it has a *token* in it: a file whose name
 * nobody else ever gives, that ends in `.x` for a writer and in `.s` for a reader.
 *
 * - A writer takes it by renaming a directory of its own, with its token in it, to
 *   the path of the lock. That works when there is no lock, or an empty one; it is
 *   one step of the file system.
 * - A reader moves its token into the lock, and then looks: it holds when it sees its
 *   own token and no writer's. No writer can come after it, for the lock is not
 *   empty any more. If it sees a writer's, it takes its token back.
 * - Who lets go removes its token, by its name: it can never remove another's.
 * - A token whose owner is gone is removed by its name too, by anybody, who then
 *   competes like everybody else. So two who saw the same owner gone remove one
 *   token, and nobody's later one.
 *
 * Invariant: if a writer's token is in the lock, and its writer was let in, no other
 * token's owner was. (A reader's may be there for the moment until its owner has
 * looked.)
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FileError from "./fileError.ts"
import * as Owner from "./owner.ts"
import type { Mode } from "./ticket.ts"

const endings = { exclusive: ".x", shared: ".s" } as const

export const modeOf = (token: string): Mode => token.endsWith(endings.shared) ? "shared" : "exclusive"

/** A token that does not change, and whose owner cannot be looked at, since when: milliseconds of our own clock. */
interface Silence {
  readonly beat: number
  readonly since: number
}

export class PortableLock {
  private readonly fs: FileSystem.FileSystem
  private readonly path: Path.Path
  readonly self: Owner.Owner
  private readonly directoryMode: number
  private readonly fileMode: number
  /** After how long of silence an owner that cannot be looked at is taken to be gone: milliseconds. */
  private readonly silence: number
  private readonly silences = new Map<string, Silence>()
  /** What is in each token: whose it is. */
  private readonly record: string

  constructor(
    fs: FileSystem.FileSystem,
    path: Path.Path,
    self: Owner.Owner,
    directoryMode: number,
    fileMode: number,
    silence: number
  ) {
    this.fs = fs
    this.path = path
    this.self = self
    this.directoryMode = directoryMode
    this.fileMode = fileMode
    this.silence = silence
    this.record = Schema.encodeSync(Owner.Json)(self)
  }

  /** A token of ours, in a directory of its own beside the locks. */
  draft(lock: string, mode: Mode): Effect.Effect<Draft, unknown> {
    const { directoryMode, fileMode, fs, path, record, self } = this
    return Effect.gen(function*() {
      const id = `${self.pid}-${crypto.randomUUID()}`
      const directory = path.join(drafts(path, lock), id)
      const token = id + endings[mode]
      const make = fs.makeDirectory(directory, { mode: directoryMode })
      const makeAll = fs.makeDirectory(drafts(path, lock), { mode: directoryMode }).pipe(
        Effect.catchIf(FileError.isThere, () => Effect.void),
        Effect.zipRight(make)
      )
      yield* Effect.catchIf(make, FileError.isMissing, () => makeAll)
      yield* Effect.onError(
        fs.writeFileString(path.join(directory, token), record, { mode: fileMode }),
        () => Effect.ignore(fs.remove(directory, { recursive: true }))
      )
      return { lock, mode, directory, token }
    })
  }

  discard({ directory }: Draft): Effect.Effect<void> {
    return Effect.ignore(this.fs.remove(directory, { recursive: true, force: true }))
  }

  /** Holds the lock by the token of a draft, if that is possible now. */
  tryHold(draft: Draft): Effect.Effect<boolean, unknown> {
    const once = draft.mode === "exclusive" ? this.tryWrite(draft) : this.tryRead(draft)
    return Effect.flatMap(once, (held) =>
      held
        ? Effect.succeed(true)
        : Effect.flatMap(this.removeGone(draft.lock), (removed) => removed ? once : Effect.succeed(false)))
  }

  private tryWrite({ directory, lock }: Draft): Effect.Effect<boolean, unknown> {
    return this.fs.rename(directory, lock).pipe(
      Effect.as(true),
      Effect.catchIf(FileError.isThere, () => Effect.succeed(false))
    )
  }

  private tryRead({ directory, lock, token }: Draft): Effect.Effect<boolean, unknown> {
    const { directoryMode, fileMode, fs, path, record } = this
    const [draft, held] = [path.join(directory, token), path.join(lock, token)]
    const isAlone = Effect.map(
      this.tokens(lock),
      (tokens) => tokens.includes(token) && tokens.every((token) => modeOf(token) === "shared")
    )
    return Effect.gen(function*() {
      yield* Effect.catchIf(fs.makeDirectory(lock, { mode: directoryMode }), FileError.isThere, () => Effect.void)
      if (!(yield* isDone(fs.rename(draft, held)))) return false
      if (yield* Effect.onError(isAlone, () => Effect.ignore(fs.remove(held)))) {
        yield* Effect.ignore(fs.remove(directory, { recursive: true }))
        return true
      }
      // The lock may have been removed, with all that is in it.
      if (!(yield* isDone(fs.rename(held, draft)))) yield* fs.writeFileString(draft, record, { mode: fileMode })
      return false
    })
  }

  /** Takes the token away; `false` when it was not there any more. */
  release({ lock, token }: Draft): Effect.Effect<boolean, unknown> {
    return isDone(this.fs.remove(this.path.join(lock, token)))
  }

  /** Says that its owner is alive; `false` when the token is not there any more. */
  beat({ lock, token }: Draft): Effect.Effect<boolean, unknown> {
    const now = new Date()
    return isDone(this.fs.utimes(this.path.join(lock, token), now, now))
  }

  /** A writer becomes a reader. */
  downgrade(held: Draft): Effect.Effect<Draft, unknown> {
    const token = held.token.slice(0, -endings.exclusive.length) + endings.shared
    const { lock } = held
    return Effect.as(
      this.fs.rename(this.path.join(lock, held.token), this.path.join(lock, token)),
      { ...held, mode: "shared" as const, token }
    )
  }

  /** Takes the whole lock away, which its writer may do. */
  remove(lock: string): Effect.Effect<void, unknown> {
    const away = this.path.join(drafts(this.path, lock), `${this.self.pid}-${crypto.randomUUID()}`)
    return Effect.zipRight(this.fs.rename(lock, away), this.fs.remove(away, { recursive: true }))
  }

  tokens(lock: string): Effect.Effect<ReadonlyArray<string>, unknown> {
    return Effect.catchIf(this.fs.readDirectory(lock), FileError.isMissing, () => Effect.succeed([]))
  }

  /** Who a token belongs to, unless it is gone meanwhile. */
  ownerOf(lock: string, token: string): Effect.Effect<Owner.Owner | undefined, unknown> {
    return Effect.flatMap(
      Effect.option(this.fs.readFileString(this.path.join(lock, token))),
      Option.match({
        onNone: () => Effect.succeed(undefined),
        onSome: (text) => Effect.orElseSucceed(Schema.decode(Owner.Json)(text), () => undefined)
      })
    )
  }

  /** Removes the tokens whose owners are gone; was there one? */
  private removeGone(lock: string): Effect.Effect<boolean, unknown> {
    return Effect.flatMap(this.tokens(lock), (tokens) => {
      const here = new Set(tokens)
      for (const token of this.silences.keys()) {
        if (token.startsWith(lock) && !here.has(this.path.basename(token))) this.silences.delete(token)
      }
      return Effect.reduce(tokens, false, (removed, token) =>
        Effect.flatMap(this.isGone(lock, token), (gone) =>
          gone
            ? Effect.map(isDone(this.fs.remove(this.path.join(lock, token))), (done) => removed || done)
            : Effect.succeed(removed)))
    })
  }

  private isGone(lock: string, token: string): Effect.Effect<boolean, unknown> {
    return Effect.flatMap(this.ownerOf(lock, token), (owner) =>
      Effect.flatMap(
        owner === undefined ? Effect.succeed("unknown" as const) : Owner.look(this.fs, this.self, owner),
        (seen) => seen === "unknown" ? this.isSilent(this.path.join(lock, token)) : Effect.succeed(seen === "gone")
      ))
  }

  /** Has the token not changed for long? Only our own clock is asked: that of the owner may say anything. */
  private isSilent(token: string): Effect.Effect<boolean, unknown> {
    return Effect.map(Effect.option(this.fs.stat(token)), (stat) => {
      if (Option.isNone(stat)) return false
      const beat = Option.match(stat.value.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
      const known = this.silences.get(token)
      const now = performance.now()
      if (known === undefined || known.beat !== beat) {
        this.silences.set(token, { beat, since: now })
        return false
      }
      return now - known.since >= this.silence
    })
  }

  /** Removes drafts that owners left who are gone. */
  sweep(lockPath: string): Effect.Effect<void> {
    const { fs, path, self } = this
    const all = path.join(lockPath, draftsName)
    return Effect.gen(this, function*() {
      for (const name of yield* fs.readDirectory(all)) {
        const draft = path.join(all, name)
        const tokens = yield* this.tokens(draft)
        const owners = yield* Effect.forEach(tokens, (token) => this.ownerOf(draft, token))
        const seen = yield* Effect.forEach(
          owners,
          (owner) => owner === undefined ? Effect.succeed("unknown" as const) : Owner.look(fs, self, owner)
        )
        if (seen.length > 0 && seen.every((seen) => seen === "gone")) yield* fs.remove(draft, { recursive: true })
      }
    }).pipe(Effect.ignore)
  }
}

/** A token, and where it waits to be let in. */
export interface Draft {
  readonly lock: string
  readonly mode: Mode
  readonly directory: string
  readonly token: string
}

/** No lock has this name: a name of a lock ends otherwise. */
const draftsName = ".drafts"

const drafts = (path: Path.Path, lock: string) => path.join(path.dirname(lock), draftsName)

/** Is it done, and not in vain because a file is not there? */
const isDone = (effect: Effect.Effect<void, unknown>): Effect.Effect<boolean, unknown> =>
  Effect.catchIf(Effect.as(effect, true), FileError.isMissing, () => Effect.succeed(false))

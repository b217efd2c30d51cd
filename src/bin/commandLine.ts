/** The command line of `effect-locks`, and what it says about itself. */
import * as Args from "@effect/cli/Args"
import * as Cli from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { FileLock } from "../FileLock.ts"
import type { LockOptions } from "../LockOptions.ts"
import { LockRegistry } from "../LockRegistry.ts"
import { misused } from "./failure.ts"
import * as Location from "./location.ts"
import { isTerminal } from "./output.ts"
import { print } from "./print.ts"
import { run } from "./run.ts"
import type { Signals } from "./signals.ts"
import { look, type Status } from "./status.ts"
import * as WaitTime from "./waitTime.ts"
import { changes, text, watch as watching } from "./watch.ts"

const lockPath = Options.text("lock-path").pipe(
  Options.withPseudoName("DIR"),
  Options.withDescription("Where the lock files are. By default the value of OSLO_LOCK_PATH."),
  Options.optional
)
const prefix = Options.text("prefix").pipe(
  Options.withPseudoName("P"),
  Options.withDescription("The prefix of the lock's name, as lock_file_prefix of oslo."),
  Options.optional
)
const where = { lockPath, prefix }

const patience = {
  noWait: Options.boolean("no-wait").pipe(
    Options.withAlias("n"),
    Options.withDescription("Gives up at once, with exit code 75, when the lock is busy.")
  ),
  timeout: Options.text("timeout").pipe(
    Options.withAlias("w"),
    Options.withPseudoName("TIME"),
    Options.withDescription("Gives up after that time, with exit code 75: 10s, 500ms, 2m, 1h, or seconds."),
    Options.mapEffect((text) =>
      Option.match(WaitTime.parse(text), {
        onNone: () =>
          Effect.fail(ValidationError.invalidValue(
            HelpDoc.p(
              `--timeout ${JSON.stringify(text)} is no time; give one such as 10s, 500ms, 2m, 1h or "10 seconds"`
            )
          )),
        onSome: Effect.succeed
      })
    ),
    Options.optional
  )
}

interface Given {
  readonly prefix: Option.Option<string>
  readonly noWait: boolean
  readonly timeout: Option.Option<Duration.Duration>
}

const optionsOf = ({ noWait, prefix, timeout }: Given) => ({
  prefix: Option.getOrUndefined(prefix),
  blocking: !noWait,
  timeout: Option.getOrUndefined(timeout)
})

const locks = (lockPath: string) => Layer.merge(LockRegistry.layer, FileLock.layer({ lockPath }))

const name = Args.text({ name: "name" }).pipe(Args.withDescription("The name of the lock."))

/** The command line takes for an operand whatever it does not know, so a misspelt option too. */
const checkOptions = (operands: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const option = operands.find((operand) => operand.startsWith("-"))
    return option === undefined
      ? Effect.void
      : Effect.fail(misused(`there is no option ${option} here, or its value is missing`))
  })

const example = (name: string, command: ReadonlyArray<string>) => `effect-locks run ${name} -- ${command.join(" ")}`

/** `after` is what stands behind `--`, if that is there. */
export const commandLine = (signals: Signals, after: ReadonlyArray<string> | undefined) => {
  const withoutCommand = Effect.suspend(() =>
    after === undefined ? Effect.void : Effect.fail(misused(`nothing stands behind "--" here`))
  )

  const running = Cli.make(
    "run",
    {
      ...where,
      ...patience,
      shared: Options.boolean("shared").pipe(
        Options.withAlias("s"),
        Options.withDescription("Shares the lock with others that share it.")
      ),
      name,
      others: Args.repeated(
        Args.text({ name: "-- command" }).pipe(
          Args.withDescription("The command and its arguments, which are left as they are.")
        )
      )
    },
    ({ name, others, shared, ...given }) =>
      Effect.gen(function*() {
        yield* checkOptions([name, ...others])
        if (others.length > 0) return yield* misused(`put the command behind "--": ${example(name, others)}`)
        const [command, ...args] = after ?? []
        if (command === undefined) {
          return yield* misused(`there is no command; put it behind "--": ${example(name, ["ls", "-l"])}`)
        }
        signals.listen()
        const lockPath = yield* Location.lockPath(given.lockPath)
        const options: LockOptions = { ...optionsOf(given), mode: shared ? "shared" : "exclusive" }
        yield* Effect.provide(run(name, options, [command, ...args], signals), locks(lockPath))
      })
  ).pipe(Cli.withDescription("Runs a command while holding a lock."))

  const status = Cli.make(
    "status",
    {
      ...where,
      watch: Options.boolean("watch").pipe(
        Options.withDescription(
          "Goes on, until it is interrupted; redraws on a terminal, elsewhere prints what has changed."
        )
      ),
      json: Options.boolean("json").pipe(
        Options.withDescription("Prints a JSON document; with --watch one on each line.")
      )
    },
    ({ json, prefix, watch, ...given }) =>
      Effect.gen(function*() {
        yield* withoutCommand
        const now = look(yield* Location.lockPath(given.lockPath), Option.getOrUndefined(prefix))
        const document = (status: Status) => `${JSON.stringify(status)}\n`
        if (watch) {
          // The cursor is to be seen again. Otherwise whoever does not read is no reason not to end.
          if (!json && isTerminal(1)) signals.listen()
          return yield* json ? changes(now, document) : watching(now)
        }
        yield* Effect.flatMap(now, (status) => print(json ? document(status) : text(status)))
      })
  ).pipe(Cli.withDescription("Prints who holds the lock files. It takes no lock and makes nothing."))

  const removing = Cli.make(
    "remove",
    { ...where, ...patience, name },
    ({ name, ...given }) =>
      Effect.gen(function*() {
        yield* checkOptions([name])
        yield* withoutCommand
        const lockPath = yield* Location.lockPath(given.lockPath)
        const file = yield* Location.file(lockPath, Option.getOrUndefined(given.prefix), name)
        const removed = Effect.flatMap(FileLock, (files) => files.remove(name, optionsOf(given)))
        if (yield* Location.exists(file)) yield* Effect.provide(removed, locks(lockPath))
      })
  ).pipe(Cli.withDescription("Removes a lock file, if there is one, after having taken its lock."))

  const path = Cli.make(
    "path",
    { ...where, name },
    ({ name, prefix, ...given }) =>
      Effect.gen(function*() {
        yield* checkOptions([name])
        yield* withoutCommand
        const lockPath = yield* Location.lockPath(given.lockPath)
        yield* print(`${yield* Location.file(lockPath, Option.getOrUndefined(prefix), name)}\n`)
      })
  ).pipe(Cli.withDescription("Prints the path of a lock file. It makes nothing."))

  return Cli.make("effect-locks", {}, () => Effect.fail(misused("give a command: run, status, remove or path"))).pipe(
    Cli.withSubcommands([running, status, removing, path])
  )
}

const codes: ReadonlyArray<readonly [code: string, meaning: string]> = [
  ["0", "it went well; of run, whatever the command exits with"],
  ["64", "wrong usage"],
  ["70", "a mistake in effect-locks itself"],
  ["73", "the lock file cannot be made or locked"],
  ["74", "the output cannot be written"],
  ["75", "the lock is busy, or was not free in time"],
  ["76", "the lock was lost while the command ran, which was told to end"],
  ["77", "no permission to use the lock file"],
  ["78", "there is no lock path, or it is not fit for locks"],
  ["126", "the command cannot be run"],
  ["127", "the command was not found"],
  ["128+n", "signal n has ended the command, or the wait for the lock"]
]

export const exitCodes = HelpDoc.sequence(
  HelpDoc.h1("EXIT CODES"),
  HelpDoc.p(codes.map(([code, meaning]) => `${code.padEnd(7)}${meaning}`).join("\n"))
)

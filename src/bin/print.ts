/** What is asked for goes to the output, and what is said about it to the other one. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Code from "./exitCode.ts"
import { type Ended, ended } from "./failure.ts"
import { hasColor, isCode, plain, say, write } from "./output.ts"

/** Prints; fails without a word when nobody reads any more. */
export const print = (text: string): Effect.Effect<void, Ended> =>
  Effect.try({
    try: () => write(1, text),
    catch: (error) =>
      isCode(error, "EPIPE")
        ? ended(Code.nobodyReads)
        : ended(Code.cannotWrite, `cannot write the output: ${String(error)}`)
  })

/** The command line always writes its help in colours, and a space or a line too many. */
const printDoc = (text: unknown = ""): Effect.Effect<void> => {
  const doc = String(text).replace(/ +$/gm, "").trimEnd()
  return Effect.orDie(print(`${hasColor(1) ? doc : plain(doc)}\n`))
}

/** Runs the command line. Who makes an exit code of its errors prints them. */
export const printing = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) => Effect.withConsole(self, { ...console, log: printDoc, error: () => Effect.void }))

/** What `--log-level` asks for. */
export const logger: Layer.Layer<never> = Layer.merge(
  Logger.replace(Logger.defaultLogger, Logger.map(Logger.logfmtLogger, say)),
  Logger.minimumLogLevel(LogLevel.None)
)

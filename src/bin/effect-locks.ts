/** Locks between processes, on the command line. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Cli from "@effect/cli/Command"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import { commandLine, exitCodes } from "./commandLine.ts"
import * as Code from "./exitCode.ts"
import * as Failure from "./failure.ts"
import { noTerminal } from "./noTerminal.ts"
import { logger, printing } from "./print.ts"
import { Signals } from "./signals.ts"

declare const VERSION: string

const given = process.argv.slice(2)
process.title = ["effect-locks", ...given].join(" ")

const dashes = given.indexOf("--")
const [mine, after] = dashes === -1 ? [given, undefined] : [given.slice(0, dashes), given.slice(dashes + 1)]

const signals = new Signals(() => fiber.unsafeInterruptAsFork(FiberId.none))

const services = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  mine.includes("--wizard") ? NodeTerminal.layer : noTerminal,
  CliConfig.layer({ isCaseSensitive: true }),
  logger
)

const program = Cli.run(commandLine(signals, after), {
  name: "effect-locks",
  version: VERSION,
  executable: "effect-locks",
  footer: exitCodes
})(["node", "effect-locks", ...mine])

const fiber = Effect.runFork(Effect.provide(printing(program), services))

fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(0)
  if (signals.first !== undefined && Cause.isInterruptedOnly(exit.cause)) process.exit(Code.ofSignal(signals.first))
  const { code, text } = Failure.of(exit.cause)
  if (text !== undefined) Failure.complain(text)
  process.exit(code)
})

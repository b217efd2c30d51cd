import * as Terminal from "@effect/platform/Terminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const nobody = Effect.dieMessage("nobody is asked anything")

/** Of who asks nobody anything. That of Node makes the input non-blocking, which is the command's too. */
export const noTerminal: Layer.Layer<Terminal.Terminal> = Layer.succeed(Terminal.Terminal, {
  columns: Effect.succeed(0),
  rows: Effect.succeed(0),
  isTTY: Effect.succeed(false),
  readInput: nobody,
  readLine: nobody,
  display: () => nobody
})

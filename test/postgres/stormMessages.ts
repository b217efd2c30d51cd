/** What the processes of a storm are told, and what they say. */
import type { Outcome, Part } from "./stormRegister.ts"

export type Kind = "session" | "lease"

export interface Work {
  readonly kind: Kind
  readonly url: string
  readonly application: string
  /** Milliseconds. */
  readonly silence: number
  readonly seed: number
  readonly keys: ReadonlyArray<string>
  /** How many grants each fiber has to have. */
  readonly remaining: ReadonlyArray<number>
}

export type Message =
  /** To be answered with the number. */
  | { readonly is: "enter"; readonly number: number; readonly grant: string; readonly parts: ReadonlyArray<Part> }
  | { readonly is: "write"; readonly number: number; readonly grant: string }
  | { readonly is: "leave"; readonly number: number; readonly grant: string; readonly writes: boolean }
  /** The rest is news. */
  | { readonly is: "asks"; readonly fiber: number; readonly what: string }
  | { readonly is: "ended"; readonly grant: string; readonly outcome: Outcome }
  | { readonly is: "done"; readonly fiber: number }
  | { readonly is: "met"; readonly what: string }
  | { readonly is: "complaint"; readonly text: string }

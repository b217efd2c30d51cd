/** What the processes of two hosts are told, and what they say. */
import type { Kind } from "./stormMessages.ts"

export interface Terms {
  readonly kind: Kind
  readonly url: string
  readonly application: string
  /** Milliseconds. */
  readonly silence: number
}

/** Hold a lock until it is let go, under an `id` of its own. */
export type Command =
  | { readonly hold: string; readonly key: string }
  | { readonly letGo: string }

/**
 * `at` is nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share. `told` is when the holder got `LockLost`, its
 * body being over by then; `failed` has the tag of another error.
 */
export interface Saying {
  readonly id: string
  readonly is: "asks" | "granted" | "told" | "ended" | "failed"
  readonly at: string
  readonly text: string
}

export const ready = "ready"

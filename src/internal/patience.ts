/** How long a request is ready to wait: not at all, for a time, or for ever, behind how many others. */
import type * as Duration from "effect/Duration"

export interface Patience {
  readonly blocking: boolean
  readonly timeout: Duration.Duration | undefined
  readonly maxWaiting: number
}

export const forEver: Patience = { blocking: true, timeout: undefined, maxWaiting: Infinity }

export const atOnce: Patience = { blocking: false, timeout: undefined, maxWaiting: Infinity }

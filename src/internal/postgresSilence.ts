/**
 * How long a server and its sessions wait for each other.
 *
 * The server gives up a client `server` milliseconds after it was last heard of.
 * The client says something when it has heard nothing for `heartbeat`, and gives
 * up when there is no answer within `patience`; it looks every `tick`. So it
 * gives up within heartbeat + patience + 2 ticks = 0.8 of the time after which
 * the server frees its locks for others.
 */
import * as Duration from "effect/Duration"
import { misuse } from "./misuse.ts"

/** All milliseconds. */
export interface Silence {
  readonly server: number
  readonly heartbeat: number
  readonly patience: number
  readonly tick: number
}

/** The part of the server's patience after which a holder has been told at the latest. */
export const toldWithin = 0.8

/** The settings of the server count seconds. */
const shortest = 2000

const longest = 2 ** 31 - 1

export const defaultSilence: Duration.DurationInput = "10 seconds"

export const make = (silence: Duration.DurationInput): Silence => {
  const server = Duration.toMillis(silence)
  if (!(server >= shortest && server <= longest)) {
    throw misuse(`PostgresLock: silence must be from 2 seconds to 24 days, not ${Duration.format(silence)}`)
  }
  return { server, heartbeat: server * 0.2, patience: server * 0.5, tick: server * 0.05 }
}

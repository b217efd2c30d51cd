/**
 * What a command exits with when that is not the code of the command that it ran:
 * numbers of sysexits(3), and those that shells use.
 */
import { constants } from "node:os"

export const usage = 64
/** A mistake in the program itself. */
export const bug = 70
/** The lock file cannot be made or locked. */
export const cannotLock = 73
export const cannotWrite = 74
export const notAcquired = 75
export const lost = 76
export const denied = 77
export const misconfigured = 78
export const cannotRun = 126
export const notFound = 127
/** As if killed by SIGPIPE, which Windows has not: nobody reads the output any more. */
export const nobodyReads = 141

export const ofSignal = (signal: NodeJS.Signals): number => 128 + constants.signals[signal]

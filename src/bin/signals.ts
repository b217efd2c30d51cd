/**
 * Signals that ask a process to do something. Whoever stands in for a command is
 * asked in its place, and passes them on.
 *
 * Not those that stop, continue and resize: what a terminal sends of them goes to
 * the command too, and the rest is the business of who sent it.
 */
import { readFileSync } from "node:fs"
import { isatty } from "node:tty"

const heard = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const

type Receiver = (signal: NodeJS.Signals) => void

export class Signals {
  private receiver: Receiver
  private received: NodeJS.Signals | undefined
  constructor(receiver: Receiver) {
    this.receiver = receiver
  }
  /** From now on signals do nothing but what the receiver of the moment does. Before, they end the process. */
  listen(): void {
    for (const signal of heard) {
      process.on(signal, () => {
        this.received ??= signal
        this.receiver(signal)
      })
    }
  }
  /** The first that came. */
  get first(): NodeJS.Signals | undefined {
    return this.received
  }
  goTo(receiver: Receiver): void {
    this.receiver = receiver
  }
}

/**
 * Does the terminal itself send Ctrl-C and Ctrl-\ to this process, and so to the
 * command, which is of the same group? Programs that take a second Ctrl-C for
 * impatience would take one for two if it were passed on as well.
 */
const isInForeground = (): boolean => {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8")
    const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return terminal !== "0" && group === foreground
  } catch {
    return [0, 1, 2].some(isatty)
  }
}

/** Has whoever sent it sent it to the command as well? */
export const isSentToAll = (signal: NodeJS.Signals): boolean =>
  (signal === "SIGINT" || signal === "SIGQUIT") && isInForeground()

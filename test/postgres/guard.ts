/** Cleaning up after a test process that was killed, which cannot do so itself. */
import { spawn } from "node:child_process"
import type { Socket } from "node:net"

/**
 * A shell that runs a script as soon as this process has ended in any way, or lets it. It finds the last line that it
 * was told in `$last`.
 */
export class Guard {
  private readonly input: Socket | undefined

  constructor(script: string, ...args: ReadonlyArray<string>) {
    if (process.platform === "win32") return
    const waiting = "last=; while read -r line; do last=$line; done; "
    // In a session of its own, so that what ends the group of this process does not end it as well.
    const shell = spawn("sh", ["-c", waiting + script, "sh", ...args], {
      cwd: "/",
      detached: true,
      stdio: ["pipe", "ignore", "ignore"]
    })
    shell.unref()
    this.input = shell.stdin as Socket
    this.input.on("error", () => {})
    this.input.unref()
  }

  tell(line: string): void {
    this.input?.write(`${line}\n`)
  }

  end(): void {
    this.input?.end()
  }
}

/** Ends the process whose number was told last, if any, and removes the directory. */
export const processIn = (directory: string): Guard =>
  new Guard(
    "if [ -n \"$last\" ]; then kill -QUIT \"$last\"; sleep 1; kill -KILL \"$last\"; fi; rm -rf \"$1\"",
    directory
  )

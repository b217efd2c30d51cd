/**
 * A long storm, watched: npm run storm -- --minutes 10 [--portable]
 */
import { type Progress, run } from "./storm.ts"

const argument = (name: string): string | undefined => {
  const at = process.argv.indexOf(name)
  return at < 0 ? undefined : process.argv[at + 1]
}

const minutes = Number(argument("--minutes") ?? 1)
if (!(minutes > 0)) {
  console.error("usage: npm run storm -- [--minutes N] [--portable]")
  process.exit(2)
}
const kind = process.argv.includes("--portable") ? "portable" : "kernel"

const line = ({ alive, counted, kills, python, removals, seconds }: Progress) =>
  `${seconds.toFixed(0).padStart(4)} s   ${alive} processes${python ? " and Python" : ""}   ` +
  `${counted} counted (${(counted / seconds).toFixed(0)}/s)   ${kills} holders killed   ${removals} removals`

let shown = 0
const show = (progress: Progress) => {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${line(progress)}`)
  else if (progress.seconds - shown >= 10) {
    shown = progress.seconds
    console.log(line(progress))
  }
}

const result = await run({ kind, processes: 8, seconds: minutes * 60, kills: 20, removals: 20, killEvery: 400 }, show)
if (process.stdout.isTTY) process.stdout.write("\n")
console.log(line(result))
const shares = Array.from(result.byProcess.values()).sort((a, b) => b - a)
console.log(
  `counted twice: ${result.twice}   counted by a process that was killed before it wrote so: ${result.missing}   ` +
    `stuck: ${result.stuck}   free: ${result.free ? "yes" : "NO"}   leftover: ${
      result.leftover.join(", ") || "nothing"
    }`
)
console.log(`the most that one process counted: ${shares[0]}, of ${shares.length} processes`)
for (const complaint of result.complaints.slice(0, 10)) console.error(complaint)
process.exit(result.twice > 0 || result.stuck > 0 || !result.free || result.complaints.length > 0 ? 1 : 0)

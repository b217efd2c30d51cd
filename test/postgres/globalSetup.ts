/** One PostgreSQL server for all test files of a run. */
import type { TestProject } from "vitest/node"
import { find, type Missing } from "./binaries.ts"
import { type Server, start } from "./server.ts"

/** Of the shared server: a test file should make a database of its own, as advisory locks are apart in each. */
export type Postgres = { readonly url: string; readonly port: number } | Missing

declare module "vitest" {
  export interface ProvidedContext {
    postgres: Postgres
  }
}

const started = async (): Promise<Server | Missing> => {
  const found = await find()
  if ("missing" in found) return found
  // The workers look no further.
  process.env["POSTGRES_BIN"] = found.bin
  try {
    return await start()
  } catch (error) {
    // Windows has refused administrators, whom CI likes to be.
    if (process.platform === "win32") return { missing: String(error) }
    throw error
  }
}

export default async (project: TestProject): Promise<(() => Promise<void>) | void> => {
  const server = await started()
  if (!("missing" in server)) {
    project.provide("postgres", { url: server.url(), port: server.port })
    return () => server.remove()
  }
  // npm has one for wherever CI runs.
  if (process.env["CI"] && process.platform !== "win32") throw new Error(`PostgreSQL is missing: ${server.missing}`)
  // eslint-disable-next-line no-console
  console.log(`skipped: PostgreSQL is missing: ${server.missing}`)
  project.provide("postgres", server)
}

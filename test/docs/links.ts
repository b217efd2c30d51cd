/** The links of the README and of the guides, and the files of ours that they speak of. */
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")
const read = (file: string) => readFileSync(path.join(root, file), "utf8")

const withoutCode = (markdown: string) => markdown.replaceAll(/^```[\s\S]*?^```$/gm, "")

/** The anchors of a page, as GitHub makes them from its headings. */
const anchorsOf = (file: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading] of withoutCode(read(file)).matchAll(/^#+ (.*)$/gm)) {
    const text = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
    const anchor = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-")
    let next = anchor
    for (let i = 1; anchors.has(next); i++) next = `${anchor}-${i}`
    anchors.add(next)
  }
  return anchors
}

/** Why a link of `page` leads nowhere, if it does. */
const objection = (page: string, link: string): string | undefined => {
  if (/^[a-z]+:/.test(link)) return undefined
  const [to, anchor] = link.split("#")
  const file = to === "" ? page : path.join(path.dirname(page), to!)
  if (!existsSync(path.join(root, file))) return `${page}: there is no ${file}`
  return anchor === undefined || anchorsOf(file).has(anchor) ? undefined : `${page}: ${file} has no #${anchor}`
}

/** In the root, or in one of the rooms of the library. */
const exists = (file: string) =>
  ["", "docs", "src", "src/internal", "src/bin"].some((directory) => existsSync(path.join(root, directory, file)))

/** What of `page` leads nowhere. */
export const broken = (page: string): ReadonlyArray<string> => {
  const text = withoutCode(read(page))
  return [
    ...Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => objection(page, link!) ?? []),
    ...Array.from(
      text.replaceAll(/\[[^\]]*\]\(/g, "").matchAll(/`([\w/.-]+\.ts)`/g),
      ([, file]) => exists(file!) ? [] : `${page}: there is no ${file}`
    )
  ].flat()
}

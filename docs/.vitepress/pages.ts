/**
 * Lays out the pages of the site in build/pages: the README, every guide in
 * docs, what else is written at the top, and the API reference that docgen wrote.
 * There is no list of them: their order is that of the table in which the README lists them.
 *
 * Links work here as they do on GitHub: those to a page lead to the page, those to
 * any other file to the repository, and one to nothing ends this with an error.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"

interface Page {
  /** Where it is in the repository. */
  readonly source: string
  /** Where it is on the site. */
  readonly target: string
  readonly text: string
}

const root = path.resolve(import.meta.dirname, "../..")
// Here the pages find vue, of which VitePress would else put a link into whatever node_modules is above them.
const out = path.join(import.meta.dirname, "build/pages")
const read = (file: string) => readFileSync(path.join(root, file), "utf8")
const filesOf = (directory: string, pattern: RegExp) =>
  readdirSync(path.join(root, directory)).filter((file) => pattern.test(file))

const { description, name, repository } = JSON.parse(read("package.json"))
const repositoryUrl = repository.url.replace(/^git\+|\.git$/g, "")

const readme = read("README.md")
const titleOf = ({ text }: Page) => text.match(/^# (.+)$/m)?.[1] ?? ""
const rows = Array.from(readme.matchAll(/^\| \[[^\]]+\]\(([^)]+)\) \|/gm), ([, file]) => file)
const row = ({ source }: Page) => rows.includes(source) ? rows.indexOf(source) : rows.length
const inOrder = (pages: ReadonlyArray<Page>) =>
  [...pages].sort((a, b) => row(a) - row(b) || a.source.localeCompare(b.source))

/** The README without its title: the front page has that in large. */
const front: Page = {
  source: "README.md",
  target: "index.md",
  text: readme.replace(/^# .+\n/, "")
}

const guides = inOrder(
  filesOf("docs", /\.md$/).map((file) => ({ source: `docs/${file}`, target: file, text: read(`docs/${file}`) }))
)

const project = inOrder(
  filesOf(".", /^(?!README).*\.md$/).map((file) => ({ source: file, target: file.toLowerCase(), text: read(file) }))
)

/** Docgen writes for another generator, which has front matter of its own and no outline. */
const fromDocgen = (text: string): string => {
  const body = text.replace(/^\*\*\*[\s\S]*?\n---\n/, "")
  const [overview = "", ...categories] = body.split(/^# /m)
  const [, module = "", about = ""] = overview.match(/## (.+) overview\n([\s\S]*?)\n---\n/) ?? []
  // A category is one level below the module, and what is exported one below that.
  const below = categories.map((category) => `## ${category.replaceAll(/^#+ /gm, (marks) => `#${marks}`)}`)
  return `# ${module}\n${about}\n${below.join("")}`
}

const reference = filesOf("build/modules", /^(?!index\.).*\.ts\.md$/).map((file): Page => ({
  source: `build/modules/${file}`,
  target: `api/${file.replace(".ts.md", ".md")}`,
  text: fromDocgen(read(`build/modules/${file}`))
}))
if (reference.length === 0) throw new Error("docgen has written no API reference")

const aboutOf = ({ text }: Page) => text.match(/^# .+\n+([\s\S]*?)\n\n/)?.[1]?.replaceAll("\n", " ") ?? ""
const index: Page = {
  source: "build/modules/index.md",
  target: "api/index.md",
  text: [
    "# API reference",
    `Everything below is exported by \`${name}\`, except for \`KernelLock\` and \`PostgresLock\`; each module also by its path, such as \`${name}/Lock\`.`,
    [
      "| module | |",
      "|---|---|",
      ...reference.map((page) => `| [${titleOf(page)}](${path.posix.basename(page.target)}) | ${aboutOf(page)} |`)
    ].join("\n")
  ].join("\n\n")
}

const pages = [front, ...guides, ...project, ...reference, index]

const linkFrom = (page: Page, link: string): string => {
  if (/^(https?:|mailto:|#)/.test(link)) return link
  const [file = "", anchor] = link.split("#")
  const source = path.posix.join(path.posix.dirname(page.source), file)
  // The API reference links within itself.
  const target = pages.find((other) => other.source === source) ??
    pages.find((other) => other.target === path.posix.join(path.posix.dirname(page.target), file))
  const hash = anchor === undefined ? "" : `#${anchor}`
  if (target !== undefined) {
    return `./${path.posix.relative(path.posix.dirname(page.target), target.target)}${hash}`
  }
  if (!existsSync(path.join(root, source))) throw new Error(`${page.source}: ${link} leads to no file`)
  if (!/\.(svg|png)$/.test(file)) return `${repositoryUrl}/blob/main/${source}${hash}`
  const copy = path.posix.join(path.posix.dirname(page.target), path.posix.basename(file))
  copyFileSync(path.join(root, source), path.join(out, copy))
  return `./${path.posix.basename(file)}`
}

/** What is in a fence is not a link. */
const withLinks = (page: Page): string =>
  page.text.split(/^(```[\s\S]*?^```)/m).map((part, i) =>
    i % 2 === 1 ? part : part.replaceAll(/\]\(([^)\s]+)\)/g, (_, link: string) => `](${linkFrom(page, link)})`)
  ).join("")

const hero = {
  layout: "home",
  hero: {
    name,
    text: description,
    image: { src: "/logo.svg", alt: "" },
    actions: [
      { theme: "brand", text: titleOf(guides[0]!), link: `/${guides[0]!.target}` },
      { theme: "alt", text: "API reference", link: "/api/" },
      { theme: "alt", text: "Source", link: repositoryUrl }
    ]
  }
}

rmSync(out, { recursive: true, force: true })
mkdirSync(path.join(out, "api"), { recursive: true })
mkdirSync(path.join(out, "public"))
copyFileSync(path.join(import.meta.dirname, "logo.svg"), path.join(out, "public/logo.svg"))
for (const page of pages) {
  // JSON is YAML.
  const frontMatter = page === front ? `---\n${JSON.stringify(hero)}\n---\n` : ""
  writeFileSync(path.join(out, page.target), frontMatter + withLinks(page))
}

const items = (pages: ReadonlyArray<Page>) => pages.map((page) => ({ text: titleOf(page), link: `/${page.target}` }))
writeFileSync(
  path.join(out, "../site.json"),
  JSON.stringify({
    name,
    description,
    repositoryUrl,
    sidebar: [
      { text: "Guides", items: items(guides) },
      { text: "API reference", link: "/api/", items: items(reference) },
      { text: "Project", items: items(project) }
    ]
  })
)
console.log(`${pages.length} pages`)

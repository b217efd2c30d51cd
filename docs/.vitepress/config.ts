import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"

const pathOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const { description, name, repositoryUrl, sidebar } = JSON.parse(readFileSync(pathOf("build/site.json"), "utf8"))

/** As GitHub does, so that a link to a heading works there too. */
const slugify = (heading: string) =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "").replaceAll(" ", "-")

export default defineConfig({
  title: name,
  description,
  lang: "en",
  srcDir: pathOf("build/pages"),
  outDir: pathOf("../../build/site/html"),
  cacheDir: pathOf("build/cache"),
  head: [["link", { rel: "icon", href: "/logo.svg", type: "image/svg+xml" }]],
  markdown: { anchor: { slugify } },
  themeConfig: {
    logo: "/logo.svg",
    nav: [
      { text: "Guides", link: sidebar[0].items[0].link, activeMatch: "^/(?!api/)" },
      { text: "API reference", link: "/api/", activeMatch: "^/api/" }
    ],
    sidebar,
    outline: { level: [2, 3] },
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: repositoryUrl }],
    docFooter: { prev: "Before", next: "Next" }
  }
})

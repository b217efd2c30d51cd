/**
 * Looks at every page of the built site in a browser: nothing on the console, no
 * request that fails or leaves the site, no link to nothing, nothing wider than a
 * phone, and a search that finds. Leaves screenshots in build/site/screenshots.
 */
import { readdirSync, rmSync } from "node:fs"
import * as path from "node:path"
import type { Page } from "playwright-core"
import { launch } from "./browser.ts"
import { serve } from "./server.ts"

const site = path.resolve(import.meta.dirname, "../../build/site")
const html = path.join(site, "html")
const desktop = { width: 1280, height: 900 }
const phone = { width: 390, height: 844 }

const browser = await launch().catch((error: unknown) => {
  const why = error instanceof Error ? error.message : String(error)
  if (process.env.CI !== undefined) {
    console.error(`FAILED: there is no browser, and CI must look at the site: ${why}`)
    process.exit(1)
  }
  console.log(`skipped: there is no browser; install Chromium, or set CHROME_PATH: ${why}\n1 check skipped`)
  process.exit(0)
})
const { close, origin } = await serve(html)

const failures = new Set<string>()
const page = await browser.newPage({ viewport: desktop, deviceScaleFactor: 1 })
const here = () => page.url().slice(origin.length)
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) failures.add(`${here()}: console: ${message.text()}`)
})
page.on("pageerror", (error) => failures.add(`${here()}: ${error.message}`))
page.on("requestfailed", (request) => {
  const why = request.failure()?.errorText
  // What was still on its way, and no longer wanted, when the next page was opened.
  if (why !== "net::ERR_ABORTED") failures.add(`${here()}: ${request.url()} failed: ${why}`)
})
page.on("response", (response) => {
  if (response.status() >= 400) failures.add(`${here()}: ${response.url()} is ${response.status()}`)
})
page.on("request", (request) => {
  const url = request.url()
  if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) failures.add(`${here()}: asks for ${url}`)
})

const files = readdirSync(html, { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll(path.sep, "/"))
  .filter((file) => file.endsWith(".html") && file !== "404.html")
  .sort()

const look = (page: Page) =>
  page.evaluate(() => ({
    ids: Array.from(document.querySelectorAll("[id]"), (element) => element.id),
    links: Array.from(document.querySelectorAll("a[href]"), (link) => (link as HTMLAnchorElement).href),
    headings: document.querySelectorAll("h1").length,
    broken: Array.from(document.images).filter((image) => image.complete && image.naturalWidth === 0).map((i) => i.src),
    wide: document.documentElement.scrollWidth - window.innerWidth
  }))

const seen = new Map<string, { readonly ids: ReadonlySet<string>; readonly links: ReadonlyArray<string> }>()
for (const file of files) {
  const url = `${origin}/${file}`
  await page.goto(url, { waitUntil: "networkidle" })
  const { broken, headings, ids, links } = await look(page)
  if (headings !== 1) failures.add(`/${file}: ${headings} headings of the first level`)
  for (const image of broken) failures.add(`/${file}: ${image} is no image`)
  await page.setViewportSize(phone)
  const { wide } = await look(page)
  await page.setViewportSize(desktop)
  if (wide > 0) failures.add(`/${file}: ${wide} pixels wider than a phone`)
  seen.set(url, { ids: new Set(ids), links })
}

let links = 0
for (const [from, { links: all }] of seen) {
  for (const link of all.filter((link) => link.startsWith(origin))) {
    links++
    const [url = "", anchor = ""] = link.split("#")
    const target = seen.get(url.endsWith("/") ? `${url}index.html` : url)
    const where = `${from.slice(origin.length)}: the link ${link.slice(origin.length)}`
    if (target === undefined) failures.add(`${where} leads to no page`)
    else if (anchor !== "" && !target.ids.has(decodeURIComponent(anchor))) failures.add(`${where} leads to no anchor`)
  }
}

/** Searches as a reader does, from the front page, and follows the first thing that is found. */
const search = async () => {
  await page.goto(`${origin}/`, { waitUntil: "networkidle" })
  await page.getByRole("button", { name: "Search" }).first().click()
  await page.locator("#localsearch-input").fill("withLock")
  await page.locator("#localsearch-list a").first().click()
  await page.waitForURL((url) => url.pathname !== "/")
  await page.getByText("withLock").first().waitFor()
  return here()
}
const found = await search().catch((error: unknown) => failures.add(`the search does not find withLock: ${error}`))

const screenshots = path.join(site, "screenshots")
rmSync(screenshots, { recursive: true, force: true })
for (const file of ["index.html", "file-locks.html", "api/Lock.html"]) {
  for (const [name, viewport] of Object.entries({ desktop, phone })) {
    await page.setViewportSize(viewport)
    await page.goto(`${origin}/${file}`, { waitUntil: "networkidle" })
    await page.screenshot({ path: path.join(screenshots, `${path.basename(file, ".html")}-${name}.png`) })
  }
}

await browser.close()
close()
if (failures.size > 0) {
  console.error(`the site has ${failures.size} faults:`)
  for (const failure of failures) console.error(failure)
  process.exit(1)
}
console.log(`${files.length} pages and ${links} links are right; the search for withLock leads to ${found}`)

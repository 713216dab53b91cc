// A real Chromium, a page on the stub server, and an ear for everything that goes wrong in it.

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";
import { startStub } from "./stub-server.mjs";

const EXECUTABLE = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const SHOTS = process.env.FAREBOX_SHOTS; // a directory, for eyes
const FLAGS = [
  "--no-sandbox", "--disable-background-networking", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-component-update", "--disable-sync",
];

/** How long a test may take in all, and how long it waits for any one thing. */
export const DEADLINE = 30_000;
const PATIENCE = 8_000;

let browser;

export async function launch() {
  browser = await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS, timeout: DEADLINE });
}

export async function shut() {
  await browser?.close();
}

/**
 * Opens the dashboard on a stub of its own and hands both to `use`; closes them afterwards.
 * `faults` collects console errors and warnings, exceptions and failed requests.
 */
export async function withDashboard(options, use) {
  const { stub: changes, path, ...context } = options;
  const stub = await startStub(changes);
  try {
    const address = path === undefined ? stub.link : stub.origin + path;
    await withPage(address, context, ({ page, faults }) => use({ page, stub, faults }));
  } finally {
    await stub.stop();
  }
}

/** Opens an address in a window of its own, and closes it afterwards. */
export async function withPage(address, context, use) {
  const window = await browser.newContext({
    locale: "en-GB", timezoneId: "Europe/Berlin", viewport: { width: 1280, height: 900 }, ...context,
  });
  window.setDefaultTimeout(PATIENCE);
  try {
    const page = await window.newPage();
    const faults = listen(page);
    await page.goto(address);
    await use({ page, faults });
  } finally {
    await window.close();
  }
}

function listen(page) {
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error}`));
  page.on("requestfailed", (request) => faults.push(`failed: ${request.url()}`));
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${response.status()}: ${response.url()}`);
  });
  return faults;
}

/** Waits until `probe()` is true. */
export async function until(probe, what) {
  const end = Date.now() + PATIENCE;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((wake) => setTimeout(wake, 25));
  }
}

/** The text of the first match, spaces collapsed. */
export async function textOf(page, selector) {
  return (await page.locator(selector).first().innerText()).replace(/\s+/g, " ").trim();
}

export async function shot(page, name) {
  if (!SHOTS) return;
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
}

// A million records re-priced in the dashboard's what-if, in Chromium: how long, and how often the bar
// moved. `node benches/whatif/run.mjs [records]`. Figures are in docs/benchmarks.md.

import { createWriteStream, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { launch, shut, withDashboard } from "../../tests/browser/harness.mjs";
import { line } from "./archive.mjs";

const RECORDS = Number(process.argv[2] ?? 1_000_000);
const ROUNDS = 3;
const GOAL_S = 5;
const book = readFileSync(new URL("../../books/default.json", import.meta.url), "utf8");
const folder = mkdtempSync(join(tmpdir(), "farebox-whatif-"));

async function write(path) {
  const file = createWriteStream(path);
  for (let seq = 1; seq <= RECORDS; seq += 1_000) {
    const lines = Array.from({ length: Math.min(1_000, RECORDS - seq + 1) }, (_, at) => `${line(seq + at)}\n`);
    if (!file.write(lines.join(""))) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
}

async function round(page) {
  await page.evaluate(() => {
    window.values = new Set();
    window.watch = new MutationObserver(() => {
      const bar = document.querySelector(".whatif progress");
      if (bar) window.values.add(bar.value);
    });
    window.watch.observe(document.querySelector(".whatif"), { subtree: true, childList: true, attributes: true, characterData: true });
  });
  const ms = await page.evaluate(() => new Promise((resolve) => {
    const start = performance.now();
    document.querySelector(".whatif button[type=submit]").click();
    const begun = () => document.querySelector(".whatif progress") !== null;
    let ran = false;
    const look = () => {
      ran ||= begun();
      if (ran && !begun()) resolve(performance.now() - start);
      else requestAnimationFrame(look);
    };
    look();
  }));
  return { seconds: ms / 1_000, moves: await page.evaluate(() => window.values.size), note: await page.locator(".report .note").first().innerText() };
}

try {
  const [records, terms] = [join(folder, "records.ndjson"), join(folder, "book.json")];
  await write(records);
  writeFileSync(terms, book.replaceAll('"0.6"', '"0.7"'));
  const mib = statSync(records).size / 2 ** 20;
  console.log(`${RECORDS} records, ${mib.toFixed(0)} MiB · ${cpus().length} × ${cpus()[0].model} · load ${loadavg()[0].toFixed(1)} · ${new Date().toISOString()}`);
  await launch();
  await withDashboard({}, async ({ page }) => {
    page.setDefaultTimeout(300_000);
    await page.getByLabel("Usage records (NDJSON)").setInputFiles(records);
    await page.getByLabel("Its file (JSON)").setInputFiles(terms);
    for (let at = 0; at < ROUNDS; at += 1) {
      const { seconds, moves, note } = await round(page);
      console.log(`${seconds.toFixed(2)} s (goal ≤ ${GOAL_S} s: ${seconds <= GOAL_S ? "met" : "MISSED"}), the bar moved ${moves} times: ${note}`);
    }
  });
} finally {
  await shut();
  rmSync(folder, { recursive: true });
}

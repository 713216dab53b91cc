// The what-if box in a real browser, with the real engine in its worker.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { line } from "../../benches/whatif/archive.mjs";
import { DEADLINE, launch, shut, textOf, until, withDashboard } from "./harness.mjs";

before(launch, { timeout: DEADLINE });
after(shut, { timeout: DEADLINE });
const timed = (name, run) => test(name, { timeout: DEADLINE }, run);

const BOOK = readFileSync(new URL("../../books/default.json", import.meta.url), "utf8");
const PLAN = readFileSync(new URL("../../examples/plans/copilot-hybrid.json", import.meta.url), "utf8");
const archive = (records) => Array.from({ length: records }, (_, at) => line(at + 1)).join("\n");
const json = (text) => ({ name: "terms.json", mimeType: "application/json", buffer: Buffer.from(text) });
const ndjson = (text) => ({ name: "records.ndjson", mimeType: "application/x-ndjson", buffer: Buffer.from(text) });

async function fill(page, records, terms, by = "book") {
  await page.getByLabel("Usage records (NDJSON)").setInputFiles(ndjson(records));
  await page.getByLabel("Under another").selectOption(by);
  await page.getByLabel("Its file (JSON)").setInputFiles(json(terms));
}
const price = (page) => page.getByRole("button", { name: "Price it" }).click();
const sums = (page) => page.getByTestId("whatif-sums");

timed("what was charged is what the same book charges, and another book's difference is exact", async () => {
  await withDashboard({}, async ({ page, faults }) => {
    await fill(page, archive(400), BOOK);
    await price(page);
    await sums(page).waitFor();
    assert.equal(await page.locator("[data-testid=whatif-sums] tbody tr:first-child td:last-child data").getAttribute("value"), "0");

    const dearer = BOOK.replace('"0.6"', '"0.7"');
    await fill(page, archive(400), dearer);
    await price(page);
    // 100 records of gpt-4o-mini; a tenth of a dollar more a million tokens of output.
    let tokens = 0;
    for (let seq = 1; seq <= 400; seq++) if (seq % 4 === 0) tokens += 50 + (seq % 700);
    const all = page.locator("[data-testid=whatif-sums] tbody tr:first-child td:last-child data");
    await until(async () => (await all.getAttribute("value")) !== "0", "the second report");
    assert.equal(Number(await all.getAttribute("value")), tokens / 1e7);
    await page.getByText("The first 50 records that differ").click();
    assert.equal(await page.locator("[data-testid=whatif-examples] tbody tr").count(), 50);
    assert.deepEqual(faults, []);
  });
});

/** What `farebox replay` comes to: the last line it writes. */
function native(records, by, terms) {
  const target = fileURLToPath(new URL("../../target", import.meta.url));
  const command = ["native", "debug"].map((profile) => join(target, profile, "farebox")).find(existsSync);
  assert.ok(command, "the farebox command is not built");
  const folder = mkdtempSync(join(tmpdir(), "farebox-whatif-"));
  try {
    const paths = { records: join(folder, "records.ndjson"), terms: join(folder, "terms.json") };
    writeFileSync(paths.records, records);
    writeFileSync(paths.terms, terms);
    const said = execFileSync(command, ["--json", "replay", paths.records, `--${by}`, paths.terms], { encoding: "utf8", timeout: DEADLINE, maxBuffer: 1 << 26 });
    return JSON.parse(said.trim().split("\n").at(-1)).totals;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Before, after and the difference of the row of all, every digit of them. */
const shown = (page) =>
  page.locator("[data-testid=whatif-sums] tbody tr:first-child data").evaluateAll((all) => all.map((each) => each.getAttribute("value")));

timed("the browser's sums are those of the command to the last digit, by a book and by a plan", async () => {
  // Two customers, two months, a hold that expired and was settled after all; prices with digits that
  // no float holds.
  const other = (text) => text.replaceAll('"acme"', '"beta"').replaceAll("2026-10-", "2026-11-");
  const { record } = JSON.parse(line(1));
  const [floor, rest] = record.lines.map(({ amount }) => amount);
  const chain = [
    { ...record, class: "unresolved", lines: [], amount: floor },
    { ...record, seq: 601, corrects: 1, previous: floor, amount: rest, flags: ["late", "correction"] },
  ];
  const [expired, settled] = chain.map((each) => JSON.stringify({ record: each }));
  const records = [expired, ...archive(600).split("\n").slice(1), settled, other(archive(250))].join("\n");
  const book = BOOK.replace('"0.6"', '"0.6000000000000000000001"').replace('"2.5"', '"2.5000000000000000300004"').replace('"10"', '"0.30000000000000000004"');
  const charge = (direction, up_to, unit_price, beyond) => ({
    where: { direction }, charge: { model: "graduated", tiers: [{ up_to, unit_price }, { up_to: null, unit_price: beyond }] },
  });
  const plan = JSON.stringify({
    format: "farebox-plan-1", plan: "p", version: "1", name: "P", currency: "USD",
    fees: [{ id: "base", amount: "5" }],
    charges: [{ id: "tokens", meter: "tokens", cells: [charge("input", "12345.5", "0.00000012345678901", "0.0000001"), charge("output", "777", "0.000001000000000003", "0.0000003")] }],
  });
  for (const [by, terms] of [["book", book], ["plan", plan]]) {
    const totals = native(records, by, terms);
    const sums = totals.by_currency?.USD ?? totals;
    await withDashboard({}, async ({ page, faults }) => {
      await fill(page, records, terms, by);
      await price(page);
      await page.getByTestId("whatif-sums").waitFor();
      assert.deepEqual(await shown(page), [sums.old, sums.new, sums.difference], by);
      assert.match(await textOf(page, ".report .note"), new RegExp(`^${totals.attempts} attempts`));
      assert.deepEqual(faults, []);
    });
    if (by === "book") assert.ok(sums.new.split(".")[1].length > 20, sums.new);
  }
});

timed("every line that is no record is counted and told by its number", async () => {
  await withDashboard({}, async ({ page, faults }) => {
    await fill(page, `${line(1)}\nnot a record\n\n${line(2)}\n{"record":{}}\n${line(3).replaceAll("claude-haiku-4-5", "gpt-nobody")}`, BOOK);
    await price(page);
    await page.getByText("2 lines could not be read").click();
    assert.match(await textOf(page, "[data-testid=whatif-errors] li:nth-child(1)"), /^Line 2: .* invalid_record$/);
    assert.match(await textOf(page, "[data-testid=whatif-errors] li:nth-child(2)"), /^Line 5: /);
    assert.match(await textOf(page, "[data-testid=whatif-unpriced]"), /^gpt-nobody: 1 not priced, in no sum. model_not_priced$/);
    assert.deepEqual(faults, []);
  });
});

timed("a book with a fault is refused with its place, and a plan prices whole months", async () => {
  await withDashboard({}, async ({ page, faults }) => {
    await fill(page, archive(3), BOOK.replace('"amount": "0.15"', '"amount": "-0.15"'));
    await price(page);
    await page.getByText(/models\[0\]\.rates\.input_uncached\.amount/).waitFor();
    await fill(page, archive(3), PLAN, "plan");
    await price(page);
    await sums(page).waitFor();
    assert.match(await textOf(page, "[data-testid=whatif-sums] tbody tr:nth-child(2)"), /^acme · 2026-10-01 .*US\$99/);
    await page.getByText("By period, line by line").click();
    assert.match(await textOf(page, "[data-testid=whatif-lines]"), /acme · 2026-10-01 · fee /);
    assert.deepEqual(faults, []);
  });
});

timed("what a plan has no price for is named with what was charged for it, beside the sums", async () => {
  const plan = JSON.stringify({
    format: "farebox-plan-1", plan: "p", version: "1", name: "P", currency: "USD",
    charges: [{ id: "out", meter: "output_total", charge: { model: "per_unit", unit_price: "0" } }],
  });
  await withDashboard({}, async ({ page, faults }) => {
    await fill(page, archive(40), plan, "plan");
    await price(page);
    assert.match(await textOf(page, "[data-testid=whatif-left-out]"), /^The plan has no price for input total, .*: in no sum. It was charged US\$0\.\d+. not_in_plan$/);
    assert.deepEqual(faults, []);
  });
});

timed("terms of 100 MB are refused by their size, and not read", async () => {
  await withDashboard({}, async ({ page, faults }) => {
    await fill(page, archive(3), BOOK);
    await page.evaluate(() => {
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array(100 * 1024 * 1024)], "huge.json"));
      const input = document.getElementById("whatif-terms");
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      for (const way of ["text", "arrayBuffer", "stream"]) File.prototype[way] = () => { throw new Error("read"); };
    });
    await price(page);
    await page.getByText("huge.json is too long: a price book or a plan has at most 16,777,216 bytes.").waitFor();
    assert.deepEqual(faults, []);
  });
});

timed("the bar moves, and a run that is cancelled is over at once", async () => {
  await withDashboard({}, async ({ page, faults }) => {
    // 45 MB: several chunks; too large to hand over inline, so the page makes the file.
    await page.getByLabel("Usage records (NDJSON)").waitFor();
    await page.evaluate((text) => {
      const records = new File(Array(40_000).fill(`${text}\n`), "records.ndjson");
      const files = new DataTransfer();
      files.items.add(records);
      const input = document.getElementById("whatif-records");
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      window.seen = new Set();
      window.cancelAt = 1;
      new MutationObserver(() => {
        const bar = document.querySelector(".whatif progress");
        if (!bar) return;
        window.seen.add(bar.value);
        // In the turn in which the bar is seen on its way: no message of the worker comes between, so
        // the run is not over yet, however fast it is.
        if (window.seen.size > window.cancelAt && bar.value < bar.max) {
          window.cancelAt = Infinity;
          [...document.querySelectorAll(".whatif button")].find((button) => button.textContent === "Cancel").click();
        }
      }).observe(document.querySelector(".whatif"), { subtree: true, childList: true, attributes: true, characterData: true });
    }, line(1));
    await page.getByLabel("Its file (JSON)").setInputFiles(json(BOOK));
    await price(page);
    await page.getByText("Cancelled. Nothing was kept.").waitFor();
    assert.equal(await page.evaluate(() => window.cancelAt), Infinity);
    assert.equal(await page.locator(".whatif progress").count(), 0);
    await price(page);
    await sums(page).waitFor({ timeout: 20_000 });
    assert.ok((await page.evaluate(() => window.seen.size)) >= 3, "the bar stood still");
    assert.match(await textOf(page, ".report .note"), /^1 attempt.*39,999 lines repeat another/);
    assert.deepEqual(faults, []);
  });
});

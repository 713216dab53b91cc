// What opening a price book of 2,000 models takes in the browser's engine, copying its text into the
// module included. `make bench-book`; `node benches/book/wasm.mjs [DIR…]` compares builds (each a
// folder with farebox.js and farebox_bg.wasm) in turns. Figures are in docs/benchmarks.md.

import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const MODELS = 2_000;
const ROUNDS = 101;
const GOAL_MS = 5;
const here = (path) => new URL(`../../${path}`, import.meta.url);

const folders = process.argv.length > 2 ? process.argv.slice(2) : [here("pkg/dist").pathname];
const document = JSON.parse(readFileSync(here("books/catalogue.json"), "utf8"));
document.models.length = MODELS;
const book = JSON.stringify(document);

const bytes = new TextEncoder().encode(book);
// The time of the processor, which other programs on the machine change least.
const cpu = (work) => {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
};

const ways = [];
for (const folder of folders) {
  const { initSync, PriceBook } = await import(pathToFileURL(resolve(folder, "farebox.js")));
  initSync({ module: readFileSync(resolve(folder, "farebox_bg.wasm")) });
  const where = folders.length > 1 ? ` ${folder}` : "";
  ways.push({ name: `of a text${where}`, open: () => new PriceBook(book), times: [] });
  if (PriceBook.fromBytes) ways.push({ name: `of bytes${where}`, open: () => PriceBook.fromBytes(bytes), times: [] });
}
for (let round = 0; round < ROUNDS; round += 1) {
  for (const { open, times } of ways) times.push(cpu(() => open().free()));
}
console.log(`book of ${MODELS} models, ${bytes.length} bytes, in Wasm · node ${process.version} · ${cpus().length} × ${cpus()[0].model} · load ${loadavg()[0].toFixed(1)}`);
for (const { name, times } of ways) {
  const [first] = times;
  times.sort((a, b) => a - b);
  const median = times[ROUNDS >> 1];
  console.log(`open and index ${name}: median ${median.toFixed(2)} ms of CPU, at best ${times[0].toFixed(2)}, the first ${first.toFixed(2)} (goal ≤ ${GOAL_MS} ms: ${median <= GOAL_MS ? "met" : "MISSED"})`);
}

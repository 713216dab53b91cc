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

const builds = [];
for (const folder of folders) {
  const engine = await import(pathToFileURL(resolve(folder, "farebox.js")));
  engine.initSync({ module: readFileSync(resolve(folder, "farebox_bg.wasm")) });
  builds.push({ folder, engine, times: [] });
}
for (let round = 0; round < ROUNDS; round += 1) {
  for (const { engine, times } of builds) {
    const start = performance.now();
    const opened = new engine.PriceBook(book);
    times.push(performance.now() - start);
    opened.free();
  }
}
console.log(`book of ${MODELS} models, ${book.length} bytes, in Wasm · node ${process.version} · ${cpus().length} × ${cpus()[0].model} · load ${loadavg()[0].toFixed(1)}`);
for (const { folder, times } of builds) {
  const [first] = times;
  times.sort((a, b) => a - b);
  const median = times[ROUNDS >> 1];
  console.log(`open and index: median ${median.toFixed(2)} ms, at best ${times[0].toFixed(2)}, the first ${first.toFixed(2)} (goal ≤ ${GOAL_MS} ms: ${median <= GOAL_MS ? "met" : "MISSED"}) ${builds.length > 1 ? folder : ""}`);
}

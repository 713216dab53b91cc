// `node wasm.mjs ENGINE FILE CALLS`: native.rs for engines that run in JavaScript's runtime. The first
// call is timed from a compiled module, which is what a Worker is handed.

import { readFileSync } from 'node:fs';

const [engine, file, calls] = process.argv.slice(2);
const SHORT = 'How many tokens are these?';
const MODULES = {
  farebox: '../../build/tokens/o200k',
  'tiktoken-rs': './target/modules/rs',
  tiktoken: './target/modules/goliajp',
};

const text = readFileSync(file, 'utf8');
let count, memory, began;
if (engine === 'gpt-tokenizer') {
  // Its tables are built while it is imported.
  began = performance.now();
  const { encode } = await import('gpt-tokenizer/encoding/o200k_base');
  count = (text) => encode(text, { allowedSpecial: new Set(), disallowedSpecial: new Set() }).length;
  memory = () => process.memoryUsage().heapUsed;
} else {
  const path = new URL(MODULES[engine], import.meta.url).href;
  const module = await WebAssembly.compile(readFileSync(new URL(`${path}.wasm`)));
  const bindings = await import(`${path}.js`);
  began = performance.now();
  const exports = bindings.initSync({ module });
  count = bindings.count;
  memory = () => exports.memory.buffer.byteLength;
}
count(SHORT);
const first = performance.now() - began;
let tokens = 0;
const times = Array.from({ length: Number(calls) }, () => {
  const start = performance.now();
  tokens = count(text);
  return performance.now() - start;
});
console.log(JSON.stringify({ first, times, tokens, memory: memory() }));

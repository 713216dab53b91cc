// Prints MB/s for each of the answers in answers.rs.
import { readFile } from 'node:fs/promises';

const NAMES = [
  'chat stream', 'chat stream, obfuscated', 'Responses stream', 'Anthropic stream',
  'Gemini stream (usage on every event)', 'JSON, text, usage at the end',
  'JSON, base64 image, usage at the end', 'JSON, embeddings, usage at the end',
];
const SIZE = 32 * 1024 * 1024;

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
const { make, meter } = instance.exports;
for (const [which, name] of NAMES.entries()) {
  const length = make(which, 1024 * 1024) && make(which, SIZE);
  let best = Infinity;
  for (let run = 0; run < 5; run += 1) {
    const began = performance.now();
    meter();
    best = Math.min(best, performance.now() - began);
  }
  console.log(`${name.padEnd(44)} ${(length / 1e6).toFixed(1).padStart(9)} MB ${(length / 1e3 / best).toFixed(0).padStart(8)} MB/s`);
}

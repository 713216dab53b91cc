// Measures the tokeniser beside others, o200k_base, each in a process of its own, all in turn in
// every round. `make bench-tokens`; `--rounds N` (default 5).

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { loadavg, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { corpus } from './corpus.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const rounds = Number(process.argv[process.argv.indexOf('--rounds') + 1]) || 5;
const CALLS = 3; // a process
const LIMIT_MS = 20_000; // for a process; what takes longer is shown so
const RUNS = {
  native: { command: () => `${here}target/release/native`, args: [], engines: ['farebox', 'tiktoken-rs', 'tiktoken'] },
  Wasm: { command: () => process.execPath, args: [`${here}wasm.mjs`], engines: ['farebox', 'tiktoken-rs', 'tiktoken', 'gpt-tokenizer'] },
};

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

function measure({ command, args }, engine, file) {
  const { status, signal, stdout } = spawnSync(command(), [...args, engine, file, String(CALLS)], { timeout: LIMIT_MS, encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout);
  return { failed: signal === 'SIGTERM' ? `> ${LIMIT_MS / 1000} s` : 'traps' };
}

execFileSync(`${here}build.sh`, { stdio: 'inherit' });
const texts = corpus();
const seen = new Map(); // run engine text -> results
for (let round = 0; round < rounds; round += 1) {
  for (const text of Object.keys(texts)) {
    for (const [run, how] of Object.entries(RUNS)) {
      for (const engine of how.engines) {
        const key = `${run} ${engine} ${text}`;
        const before = seen.get(key) ?? [];
        if (before.some(({ failed }) => failed)) continue; // once is enough
        seen.set(key, [...before, measure(how, engine, texts[text])]);
      }
    }
  }
}

const row = (cells) => `| ${cells.join(' | ')} |`;
const number = (value) => value.toPrecision(3).replace(/\.?0+e|e/, 'e');
console.log(`${new Date().toISOString().slice(0, 16)}Z · ${cpus().length} × ${cpus()[0].model} · node ${process.version} · ${rounds} rounds of ${CALLS} calls · load ${loadavg()[0].toFixed(1)}\n`);
console.log(row(['', 'first call, ms', 'memory, MiB', ...Object.keys(texts).map((text) => (text.includes('MiB') ? `${text}, ms` : `${text}, MB/s`))]));
console.log(row(['---', ...Array(Object.keys(texts).length + 2).fill('---:')]));
const tokens = {};
for (const [run, { engines }] of Object.entries(RUNS)) {
  for (const engine of engines) {
    const of = (text) => seen.get(`${run} ${engine} ${text}`);
    const whole = Object.keys(texts).flatMap(of).filter(({ failed }) => !failed);
    const cells = Object.entries(texts).map(([text, file]) => {
      const results = of(text);
      const bad = results.find(({ failed }) => failed);
      if (bad) return bad.failed;
      (tokens[text] ??= new Set()).add(results[0].tokens);
      const ms = (who) => median(seen.get(`${run} ${who} ${text}`).flatMap(({ times }) => times));
      const ratio = engine === 'farebox' ? '' : ` (${number(ms(engine) / ms('farebox'))}×)`;
      return text.includes('MiB') ? `${ms(engine).toFixed(0)}${ratio}` : `${(statSync(file).size / ms(engine) / 1e3).toFixed(1)}${ratio}`;
    });
    const first = median(whole.map((result) => result.first));
    const memory = median(of('prose').map((result) => result.memory)) / 1024 ** 2;
    console.log(row([`${run}, ${engine}`, first.toFixed(2), memory.toFixed(1), ...cells]));
  }
}
console.log('\nBrackets: time as a multiple of farebox\'s. Counts that were not alike:', Object.entries(tokens).filter(([, counts]) => counts.size > 1).map(([text]) => text).join(', ') || 'none');
for (const [name, path] of Object.entries({ 'farebox o200k': '../../build/tokens/o200k.wasm', 'farebox cl100k': '../../build/tokens/cl100k.wasm', 'tiktoken-rs': 'target/modules/rs.wasm', tiktoken: 'target/modules/goliajp.wasm' })) {
  const bytes = readFileSync(here + path);
  console.log(`size of ${name}: ${bytes.length} bytes, gzip -9 ${gzipSync(bytes, { level: 9 }).length}`);
}

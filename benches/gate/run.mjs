#!/usr/bin/env node
// The gate against the named floor, in one interleaved run. It reports; it never fails by time.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { CPU, LATENCY, MEMORY, label } from './cases.mjs';
import { connectionsTo, get, load, send } from './load.mjs';
import { cpuMs, machine, quantile, quiet, residentBytes, summary, watchOthers } from './measure.mjs';
import { report } from './report.mjs';
import { Stage } from './stage.mjs';
import { WORKERD } from './workerd.mjs';

const HELP = `The gate against the floor: CPU, latency, memory, size and start, in one interleaved run.

usage: node benches/gate/run.mjs [options]     (needs Linux, and a build: scripts/build.sh)

  --quick             fewer rounds and requests: two minutes, coarse figures
  --rounds N          rounds of each contender (5; --quick: 2)
  --only TEXT         only cases whose name contains TEXT ("not streamed", "64 open",
                      "latency", "memory", "start", "size"); may be repeated
  --worker NAME=DIR   another gate to measure beside it: the folder of a built Worker with
                      index.js and its Wasm; may be repeated
  --patience SECONDS  how long to wait before a round for others to leave the machine alone (60)
  --json              JSON on stdout instead of the table
  --out FILE          write the JSON, with every round in it, to a file too
  --help
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string', multiple: true },
    worker: { type: 'string', multiple: true, default: [] },
    patience: { type: 'string', default: '60' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const rounds = Number(options.rounds ?? (options.quick ? 2 : 5));
const patienceMs = Number(options.patience) * 1000;
const STARTS = options.quick ? 3 : 10;
const MEMORY_ROUNDS = options.quick ? 1 : 3;
const WARM = 300; // requests before the first measured round: the runtime compiles what is hot
const OPEN_AT_ONCE = 50;
const STILL_MS = 1500;

const say = (text) => process.stderr.write(`${text}\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const wanted = (name) => !options.only || options.only.some((text) => name.includes(text));
const share = (count) => (options.quick ? Math.ceil(count / 3) : count);
/** Every other round runs backwards (ABBA), so that a drift of the machine hits all alike. */
const inOrder = (names, round) => (round % 2 === 0 ? names : [...names].reverse());

/** Runs `once(name)` in turns for all rounds; `{name: [results]}`. */
async function interleaved(names, count, pids, once) {
  const results = Object.fromEntries(names.map((name) => [name, []]));
  const noise = [];
  for (let round = 0; round < count; round += 1) {
    for (const name of inOrder(names, round)) {
      await quiet(pids(), patienceMs);
      const others = watchOthers(pids());
      results[name].push(await once(name));
      noise.push(others());
    }
  }
  return { results, others: Math.max(...noise) };
}

async function round(contender, job) {
  const ask = { ...job, headers: contender.headers() };
  const before = cpuMs(contender.workerd.pid);
  const answers = await load({ ...job, ask, url: contender.workerd.url });
  await contender.settled(job.requests);
  return { answers, cpu: (cpuMs(contender.workerd.pid) - before) / job.requests };
}

async function withContenders(stage, work) {
  const contenders = {};
  try {
    for (const name of stage.names) contenders[name] = await stage.start(name);
    const pids = () => [...stage.pids, ...Object.values(contenders).flatMap((one) => one.pids)];
    await work(contenders, pids);
    for (const one of Object.values(contenders)) await one.audit?.();
  } finally {
    for (const one of Object.values(contenders)) await one.stop();
  }
}

async function cpuAndLatency(stage) {
  const [cpu, latency] = [[], []];
  const cpuCases = CPU.filter((one) => wanted(label(one)));
  const latencyCases = LATENCY.filter((one) => wanted(`latency ${label(one)}`));
  if (cpuCases.length + latencyCases.length === 0) return { cpu, latency };
  await withContenders(stage, async (contenders, pids) => {
    const { names } = stage;
    const run = async (one, kind) => {
      const job = { ...one, requests: share(one.requests) };
      say(`${kind}: ${label(one)} …`);
      const warm = { ...job, requests: Math.min(WARM, job.requests) };
      for (const name of names) await round(contenders[name], warm);
      return interleaved(names, rounds, pids, (name) => round(contenders[name], job));
    };
    for (const one of cpuCases) {
      const { results, others } = await run(one, 'cpu');
      const taken = Object.fromEntries(names.map((name) => [name, summary(results[name].map((r) => r.cpu))]));
      cpu.push({ name: label(one), goal: one.goal, requests: share(one.requests), others, cpu_ms: taken, ...ratios(taken) });
    }
    for (const one of latencyCases) {
      const { results, others } = await run(one, 'latency');
      const taken = Object.fromEntries(names.map((name) => {
        const all = results[name].flatMap((r) => r.answers.map((answer) => answer[one.time]));
        const each = results[name].map((r) => quantile(r.answers.map((answer) => answer[one.time]), 0.5));
        return [name, { p50: quantile(all, 0.5), p99: quantile(all, 0.99), p50_by_round: each }];
      }));
      latency.push({ name: label(one), time: one.time, goal: one.goal, samples: rounds * share(one.requests), others, ms: taken });
    }
  });
  return { cpu, latency };
}

const summaries = (results) => Object.fromEntries(Object.entries(results).map(([name, all]) => [name, summary(all)]));

const ratios = (taken) => ({
  ratio: Object.fromEntries(Object.keys(taken).filter((name) => name !== 'floor').map((name) => [name, taken[name].median / taken.floor.median])),
});

/** Bytes of one open stream: a fresh process each time, warmed up, then `streams` opened and left standing. */
async function bytesPerStream(stage, name, one) {
  const contender = await stage.start(name);
  const agent = connectionsTo(one.streams);
  try {
    const ask = { ...one, headers: contender.headers() };
    const warm = { ...ask, body: ask.body.replace(/ stall_after=\d+/, '') };
    await load({ ...one, ask: warm, url: contender.workerd.url, connections: OPEN_AT_ONCE, requests: share(WARM) });
    await contender.settled(share(WARM));
    await fetch(`${stage.upstream.url}/control/reset`, { method: 'POST' });
    const before = residentBytes(contender.workerd.pid);
    let open = 0;
    for (let i = 0; i < one.streams; i += 1) {
      send(agent, contender.workerd.url, ask).catch(() => {}); // ends when the agent is destroyed
      open += 1;
      if (open % OPEN_AT_ONCE === 0) await untilOpen(stage, open);
    }
    await sleep(STILL_MS);
    return (residentBytes(contender.workerd.pid) - before) / one.streams;
  } finally {
    agent.destroy();
    await contender.stop();
  }
}

async function untilOpen(stage, count) {
  for (let tries = 0; tries < 600; tries += 1) {
    const { open } = await (await fetch(`${stage.upstream.url}/control/stats`)).json();
    if (open >= count) return;
    await sleep(50);
  }
  throw new Error('the streams did not open');
}

async function memory(stage) {
  const found = [];
  for (const one of MEMORY.filter((each) => wanted(`memory ${label(each)}`))) {
    say(`memory: ${label(one)} …`);
    const { results } = await interleaved(stage.names, MEMORY_ROUNDS, () => stage.pids, (name) => bytesPerStream(stage, name, one));
    found.push({ name: label(one), bytes: summaries(results) });
  }
  return found;
}

/** Milliseconds from the start of the process to its first 200. */
async function startMs(stage, name) {
  const contender = await stage.start(name, { customer: false });
  const { url, spawnedAt } = contender.workerd;
  const status = await get(`${url}/v1/farebox/health`);
  const ms = performance.now() - spawnedAt;
  await contender.stop();
  if (status !== 200) throw new Error(`${name} is not healthy: ${status}`);
  return ms;
}

async function starts(stage) {
  if (!wanted('start')) return null;
  say('start …');
  const { results } = await interleaved(stage.names, STARTS, () => stage.pids, (name) => startMs(stage, name));
  return { ms: summaries(results) };
}

function sizes() {
  if (!wanted('size')) return [];
  const one = (name, path, goal) => {
    const file = resolve(root, path);
    if (!existsSync(file)) return [];
    const bytes = readFileSync(file);
    return [{ name, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, goal }];
  };
  return [
    ...one('Worker, Wasm', 'build/worker/farebox_bg.wasm', 1024 * 1024),
    ...one('Worker, JavaScript', 'build/worker/index.js'),
    ...one('tokeniser, o200k, on first need', 'build/worker/o200k.wasm', 1_800_000),
    ...one('tokeniser, cl100k, on first need', 'build/worker/cl100k.wasm', 1_800_000),
    ...one('browser engine, Wasm', 'pkg/dist/farebox_bg.wasm', 200 * 1024),
  ];
}

const variants = Object.fromEntries(options.worker.map((text) => {
  const [name, dir] = text.split('=');
  return [name, resolve(dir)];
}));
const workerdVersion = execFileSync(WORKERD, ['--version'], { encoding: 'utf8' }).trim();
const stage = await Stage.open(variants);
let result;
try {
  result = {
    date: new Date().toISOString(),
    machine: machine({ workerd: workerdVersion }),
    rounds,
    quick: options.quick,
    sizes: sizes(),
    start: await starts(stage),
    ...(await cpuAndLatency(stage)),
    memory: await memory(stage),
  };
} finally {
  stage.close();
}
if (options.out) writeFileSync(options.out, `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : report(result));
process.exit(0);

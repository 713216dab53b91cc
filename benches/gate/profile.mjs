#!/usr/bin/env node
// Where the gate's CPU goes: the runtime's own CPU profile of one case, by function and by caller.

import { resolve } from 'node:path';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CPU, label } from './cases.mjs';
import { load } from './load.mjs';
import { cpuMs } from './measure.mjs';
import { Stage } from './stage.mjs';

const HELP = `usage: node benches/gate/profile.mjs [options]

  --only TEXT      the first case whose name contains TEXT ("not streamed, 8")
  --worker DIR     folder of a built Worker; function names show where its Wasm still has them
                   (wasm-opt -g)
  --floor          profile the floor instead
  --requests N     how many (the case's own number)
  --top N          lines of each list (40)
  --out FILE       write the profile too, for the browser's developer tools (.cpuprofile)
  --help
`;
const SAMPLE_US = 100;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'not streamed, 8' },
    worker: { type: 'string' },
    floor: { type: 'boolean', default: false },
    requests: { type: 'string' },
    top: { type: 'string', default: '40' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

/** The inspector of a workerd process: commands in, results out. */
async function inspect(port) {
  const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  const waiting = new Map();
  let sent = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    waiting.get(id)?.(error ?? result);
  });
  await new Promise((open, failed) => {
    socket.addEventListener('open', open);
    socket.addEventListener('error', failed);
  });
  return (method, params = {}) => new Promise((done) => {
    waiting.set((sent += 1), done);
    socket.send(JSON.stringify({ id: sent, method, params }));
  });
}

/** Microseconds by function: alone, and with all it called (each stack counted once). */
function sums(profile) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, { ...node, self: 0 }]));
  profile.samples.forEach((id, i) => { nodes.get(id).self += profile.timeDeltas[i] ?? 0; });
  const name = ({ callFrame: { functionName, url, lineNumber } }) =>
    (functionName || '(anonymous)') + (url && !url.startsWith('wasm') ? ` :${lineNumber + 1}` : '');
  const [alone, whole] = [new Map(), new Map()];
  const add = (map, key, value) => map.set(key, (map.get(key) ?? 0) + value);
  const walk = (node, above) => {
    const key = name(node);
    const first = !above.has(key);
    add(alone, key, node.self);
    let total = node.self;
    const here = first ? new Set([...above, key]) : above;
    for (const child of node.children ?? []) total += walk(nodes.get(child), here);
    if (first) add(whole, key, total);
    return total;
  };
  walk(profile.nodes[0], new Set());
  return { alone, whole };
}

function print(title, map, requests) {
  const rows = [...map].sort((a, b) => b[1] - a[1]).slice(0, Number(options.top));
  console.log(`\n${title}, µs per request`);
  for (const [name, us] of rows) console.log(`${(us / requests).toFixed(1).padStart(9)}  ${name}`);
}

const one = CPU.find((each) => label(each).includes(options.only));
const requests = Number(options.requests ?? one.requests);
const variant = options.floor ? 'floor' : options.worker ? 'other' : 'gate';
const stage = await Stage.open(options.worker ? { other: resolve(options.worker) } : {});
try {
  const contender = await stage.start(variant, { inspect: true });
  const ask = { ...one, headers: contender.headers() };
  const { workerd } = contender;
  const run = async (count) => {
    await load({ ...one, ask, url: workerd.url, requests: count });
    await contender.settled(count);
  };
  await run(Math.min(600, requests * 2));
  const command = await inspect(workerd.inspector);
  await command('Profiler.enable');
  await command('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  await command('Profiler.start');
  const before = cpuMs(workerd.pid);
  await run(requests);
  const used = cpuMs(workerd.pid) - before;
  const { profile } = await command('Profiler.stop');
  if (options.out) writeFileSync(options.out, JSON.stringify(profile));
  const { alone, whole } = sums(profile);
  console.log(`${label(one)}: ${(used / requests).toFixed(2)} ms of CPU a request with the profiler on`);
  print('in the function itself', alone, requests);
  print('with what it called', whole, requests);
  await contender.stop();
} finally {
  stage.close();
}
process.exit(0);

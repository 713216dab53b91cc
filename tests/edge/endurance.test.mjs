// What lasts: holds are renewed while an answer is under way, and no client makes memory grow.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { openRequest, openStream, quantity, sleep, startGate, WAYS, WHOLE } from './gate.mjs';

const rule = (name, run, timeout = 90_000) => test(name, { timeout }, run);
const MIB = 1024 * 1024;

let gate, key;
before(async () => {
  gate = await startGate({ vars: { FAREBOX_HOLD_TTL_SECONDS: '2' } });
  key = await gate.customer('acme', '1000');
});
after(() => gate?.stop());

rule('F14: a hold of two seconds stands for as long as its answer is under way', async () => {
  const slow = Object.entries(WAYS).map(([name, way]) => [name, '[[chunks=40 gap_ms=100]]', way, '40']);
  const silent = Object.entries(WAYS).map(([name, way]) => [`${name}, late`, '[[first_byte_ms=3500 chunks=5]]', way, '5']);
  const whole = Object.entries(WHOLE).map(([name, way]) => [`${name}, whole`, '[[first_byte_ms=3500 chunks=6]]', way, '6']);
  await Promise.all([...slow, ...silent, ...whole].map(async ([name, text, way, output]) => {
    const own = name.replaceAll(/[^a-z]/g, '');
    const as = await gate.customer(own, '1');
    const running = openStream(gate, as, `hi ${text}`, way);
    await sleep(2_500);
    assert.equal((await gate.status(own)).spend.open, 1, `${name}: held at 2.5 s`);
    const flow = await running;
    assert.equal(await flow.over, true);
    await gate.bill(as, flow);
    await sleep(2_500); // longer than a hold lives: were one left, it would expire now
    const { requests, head, spend } = await gate.status(own);
    assert.deepEqual([head.seq, requests[0].outcome, requests[0].output_total, requests[0].flags], [1, 'settled', output, []], name);
    assert.equal(spend.held, '0');
  }));
});

/** An answer of stated length whose second half comes late: held back whole, and held for. */
rule('the hold of a short whole answer is renewed while its body is under way', async () => {
  const server = http.createServer(async (request, response) => {
    for await (const part of request) void part;
    const body = JSON.stringify({ model: 'gpt-4o-mini', choices: [{ message: { content: 'x' }, finish_reason: 'stop' }], usage: { prompt_tokens: 3, completion_tokens: 4 } });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    response.write(body.slice(0, 20));
    await sleep(3_500);
    response.end(body.slice(20));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstream = { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
  const own = await startGate({ upstream, vars: { FAREBOX_HOLD_TTL_SECONDS: '2' } });
  try {
    const as = await own.customer('acme', '1');
    const answer = await own.chat(as, {});
    assert.equal(answer.status, 200);
    const { records } = await own.bill(as, answer);
    assert.deepEqual(records.map((record) => [record.class, record.flags]), [['settled', []]]);
  } finally {
    await own.stop();
    server.close();
  }
});

/** Sends a request and reads nothing of its answer. */
function standStill(text, way) {
  const { answered, leave } = openRequest(gate, key, text, { ...way, max_tokens: 1_000_000 });
  return answered.then((answer) => {
    answer.on('error', () => {});
    return { answer, headers: answer.headers, leave };
  });
}

async function peakRss(ms) {
  let peak = 0;
  for (const end = Date.now() + ms; Date.now() < end; await sleep(25)) peak = Math.max(peak, gate.rss());
  return peak;
}

/**
 * What memory may grow by while clients stand still. Where it comes from, per stream: at first the
 * sockets' buffers fill, and what has gone into them is buffered for the meter until it looks (at
 * most what the kernel lets a connection's two ends buffer); from then on each look pulls one piece
 * of 16 KiB ahead of the client, ever more rarely, but at least every two seconds.
 */
const most = (name) => Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/).at(-1));
const FIRST_MAX = most('tcp_wmem') + most('tcp_rmem');
const PIECE = 16 * 1024;
const LOOKS = { settling: 8, standing: 5 }; // in the first three seconds, and in eight after them

rule('F5: clients that stand still before endless answers do not make memory grow, and are settled when they leave', async () => {
  for (const way of Object.values(WAYS)) await (await openStream(gate, key, 'hi', way)).over; // warm: this is not growth
  const base = gate.rss();
  const flows = await Promise.all(Object.values(WAYS).flatMap((way) => [1, 2, 3].map(() => standStill(`hi [[bytes=${4096 * MIB}]]`, way))));
  const filled = (await peakRss(3_000)) - base;
  const standing = gate.rss();
  const grown = (await peakRss(8_000)) - standing;
  const open = gate.upstream.stats().open;
  flows.forEach((flow) => flow.leave());
  const say = (bytes) => `${(bytes / MIB).toFixed(1)} MiB more than before`;
  assert.ok(filled < flows.length * (FIRST_MAX + LOOKS.settling * PIECE), say(filled));
  assert.ok(grown < flows.length * LOOKS.standing * PIECE + 4 * MIB, `while standing: ${say(grown)}`); // 4 MiB: the runtime's own
  assert.equal(open, flows.length, 'all of them are under way');
  for (const flow of flows) {
    const { records, cost } = await gate.bill(key, flow, 10_000);
    assert.deepEqual(records.map((record) => [record.class, record.outcome]), [['settled', 'cancelled']]);
    assert.ok(Number(cost) > 0 && Number(quantity(records[0], 'output_total')) > 0);
  }
  for (const end = Date.now() + 5_000; gate.upstream.stats().open > 0 && Date.now() < end;) await sleep(50);
  assert.equal(gate.upstream.stats().open, 0, 'the upstream is told');
});

rule('a client that stands still for a while gets 50 MB whole in the end, and memory stays bounded', async () => {
  const base = gate.rss();
  const flows = await Promise.all(Object.values(WAYS).map((way) => standStill(`hi [[bytes=${50_000_000}]]`, way)));
  await sleep(3_000);
  const peak = peakRss(3_000);
  for (const flow of flows) {
    let length = 0;
    let tail = '';
    flow.answer.on('data', (part) => { length += part.length; tail = (tail + part.toString('latin1')).slice(-200); });
    await new Promise((resolve) => flow.answer.on('close', resolve));
    assert.ok(flow.answer.complete);
    assert.ok(length > 50_000_000, `${length} bytes came`);
    assert.match(tail, /\[DONE\]|message_stop/);
    const { records } = await gate.bill(key, flow);
    assert.deepEqual(records.map((record) => record.class), ['settled']);
    assert.ok(Number(quantity(records[0], 'output_total')) > 0);
  }
  const grown = (await peak) - base;
  assert.ok(grown < 128 * MIB, `${(grown / MIB).toFixed(0)} MiB more than before`);
});

rule('the runtime still answers after all of this', async () => {
  assert.equal((await gate.chat(key, {})).status, 200);
  assert.equal((await gate.idle('acme', 20_000)).spend.held, '0');
});

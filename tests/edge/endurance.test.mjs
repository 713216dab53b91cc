// What lasts: holds are renewed while an answer is under way, and no client makes memory grow.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { openRequest, openStream, quantity, sleep, startGate, WAYS, WHOLE } from './gate.mjs';

const rule = (name, run, timeout = 90_000) => test(name, { timeout }, run);
const MIB = 1024 * 1024;

let gate, key;
before(async () => {
  gate = await startGate({ vars: { FAREBOX_HOLD_TTL_SECONDS: '1' } });
  key = await gate.customer('acme', '1000');
});
after(() => gate?.stop());

rule('a hold of one second stands for as long as its answer is under way', async () => {
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
    await sleep(1_500); // longer than a hold lives: were one left, it would expire now
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
  const own = await startGate({ upstream, vars: { FAREBOX_HOLD_TTL_SECONDS: '1' } });
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
  const { answered, leave } = openRequest(gate, key, text, way);
  return answered.then((answer) => {
    answer.on('error', () => {});
    return { answer, headers: answer.headers, leave };
  });
}

async function peakRss(ms, until = () => false) {
  let peak = 0;
  for (const end = Date.now() + ms; Date.now() < end && !await until(); await sleep(50)) peak = Math.max(peak, gate.rss());
  return peak;
}

/**
 * Growth allowed while one client stands still before an answer without end: the meter reads 48 MiB
 * of it at most (TAP_MAX in src/edge/tap.rs), all of which the tee keeps for the client; the rest is
 * the runtime's own, and its allocator's slack.
 */
const GROWTH_MAX = 160 * MIB;

for (const [name, way] of Object.entries(WAYS)) {
  rule(`a client that stands still before an endless answer does not make memory grow without bound (${name})`, async () => {
    const [base, { aborted }] = [gate.rss(), gate.upstream.stats()];
    const flow = await standStill(`hi [[bytes=${4096 * MIB}]]`, way);
    const peak = await peakRss(12_000);
    const grown = (peak - base) / MIB;
    console.log(`# ${name}: ${grown.toFixed(0)} MiB more than before`);
    assert.ok(peak - base < GROWTH_MAX, `${grown.toFixed(0)} MiB more than before`);
    flow.leave();
    const { records, cost } = await gate.bill(key, flow, 10_000);
    assert.deepEqual(records.map((record) => record.class), ['settled']);
    assert.ok(Number(cost) > 0 && Number(quantity(records[0], 'output_total')) > 0);
    for (const end = Date.now() + 5_000; gate.upstream.stats().aborted === aborted && Date.now() < end;) await sleep(50);
    assert.ok(gate.upstream.stats().aborted > aborted, 'the upstream is told');
  });

  rule(`a client that stands still for a while gets 50 MB whole in the end (${name})`, async () => {
    const flow = await standStill(`hi [[bytes=${50_000_000}]]`, way);
    await sleep(3_000);
    let length = 0;
    let tail = '';
    flow.answer.on('data', (part) => { length += part.length; tail = (tail + part.toString('latin1')).slice(-200); });
    await new Promise((resolve) => flow.answer.on('close', resolve));
    assert.ok(flow.answer.complete);
    assert.ok(length > 50_000_000, `${length} bytes came`);
    assert.match(tail, /\[DONE\]|message_stop/);
    const { records } = await gate.bill(key, flow);
    assert.deepEqual(records.map((record) => record.class), ['settled']);
  });
}

rule('eight clients that stand still at once stay within what an isolate may use', async () => {
  const base = gate.rss();
  const way = WAYS['openai, usage asked for'];
  const flows = await Promise.all(Array.from({ length: 8 }, () => standStill(`hi [[bytes=${512 * MIB}]]`, way)));
  const peak = await peakRss(10_000);
  flows.forEach((flow) => flow.leave());
  const grown = (peak - base) / MIB;
  console.log(`# eight: ${grown.toFixed(0)} MiB more than before`);
  assert.ok(grown < 128, `${grown.toFixed(0)} MiB more than before, and an isolate has 128`);
  await Promise.all(flows.map((flow) => gate.bill(key, flow, 10_000)));
});

rule('the runtime still answers after all of this', async () => {
  assert.equal((await gate.chat(key, {})).status, 200);
  assert.equal((await gate.idle('acme', 20_000)).spend.held, '0');
});

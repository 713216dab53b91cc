// A client's Idempotency-Key, and SDKs that give up and try again without one.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { say, sleep, startGate } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 150_000 }, run);

let gate;
before(async () => { gate = await startGate(); });
after(() => gate?.stop());

const named = (key, name, body) => gate.chat(key, body, { headers: { 'idempotency-key': name } });
const code = async (answer) => (await answer.json()).error;

rule('F63: a request that runs or is over is not run again under its name', async () => {
  const key = await gate.customer('once', '5');
  const hits = gate.hits();
  const first = named(key, 'order-1', say('hi [[hold=once]]'));
  await gate.until('once', (status) => status.spend.open === 1, 'no hold');
  const running = await named(key, 'order-1', say('hi [[hold=once]]'));
  assert.deepEqual([running.status, (await code(running)).code, running.headers.get('retry-after')], [409, 'request_in_progress', '1']);
  const other = await named(key, 'order-1', say('something else'));
  assert.deepEqual([other.status, (await code(other)).code], [422, 'idempotency_key_reused']);
  gate.upstream.release('once');
  const cost = (await first).headers.get('x-farebox-cost');
  const over = await named(key, 'order-1', say('hi [[hold=once]]'));
  const { code: word, details } = await code(over);
  assert.deepEqual([over.status, word, over.headers.get('x-should-retry')], [409, 'request_completed', 'false']);
  const { requests: [row] } = await gate.status('once');
  assert.deepEqual([details.cost, details.attempt_id, details.request_id], [cost, row.attempt_id, row.request_id]);
  assert.equal(gate.hits() - hits, 1);
  assert.equal((await named(key, 'order-2', say('hi'))).status, 200);
  const stranger = await gate.customer('stranger', '5');
  assert.equal((await named(stranger, 'order-1', say('hi'))).status, 200, 'names are each customer\'s own');
  assert.equal((await named(key, 'x'.repeat(256), say('hi'))).status, 400);
});

rule('F63: a denial and a failed upstream do not burn the name', async () => {
  const key = await gate.customer('unburnt', '0.0000001');
  assert.equal((await named(key, 'n', say('hi'))).status, 402);
  await gate.admin('PUT', 'customers/unburnt', { currency: 'USD', limits: [] });
  assert.equal((await named(key, 'n', say('hi [[status=500]]'))).status, 500);
  await gate.idle('unburnt');
  assert.equal((await named(key, 'n', say('hi'))).status, 200);
});

/**
 * A front that ends the gate's side where a client has closed its own. The runtime by itself takes a
 * closed socket for one that may still read, until it writes to it; a network's edge does not.
 */
async function front(url) {
  const server = net.createServer((client) => {
    const gateSide = net.connect(new URL(url).port, '127.0.0.1');
    client.pipe(gateSide).pipe(client);
    client.on('close', () => gateSide.resetAndDestroy()).on('error', () => {});
    gateSide.on('error', () => client.destroy());
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

rule('F1: an SDK that gives up and tries again makes a new attempt, and the one it left is settled within a second', async () => {
  const key = await gate.customer('sdk', '5');
  const edge = await front(gate.url);
  const client = new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: key, timeout: 700, maxRetries: 1 });
  const began = Date.now();
  const [one] = await Promise.allSettled([
    client.chat.completions.create({ model: 'gpt-4o-mini', max_tokens: 100, ...say('hi [[hold=sdk]]') }),
  ]);
  assert.equal(one.status, 'rejected');
  const gone = Date.now();
  const { requests } = await gate.until('sdk', (status) => status.spend.open === 0 && status.head.seq === 2, 'attempts left open', 1_000);
  const late = Date.now() - gone;
  assert.equal(new Set(requests.map((row) => row.request_id)).size, 2, 'two requests of one attempt each');
  assert.ok(late <= 1_000, `settled ${late} ms after the last disconnect`);
  console.log(`two attempts in ${gone - began} ms, both settled ${late} ms after the second was left`);
  edge.close();
  gate.upstream.release('sdk');
});

rule('OpenAI\'s SDK waits as long as a rate\'s refusal says, and then gets its answer', async () => {
  const limits = [{ id: 'rpm', window: 'minute', measure: 'requests', kind: 'hard', limit: '1' }];
  const key = await gate.customer('patient', null, { extraLimits: limits });
  const client = new OpenAI({ baseURL: `${gate.url}/v1`, apiKey: key, maxRetries: 1, timeout: 90_000 });
  const ask = () => client.chat.completions.create({ model: 'gpt-4o-mini', max_tokens: 100, ...say('hi') });
  // Late in a minute, so that the test need not wait for a whole one.
  const into = Date.now() % 60_000;
  await sleep(into < 50_000 ? 50_000 - into : into > 57_000 ? 110_000 - into : 0);
  await ask();
  const began = Date.now();
  await ask();
  const waited = Date.now() - began;
  assert.ok(began % 60_000 + waited >= 60_000, 'the second came in the next minute');
  assert.equal((await gate.status('patient')).refused[0].count, 1, 'it knocked once, waited, and was let in');
  console.log(`waited ${waited} ms`);
});

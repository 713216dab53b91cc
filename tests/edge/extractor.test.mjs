// An upstream that reports usage in a place of its own is metered by its operator's word.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { quantity, refusal, say, startGate } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 60_000 }, run);
const rate = (amount) => ({ amount, per: '1' });
const BOOK = JSON.stringify({
  format: 'farebox-book-2', version: '1', currency: 'USD', effective_from: '2026-01-01T00:00:00Z',
  models: [{ provider: 'acme', model: 'engine-1', max_output_tokens: '100', rates: { input_uncached: rate('0.001'), output_total: rate('0.01'), images: rate('0.5') } }],
});
const USAGE = {
  name: 'acme', mode: 'cumulative',
  fields: [{ pointer: '/stats/in', meter: 'input_total' }, { pointer: '/stats/out', meter: 'output_total' }, { pointer: '/stats/pictures', meter: 'images' }],
};

async function withAcme(usage, answer, run) {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(response));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const upstreams = { acme: { base_url: url, auth: 'bearer', secret: 'OPENAI_API_KEY', usage } };
  const gate = await startGate({ upstream: { url, close: () => server.close() }, vars: { FAREBOX_BOOK: BOOK, FAREBOX_UPSTREAMS: JSON.stringify(upstreams) } });
  try {
    await run(gate);
  } finally {
    await gate.stop();
    server.closeAllConnections();
    server.close();
  }
}

const ask = (gate, key, extra = {}) => gate.chat(key, { model: 'engine-1', max_tokens: 50, ...say('hi'), ...extra });

rule('what an operator\'s pointers find is charged, whole and streamed, the last report of a stream counting', async () => {
  const last = { stats: { in: 5, out: 7, pictures: 1 } };
  let stream = false;
  const answer = (response) => {
    if (!stream) return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ text: 'x', ...last }));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    return response.end([{ stats: { in: 5, out: 2 } }, last].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('') + 'data: [DONE]\n\n');
  };
  await withAcme(USAGE, answer, async (gate) => {
    const key = await gate.customer('acme', '10');
    for (stream of [false, true]) {
      const got = await ask(gate, key, { stream });
      await got.text();
      const { cost, records: [record] } = await gate.bill(key, got);
      assert.deepEqual(['input_total', 'output_total', 'images'].map((meter) => quantity(record, meter)), ['5', '7', '1']);
      assert.equal(cost, '0.575');
    }
  });
});

rule('an extractor with a fault serves nobody, and the log says where it is', async () => {
  const broken = { ...USAGE, fields: [{ pointer: 'stats/in', meter: 'input_total' }] };
  await withAcme(broken, (response) => response.end(), async (gate) => {
    const { status, code } = await refusal(await ask(gate, 'fb_test_acme_k1_x_1y'), 'openai');
    assert.deepEqual([status, code], [503, 'misconfigured']);
    assert.match(gate.logs.join('\n'), /upstream acme: usage\/fields\/0\/pointer/);
  });
});

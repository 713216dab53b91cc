// What is large stays within its bounds, and nothing of it is lost: request bodies, whole answers,
// an upstream's words about an error.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { quantity, refusal, requestId, say, startGate, within } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 90_000 }, run);
const MIB = 1024 * 1024;
const UPSTREAM_KEY = 'sk-demo-upstream';

/** An upstream whose next answers the tests choose: `answer(response, request body)`. */
let answer = null;
let hits = 0;
let server, gate, key, otherKey;
before(async () => {
  server = http.createServer((request, response) => {
    hits += 1;
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => answer(response, Buffer.concat(parts)));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  gate = await startGate({ vars: { FAREBOX_ALLOW_CRASH: 'true' }, upstream: { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() } });
  key = await gate.customer('acme', '1000');
  otherKey = await gate.customer('bigco', '1000');
});
after(async () => {
  await gate?.stop();
  server?.closeAllConnections();
  server?.close();
});

const headers = () => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' });
const post = (body, options = {}) => gate.raw('/v1/chat/completions', { headers: headers(), body, timeoutMs: 60_000, ...options });
const ask = (content = 'hi') => JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 9, ...say(content) });
const completion = (content) => JSON.stringify({
  id: 'chatcmpl-1', object: 'chat.completion', model: 'gpt-4o-mini',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
});
const replyWith = (status, body, extra = {}) => (response) => {
  response.writeHead(status, { 'content-type': 'application/json', ...extra });
  response.end(body);
};

rule('a body that is refused for its length is refused in words every time, never by a broken pipe', async () => {
  const large = Buffer.alloc(20 * MIB, 'x');
  for (let n = 0; n < 12; n += 1) {
    const { status, code } = await refusal(await post(large), 'openai');
    assert.deepEqual([status, code], [413, 'request_too_large']);
  }
  assert.equal(hits, 0);
});

rule('many large bodies at once are all served, and wait for room in memory', async () => {
  let together = 0;
  let most = 0;
  answer = (response, body) => {
    together += 1;
    most = Math.max(most, together);
    setTimeout(() => {
      together -= 1;
      replyWith(200, completion(`${body.length}`))(response);
    }, 300);
  };
  const body = ask('x'.repeat(15 * MIB));
  // One customer's share is room for two of them, so there are two customers.
  const other = { headers: { ...headers(), authorization: `Bearer ${otherKey}` } };
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => post(body, n % 2 ? other : {})));
  assert.deepEqual(answers.map(({ status }) => status), answers.map(() => 200));
  assert.ok(answers.every(({ body: text }) => text.includes(`"${body.length}"`)), 'every body arrived whole');
  // Three of 15 MiB fit the room of 48 MiB: no fourth may be with the upstream.
  assert.equal(most, 3);
  await gate.idle('bigco');
  await gate.idle('acme');
});

rule('room for bodies is given back by refused, broken and crashed requests alike', async () => {
  answer = replyWith(200, completion('ok'));
  const body = ask('x'.repeat(15 * MIB));
  for (let n = 0; n < 6; n += 1) {
    assert.equal((await post(`${body.slice(0, -1)} `)).status, 400); // not JSON
    assert.equal((await post(body, { headers: { ...headers(), 'x-farebox-crash': '1' } })).status, 500);
    const broken = http.request(`${gate.url}/v1/chat/completions`, { method: 'POST', headers: { ...headers(), 'content-length': 15 * MIB } });
    broken.on('error', () => {});
    broken.write('{');
    await new Promise((resolve) => setTimeout(resolve, 50));
    broken.destroy();
  }
  assert.equal((await within(30_000, post(body), 'an answer')).status, 200);
});

rule('F31: a whole answer that comes compressed unasked passes at once when it is long, and is metered', async () => {
  const text = completion('y'.repeat(3 * MIB));
  const packed = gzipSync(text);
  answer = replyWith(200, packed, { 'content-encoding': 'gzip', 'content-length': packed.length });
  const got = await gate.fetch('/v1/chat/completions', { method: 'POST', headers: headers(), body: ask() });
  assert.equal(await got.text(), text);
  assert.equal(got.headers.get('x-farebox-cost'), null, 'long answers are not held back for their cost');
  const { records } = await gate.bill(key, got);
  assert.deepEqual([quantity(records[0], 'input_total'), quantity(records[0], 'output_total')], ['3', '4']);
});

rule('an upstream\'s long error keeps its status and its first megabyte, without our key', async () => {
  const words = `{"error":{"message":"${UPSTREAM_KEY} is wrong. ${'z'.repeat(MIB - 60)}${UPSTREAM_KEY}${'z'.repeat(MIB)}"}}`;
  answer = replyWith(500, words);
  const got = await post(ask());
  assert.equal(got.status, 500);
  const text = got.body.toString();
  assert.ok(text.length > MIB - 100 && text.length <= MIB, `${text.length} bytes`);
  assert.ok(text.startsWith('{"error":{"message":"[redacted] is wrong. zzz'), text.slice(0, 60));
  for (let length = UPSTREAM_KEY.length; length > 6; length -= 1) {
    assert.ok(!text.endsWith(UPSTREAM_KEY.slice(0, length)), 'no part of the key at the cut');
  }
  const { records } = await gate.bill(key, got);
  assert.equal(records[0].class, 'voided');
  assert.ok(requestId(got));
});

rule('a client that takes a long stream pays for all of it, however long it is', async () => {
  // Longer than may be read ahead of a client that stands still.
  const event = `data: ${JSON.stringify({ id: 'x', model: 'gpt-4o-mini', choices: [{ index: 0, delta: { content: 'word ' }, logprobs: { content: [{ token: 'x'.repeat(16_000) }] } }] })}\n\n`;
  const last = `data: ${JSON.stringify({ id: 'x', model: 'gpt-4o-mini', choices: [], usage: { prompt_tokens: 3, completion_tokens: 5000, total_tokens: 5003 } })}\n\ndata: [DONE]\n\n`;
  answer = async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let n = 0; n < 4_000; n += 1) if (!response.write(event)) await new Promise((resolve) => response.once('drain', resolve));
    response.end(last);
  };
  const body = JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 9000, stream: true, stream_options: { include_usage: true }, ...say('hi') });
  const got = await post(body);
  assert.ok(got.complete && got.body.length > 60 * MIB, `${got.body.length} bytes came`);
  const { records: [record] } = await gate.bill(key, got);
  assert.deepEqual([record.outcome, quantity(record, 'output_total')], ['complete', '5000']);
});

rule('a length that the upstream passes over does not hide what was written before it broke off', async () => {
  const piece = (content) => `data: ${JSON.stringify({ id: 'x', model: 'gpt-4o-mini', choices: [{ index: 0, delta: { content } }] })}\n\n`;
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(piece('one') + piece(' two') + piece(' three'));
    setTimeout(() => response.destroy(), 400);
  };
  // A provider that is not known to heed max_completion_tokens: the model's own maximum is held.
  const book = JSON.parse(readFileSync(new URL('../../books/default.json', import.meta.url), 'utf8'));
  for (const model of book.models) if (model.provider === 'openai') model.provider = 'ollama';
  const url = `http://127.0.0.1:${server.address().port}`;
  const vars = { FAREBOX_BOOK: JSON.stringify(book), FAREBOX_UPSTREAMS: JSON.stringify({ ollama: { base_url: url, auth: 'bearer', secret: 'OPENAI_API_KEY' }, anthropic: { base_url: url, auth: 'bearer', secret: 'OPENAI_API_KEY' } }) };
  const own = await startGate({ upstream: { url, close: () => {} }, vars });
  try {
    const as = await own.customer('acme', '1000');
    const body = JSON.stringify({ model: 'gpt-4o-mini', max_completion_tokens: 1, stream: true, stream_options: { include_usage: true }, ...say('hi') });
    const got = await own.raw('/v1/chat/completions', { headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' }, body });
    const { records: [record] } = await own.bill(as, got);
    assert.deepEqual([record.outcome, quantity(record, 'output_total')], ['truncated', '3']);
  } finally {
    await own.stop();
  }
});

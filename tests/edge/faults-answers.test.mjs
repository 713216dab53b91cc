// Answers as no API documents them: whatever comes back, the client gets its bytes, nothing hangs,
// nothing that was sent is free, and an answer is asked for once. Numbered as in docs/faults.md.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { openStream, quantity, refusal, sleep, startGate, WAYS } from './gate.mjs';
import { completion, event, http, piece, scripted, STREAM, USAGE, usageChunk, whole } from './scripted.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);

let upstream, gate, key;
before(async () => {
  upstream = await scripted();
  gate = await startGate({ upstream, vars: { FAREBOX_UPSTREAM_TIMEOUT_SECONDS: '8' } });
  key = await gate.customer('acme', '1000');
});
after(async () => {
  await gate?.stop();
  await upstream?.close();
});

const ask = (extra = {}, as = key) => gate.raw('/v1/chat/completions', {
  headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 1000, messages: [{ role: 'user', content: 'one two three' }], ...extra }),
});
/** Sets what comes back, once for each request. */
const say = (...parts) => { upstream.answer = (socket) => { parts.forEach((part) => socket.write(part)); socket.end(); }; };
const billed = async (answer) => {
  const { cost, records } = await gate.bill(key, answer);
  assert.equal(records.length, 1);
  return { cost: Number(cost), record: records[0] };
};

for (const name of ['openai, usage asked for', 'anthropic']) {
  rule(`F4: a client that leaves once the usage is there is charged what was reported (${name})`, async () => {
    const anthropic = name === 'anthropic';
    const typed = (value) => `event: ${value.type}\n${event(value)}`;
    const text = anthropic
      ? [{ type: 'message_start', message: { id: 'm', type: 'message', role: 'assistant', model: 'claude-haiku-4-5', content: [], usage: { input_tokens: 11, output_tokens: 1 } } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'word' } }, { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 345 } }].map(typed).join('')
      : piece('word') + piece('', 'stop') + usageChunk(USAGE);
    upstream.answer = (socket) => socket.write(STREAM + text); // and never its last word
    const flow = await openStream(gate, key, 'hi', WAYS[name]);
    await flow.until(1);
    for (const end = Date.now() + 3_000; !flow.text.includes('345') && Date.now() < end;) await sleep(20);
    flow.leave();
    const { records: [record, ...more] } = await gate.bill(key, flow, 8_000);
    assert.deepEqual([more.length, record.class, quantity(record, 'input_total'), quantity(record, 'output_total')], [0, 'settled', '11', '345']);
    assert.ok(!record.flags.includes('counted'), record.flags);
  });
}

rule('F6: a provider whose name or certificate is no good is a 502 that costs nothing', async () => {
  const noTls = net.createServer((socket) => socket.on('error', () => {}).end('no TLS here'));
  await new Promise((listening) => noTls.listen(0, '127.0.0.1', listening));
  for (const base_url of ['https://nowhere.invalid', `https://127.0.0.1:${noTls.address().port}`]) {
    const entry = { base_url, auth: 'bearer', secret: 'OPENAI_API_KEY' };
    const own = await startGate({ upstream, vars: { FAREBOX_UPSTREAMS: JSON.stringify({ openai: entry, anthropic: entry }) } });
    try {
      const as = await own.customer('acme', '1');
      const answer = await own.chat(as, {});
      const { status, code } = await refusal(answer, 'openai');
      assert.deepEqual([status, code], [502, 'upstream_unreachable'], base_url);
      const { records: [record] } = await own.bill(as, answer);
      assert.deepEqual([record.class, record.amount], ['voided', '0']);
    } finally {
      await own.stop();
    }
  }
  noTls.close();
});

rule('F8, F9, F10: whatever the provider fails at, it is asked once, by one attempt, under one hold', async () => {
  const failures = [
    ...[429, 500, 503].map((status) => (socket) => socket.end(whole('{"error":{"message":"no"}}', { status, headers: ['retry-after: 1'] }))),
    (socket) => socket.destroy(),
    (socket) => { socket.write(STREAM + piece('word')); setTimeout(() => socket.destroy(), 100); },
  ];
  for (const [at, failure] of failures.entries()) {
    for (const stream of [false, true]) {
      const hits = upstream.hits;
      upstream.answer = failure;
      const answer = await ask({ stream });
      const { records } = await gate.bill(key, answer);
      await sleep(300);
      assert.deepEqual([upstream.hits - hits, records.length], [1, 1], `failure ${at}`);
      assert.equal(records[0].class, at === failures.length - 1 ? 'settled' : 'voided', `failure ${at}`);
    }
  }
  assert.equal((await gate.idle('acme')).spend.held, '0');
});

rule('F22: a whole answer that is no JSON passes as it is, and is not free', async () => {
  for (const body of ['{"id":"x","choices":[{"message":{"content":"one two', '<html>busy</html>', '', '[]', '{"usage":', 'null']) {
    say(whole(body));
    const answer = await ask();
    assert.deepEqual([answer.status, answer.body.toString()], [200, body]);
    const { cost, record } = await billed(answer);
    assert.ok(record.class === 'settled' && cost > 0, `${body}: ${record.class} ${cost}`);
    assert.notEqual(record.outcome, 'complete', body);
  }
});

rule('F12: a refusal whose words never end is told with those that came, and its connection is let go', async () => {
  const said = `{"error":{"message":"${'overloaded '.repeat(30)}`;
  let closed;
  const over = new Promise((resolve) => { closed = resolve; });
  upstream.answer = (socket) => {
    socket.once('close', closed);
    socket.write(http(500, ['content-type: application/json', 'content-length: 5000'], said));
  };
  const began = Date.now();
  const answer = await ask();
  assert.equal(answer.status, 500);
  // As much is left off as part of a key could stand at the end of.
  const told = answer.body.toString();
  assert.ok(told.length > said.length / 2 && said.startsWith(told), told);
  await over;
  assert.ok(Date.now() - began < 15_000, `${Date.now() - began} ms`);
  assert.equal((await billed(answer)).record.class, 'voided');
});

rule('F23: an error under the status 200 passes, is no success, and is charged its input at least', async () => {
  for (const stream of [false, true]) {
    const error = { error: { message: 'overloaded', type: 'server_error' } };
    say(...(stream ? [STREAM, event(error)] : [whole(JSON.stringify(error))]));
    const answer = await ask({ stream });
    assert.equal(answer.status, 200);
    assert.match(answer.body.toString(), /overloaded/);
    const { cost, record } = await billed(answer);
    assert.deepEqual([record.class, record.outcome], ['settled', 'error']);
    assert.ok(cost > 0);
  }
});

rule('F32: a length that is wrong, or told in two ways, neither hangs the client nor is free', async () => {
  const body = completion();
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const json = 'content-type: application/json';
  const wrong = [
    [http(200, [json, `content-length: ${body.length + 50}`], body), 'too long'],
    [http(200, [json, 'content-length: 20', 'connection: close'], body), 'too short'],
    [http(200, [json, 'content-length: 5', 'transfer-encoding: chunked', 'connection: close'], chunked), 'length and chunks'],
    [http(200, [json, 'content-length: 5', `content-length: ${body.length}`, 'connection: close'], body), 'two lengths'],
    [http(200, [json, 'content-length: x', 'connection: close'], body), 'no number'],
    [http(200, [json, 'transfer-encoding: chunked', 'connection: close'], 'zz\r\nno chunk\r\n'), 'no chunk'],
  ];
  for (const [bytes, what] of wrong) {
    say(bytes);
    const answer = await ask();
    assert.ok([200, 502].includes(answer.status), `${what}: ${answer.status}`);
    if (answer.status === 502) assert.equal((await refusal(answer, 'openai')).code, 'upstream_unreachable', what);
    const { cost, record } = await billed(answer);
    // Where the headers themselves were no HTTP, nothing was answered; else it is charged at its floor.
    if (record.class === 'settled') assert.ok(cost > 0, what);
    else assert.deepEqual([record.class, answer.status], ['voided', 502], what);
  }
  assert.equal((await gate.idle('acme')).spend.held, '0');
});

rule('F33: trailers, early answers and an empty success neither hang nor are lost', async () => {
  const body = completion();
  const json = 'content-type: application/json';
  say(http(200, [json, 'transfer-encoding: chunked', 'trailer: x-checksum', 'connection: close'], `${body.length.toString(16)}\r\n${body}\r\n0\r\nx-checksum: 1\r\n\r\n`));
  const trailed = await ask();
  assert.deepEqual([trailed.status, trailed.body.toString(), trailed.headers['x-checksum']], [200, body, undefined]);
  assert.equal(quantity((await billed(trailed)).record, 'output_total'), '345');

  say(http(100, []), http(103, ['link: </x>; rel=preload']), whole(body));
  const early = await ask();
  assert.deepEqual([early.status, early.body.toString()], [200, body], 'what comes before the answer is passed over');
  assert.equal(quantity((await billed(early)).record, 'output_total'), '345');

  say(http(204, ['connection: close']));
  const empty = await ask();
  assert.deepEqual([empty.status, empty.body.length], [204, 0]);
  const { cost, record } = await billed(empty);
  assert.ok(record.class === 'settled' && cost > 0, 'what was sent is not free');
});

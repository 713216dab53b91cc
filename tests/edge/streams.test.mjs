// Streams: nothing is held back, and however a stream ends, it is settled for what was seen.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { quantity, refusal, say, sleep, startGate } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);

let gate, key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', '1000');
});
after(() => gate?.stop());

/** The three ways a stream can take through the gate. */
const WAYS = {
  'openai, usage asked for': { path: '/v1/chat/completions', model: 'gpt-4o-mini', extra: { stream: true, stream_options: { include_usage: true } }, delta: /"delta":\{"content":"[^"]/g },
  'openai, usage taken out': { path: '/v1/chat/completions', model: 'gpt-4o-mini', extra: { stream: true }, delta: /"delta":\{"content":"[^"]/g },
  anthropic: { path: '/v1/messages', model: 'claude-haiku-4-5', extra: { stream: true }, delta: /"type":"content_block_delta"/g },
};

/** A request whose answer is read piece by piece. Fails rather than waits for ever. */
async function open(text, { path, model, extra = {}, delta }, { at = gate, as = key, max_tokens = 10_000 } = {}) {
  const body = JSON.stringify({ model, max_tokens, ...say(text), ...extra });
  const headers = { authorization: `Bearer ${as}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const request = http.request(at.url + path, { method: 'POST', headers, agent: false });
  request.on('error', () => {}); // leaving is no fault
  const answered = new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('close', () => reject(new Error('closed without an answer')));
    setTimeout(() => reject(new Error('no answer in 20 s')), 20_000).unref();
  });
  request.end(body);
  const leave = () => request.destroy();
  if (extra.quiet) answered.catch(() => {});
  return { answered, leave, request, delta };
}

async function stream(text, way, options) {
  const { answered, leave, delta } = await open(text, way, options);
  const answer = await answered;
  let received = '';
  let wake = () => {};
  answer.setEncoding('latin1');
  answer.on('data', (piece) => { received += piece; wake(); });
  answer.on('error', () => {});
  const over = new Promise((resolve) => answer.on('close', () => { wake(); resolve(answer.complete); }));
  const deltas = () => (delta ? received.match(delta) ?? [] : []).length;
  return {
    headers: answer.headers, status: answer.statusCode, leave, over, deltas, answer,
    get text() { return received; },
    /** Waits until `n` pieces of content have come. */
    async until(n, ms = 10_000) {
      const end = Date.now() + ms;
      while (deltas() < n) {
        assert.ok(Date.now() < end && !answer.closed, `${deltas()} of ${n} pieces came`);
        await Promise.race([new Promise((resolve) => { wake = resolve; }), sleep(100)]);
      }
    },
  };
}

async function upstreamIs(count, name, at = gate, ms = 1_000) {
  const end = Date.now() + ms;
  while (at.upstream.stats()[name] < count) {
    assert.ok(Date.now() < end, `not ${name} within ${ms} ms`);
    await sleep(10);
  }
}

let ids = 0;
async function lockstep(way, chunks) {
  const id = `step${ids += 1}`;
  const flow = await stream(`hi [[lockstep=${id} chunks=${chunks}]]`, way);
  let slowest = 0;
  for (let n = 1; n <= chunks; n += 1) {
    const began = performance.now();
    await flow.until(n);
    slowest = Math.max(slowest, performance.now() - began);
    assert.equal(gate.upstream.lockstep(id).sent, n, 'the upstream waits for us');
    gate.upstream.ack(id);
  }
  assert.equal(await flow.over, true);
  return { flow, slowest };
}

for (const [name, way] of Object.entries(WAYS)) {
  rule(`nothing is held back: chunk n+1 is made only when chunk n has arrived (${name})`, async () => {
    const { flow, slowest } = await lockstep(way, 60);
    const { records: [record] } = await gate.bill(key, flow);
    assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '60', []]);
    assert.ok(slowest < 200, `a chunk took ${slowest.toFixed(0)} ms`); // under the meter's own 250 ms
  });

  rule(`nothing is held back with many streams side by side (${name})`, async () => {
    const all = await Promise.all(Array.from({ length: 24 }, () => lockstep(way, 12)));
    assert.equal(all.length, 24);
  });

  rule(`a client that leaves ends the upstream's call within a second, and pays for what it saw (${name})`, async () => {
    const { aborted } = gate.upstream.stats();
    const flow = await stream('hi [[chunks=2000 gap_ms=10]]', way);
    await flow.until(10);
    const seen = flow.deltas();
    flow.leave();
    await upstreamIs(aborted + 1, 'aborted');
    const { cost, records } = await gate.bill(key, flow, 3_000);
    const [record] = records;
    assert.deepEqual([records.length, record.class, record.outcome], [1, 'settled', 'cancelled']);
    assert.ok(Number(quantity(record, 'output_total')) >= seen && Number(quantity(record, 'output_total')) < 2000, quantity(record, 'output_total'));
    assert.ok(record.flags.includes('counted'), record.flags);
    assert.ok(Number(cost) > 0);
    assert.equal((await gate.idle('acme')).spend.held, '0');
  });

  rule(`an upstream that stalls does not keep a client that leaves from being settled (${name})`, async () => {
    const { aborted } = gate.upstream.stats();
    const flow = await stream('hi [[stall_after=3]]', way);
    await flow.until(3);
    await sleep(600);
    flow.leave();
    await upstreamIs(aborted + 1, 'aborted');
    const { records: [record] } = await gate.bill(key, flow, 3_000);
    assert.deepEqual([record.class, record.outcome], ['settled', 'cancelled']);
  });

  rule(`an upstream that breaks off is seen as truncation, and charged for what came (${name})`, async () => {
    for (const after of [0, 1, 7]) {
      const flow = await stream(`one two three [[cut_after=${after}]]`, way);
      assert.equal(await flow.over, false, 'the client is not told that this was all');
      assert.equal(flow.deltas(), after);
      const { cost, records: [record] } = await gate.bill(key, flow);
      assert.deepEqual([record.class, record.outcome], ['settled', 'truncated']);
      assert.ok(record.flags.includes('counted') || after === 0, record.flags);
      assert.ok(Number(cost) > 0);
      assert.ok(Number(quantity(record, 'output_total') ?? 0) >= after);
    }
  });

  rule(`what is counted here is a lower bound: never more than was sent (${name})`, async () => {
    const sent = 7;
    const flow = await stream(`hi [[cut_after=${sent}]]`, way);
    await flow.over;
    const { records: [record] } = await gate.bill(key, flow);
    assert.equal(quantity(record, 'output_total'), String(sent));
  });

  rule(`a provider's error amid the stream passes, and is settled as one (${name})`, async () => {
    const flow = await stream('one two [[error_after=4]]', way);
    assert.equal(await flow.over, true);
    assert.equal(flow.deltas(), 4);
    assert.match(flow.text, /"error":\{/);
    const { records: [record] } = await gate.bill(key, flow);
    assert.deepEqual([record.class, record.outcome], ['settled', 'error']);
    assert.equal((await gate.idle('acme')).spend.held, '0');
  });
}

for (const [name, way] of [...Object.entries(WAYS), ['openai, whole', { ...WAYS['openai, usage asked for'], extra: {} }], ['anthropic, whole', { ...WAYS.anthropic, extra: {} }]]) {
  rule(`an answer without usage is never free (${name})`, async () => {
    for (const how of ['no_usage', 'null_usage']) {
      const flow = await stream(`one two three four [[${how} chunks=9]]`, way);
      assert.equal(await flow.over, true);
      const { cost, records: [record] } = await gate.bill(key, flow);
      assert.deepEqual([record.class, record.outcome], ['settled', 'no_usage']);
      assert.ok(Number(cost) > 0);
      assert.ok(record.flags.includes('counted'));
      if (way.extra.stream) assert.ok(Number(quantity(record, 'output_total')) >= 9);
    }
  });
}

/** An upstream of our own making, for endings the demo upstream does not have. */
async function scripted(handler) {
  const stats = { requests: 0, aborted: 0 };
  const server = http.createServer(async (request, response) => {
    stats.requests += 1;
    response.on('close', () => { if (!response.writableFinished) stats.aborted += 1; });
    for await (const part of request) void part;
    await handler(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, stats: () => stats, close: () => { server.closeAllConnections(); server.close(); } };
}

async function withUpstream(handler, run) {
  const upstream = await scripted(handler);
  const own = await startGate({ upstream });
  try {
    const as = await own.customer('acme', '1000');
    await run(own, as);
  } finally {
    await own.stop();
    upstream.close();
  }
}

const sse = (value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
const USAGE = { prompt_tokens: 11, completion_tokens: 345, total_tokens: 356 };
const piece = (content, finish_reason = null) => sse({ id: 'x', object: 'chat.completion.chunk', model: 'gpt-4o-mini', choices: [{ index: 0, delta: content ? { content } : {}, finish_reason }] });

rule('a client that leaves when only the usage is missing is charged what is reported', async () => {
  await withUpstream(async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(piece('word') + piece('', 'stop'));
    await sleep(1_200);
    response.write(sse({ id: 'x', model: 'gpt-4o-mini', choices: [], usage: USAGE }) + sse('[DONE]'));
    response.end();
  }, async (own, as) => {
    for (const name of ['openai, usage asked for', 'openai, usage taken out']) {
      const flow = await stream('hi', WAYS[name], { at: own, as });
      await flow.until(1);
      await sleep(400);
      flow.leave();
      const { records: [record] } = await own.bill(as, flow, 8_000);
      assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '345', []], name);
    }
  });
});

rule('where the usage never comes, what was seen is charged soon after the client left', async () => {
  await withUpstream(async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(piece('word') + piece('two') + piece('', 'stop'));
  }, async (own, as) => {
    const flows = await Promise.all(['openai, usage asked for', 'openai, usage taken out'].map(async (name) => {
      const flow = await stream('hi', WAYS[name], { at: own, as });
      await flow.until(2);
      flow.leave();
      return flow;
    }));
    for (const flow of flows) {
      const { records: [record] } = await own.bill(as, flow, 9_000);
      assert.deepEqual([record.class, quantity(record, 'output_total')], ['settled', '2']);
      assert.ok(record.flags.includes('counted'));
    }
    await upstreamIs(2, 'aborted', own);
  });
});

rule('a whole answer of unstated length is held back only until it is short or long for certain', async () => {
  const answer = (text) => JSON.stringify({ id: 'x', object: 'chat.completion', model: 'gpt-4o-mini', choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }], usage: USAGE });
  const plain = { ...WAYS['openai, usage asked for'], extra: {} };
  let wait = 0;
  let body = answer('short');
  await withUpstream(async (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const half = body.length - 100;
    response.write(body.slice(0, half));
    if (wait) await sleep(wait);
    response.end(body.slice(half));
  }, async (own, as) => {
    const short = await stream('hi', plain, { at: own, as });
    await short.over;
    assert.equal(short.text, body);
    const { cost } = await own.bill(as, short);
    assert.equal(short.headers['x-farebox-cost'], cost, 'short: with its cost');

    body = answer('long '.repeat(600_000));
    wait = 2_000;
    const began = performance.now();
    const long = await stream('hi', plain, { at: own, as });
    assert.ok(performance.now() - began < 1_500, 'long: at once');
    assert.equal(long.headers['x-farebox-cost'], undefined);
    assert.equal(await long.over, true);
    assert.ok(long.text === body);
    const { records: [record] } = await own.bill(as, long);
    assert.deepEqual([record.outcome, quantity(record, 'output_total')], ['complete', '345']);
  });
});

for (const [name, way] of [['openai', { ...WAYS['openai, usage asked for'], extra: {} }], ['anthropic', { ...WAYS.anthropic, extra: {} }]]) {
  rule(`a whole answer past 1 MiB passes at once, without its cost, and is metered (${name})`, async () => {
    const flow = await stream('hi [[big_json=3000000 chunks=50]]', way);
    assert.equal(flow.headers['x-farebox-cost'], undefined);
    assert.equal(await flow.over, true);
    assert.ok(flow.text.length > 3_000_000);
    JSON.parse(Buffer.from(flow.text, 'latin1'));
    const { records: [record] } = await gate.bill(key, flow);
    assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '50', []]);

    const stalled = await stream('hi [[big_json=4000000 stall_after=0]]', way); // its second half never comes
    const end = Date.now() + 5_000;
    while (stalled.text.length < 1_900_000 && Date.now() < end) await sleep(20);
    assert.ok(stalled.text.length >= 1_900_000, `${stalled.text.length} bytes came of the first half`);
    stalled.leave();
    assert.equal((await gate.bill(key, stalled, 3_000)).records[0].class, 'settled');
  });

  rule(`a whole answer that breaks off is a 502, and not free (${name})`, async () => {
    const { status, headers } = await gate.raw(way.path, {
      headers: { authorization: `Bearer ${key}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' },
      body: JSON.stringify({ model: way.model, max_tokens: 10, ...say('one two three [[cut_after=0]]') }),
    }).then(async (answer) => ({ ...answer, ...await refusal(answer, name) }));
    assert.equal(status, 502);
    const { cost, records: [record] } = await gate.bill(key, { headers });
    assert.deepEqual([record.class, record.outcome], ['settled', 'truncated']);
    assert.ok(Number(cost) > 0);
  });

  rule(`a client that leaves amid a whole answer is settled at once, not when its hold expires (${name})`, async () => {
    const before = await gate.status('acme');
    const { answered, leave } = await open('one two [[stall_after=0]]', way); // half the body, then silence
    answered.catch(() => {});
    await gate.until('acme', (status) => status.spend.open === 1, 'no hold');
    await sleep(300);
    leave();
    const { requests: [row], head } = await gate.until('acme', (status) => status.spend.open === 0, 'held after the client left', 3_000);
    assert.equal(head.seq, before.head.seq + 1);
    assert.equal(row.outcome, 'settled');
    assert.ok(Number(row.amount) > 0, 'what was forwarded is not free');
  });

  rule(`a client that leaves before the answer begins is settled at once, and what was forwarded is not free (${name})`, async () => {
    const { aborted } = gate.upstream.stats();
    const { answered, leave } = await open(`one two [[hold=never${name}]]`, way);
    answered.catch(() => {});
    await gate.until('acme', (status) => status.spend.open === 1, 'no hold');
    await sleep(300);
    leave();
    await upstreamIs(aborted + 1, 'aborted');
    const { requests: [row] } = await gate.until('acme', (status) => status.spend.open === 0, 'held after the client left', 3_000);
    assert.ok(Number(row.amount) > 0, JSON.stringify(row));
  });
}

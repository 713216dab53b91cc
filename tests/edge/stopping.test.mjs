// Requests that do not fit whole: shorter answers, streams held for in part and stopped at the
// limit, answers drained after their client has left.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openRequest, openStream, quantity, refusal, say, sleep, startGate, WAYS, WHOLE } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);

const MODELS = ['gpt-4o-mini', 'claude-haiku-4-5'];
const part = (when, ahead) => ({ part: { models: MODELS, ahead, when } });
const POLICY = {
  all: { clamp: { at_least: 5 } },
  customers: {
    strict: {},
    always: part('always', 100), many: part('always', 100), step: part('always', 100), planned: part('always', 100), tight: part('always', 100), narrow: part('always', 100), left: part('always', 100),
    short: { ...part('short', 100), clamp: { at_least: 5 } },
    drained: { on_leave: 'drain' }, patient: { on_leave: 'drain' },
  },
};

let gate;
before(async () => { gate = await startGate({ vars: { FAREBOX_STOPPING: JSON.stringify(POLICY) } }); });
after(() => gate?.stop());

const post = (path, key, body) => gate.raw(path, { headers: { authorization: `Bearer ${key}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' }, body });
const dollars = (amount) => Math.round(Number(amount) * 1e12);

for (const [family, path, model] of [['openai', '/v1/chat/completions', 'gpt-4o-mini'], ['anthropic', '/v1/messages', 'claude-haiku-4-5']]) {
  rule(`a request that does not fit is shortened to what is left, by that one number (${family})`, async () => {
    const key = await gate.customer(`clamp${family}`, '0.01');
    const body = (most) => `{ "model":"${model}",\n "max_tokens" : ${most}, "messages":[{"role":"user","content":"hi \\u00e9 [[chunks=8]]"}] }`;
    const answer = await post(path, key, body(60_000));
    assert.equal(answer.status, 200, answer.body.toString());
    const [, length] = /^max_tokens=(\d+)$/.exec(answer.headers['x-farebox-clamped']);
    assert.equal(gate.upstream.stats().last.body.toString(), body(length));
    assert.ok(dollars(answer.headers['x-farebox-held']) <= dollars('0.01'));
    assert.ok(dollars(answer.headers['x-farebox-held']) > dollars('0.0099'), 'all that was left');
    assert.equal(quantity((await gate.bill(key, answer)).records[0], 'output_total'), '8');
    const whole = await post(path, key, body(20));
    assert.deepEqual([whole.status, whole.headers['x-farebox-clamped']], [200, undefined], 'what fits is left alone');
    assert.equal(gate.upstream.stats().last.body.toString(), body(20));
  });

  rule(`below the operator's minimum it is refused, and told what would fit (${family})`, async () => {
    const key = await gate.customer(`min${family}`, '0.000001');
    const hits = gate.hits();
    const { status, code } = await refusal(await post(path, key, JSON.stringify({ model, max_tokens: 100, ...say('hi') })), family);
    assert.deepEqual([status, code, gate.hits()], [402, 'request_exceeds_limit', hits]);
  });
}

rule('without the operator\'s leave nothing is shortened', async () => {
  const key = await gate.customer('strict', '0.01');
  const answer = await post('/v1/chat/completions', key, JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 60_000, ...say('hi') }));
  assert.equal((await refusal(answer, 'openai')).status, 402);
});

rule('a length is put in where the request has none, and a thinking budget is not cut into', async () => {
  const key = await gate.customer('absent', '0.001');
  const body = JSON.stringify({ model: 'gpt-4o-mini', ...say('hi') });
  const answer = await post('/v1/chat/completions', key, body);
  const [, length] = /^max_tokens=(\d+)$/.exec(answer.headers['x-farebox-clamped']);
  assert.equal(gate.upstream.stats().last.body.toString(), `{"max_completion_tokens":${length},${body.slice(1)}`);
  const thinks = await gate.customer('thinks', '0.01');
  const thinking = { type: 'enabled', budget_tokens: 4_000 };
  const refused = await post('/v1/messages', thinks, JSON.stringify({ model: 'claude-haiku-4-5', max_tokens: 9_000, thinking, ...say('hi') }));
  assert.equal(refused.status, 402, '0.01 buys less than 4,000 tokens');
});

rule('R8: worst cases do not fill a limit that real spend does not', async () => {
  const key = await gate.customer('many', '0.02'); // two worst cases of 16,000 tokens
  const cheap = { ...WAYS['openai, usage asked for'], max_tokens: 16_000 };
  const all = await Promise.all(Array.from({ length: 20 }, () => openStream(gate, key, 'hi [[chunks=10 gap_ms=20]]', cheap)));
  assert.deepEqual([...new Set(all.map(({ status }) => status))], [200]);
  for (const flow of all) assert.equal(await flow.over, true);
  const { spend } = await gate.idle('many');
  assert.deepEqual([spend.held, spend.open], ['0', 0]);
  const { records: [record] } = await gate.bill(key, all[0]);
  assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '10', []]);
});

let ids = 0;
for (const [name, way] of Object.entries(WAYS)) {
  rule(`a stream held for in part holds nothing back, and its hold grows with it (${name})`, async () => {
    const key = await gate.customer('step', '1');
    const id = `part${ids += 1}`;
    const flow = await openStream(gate, key, `hi [[lockstep=${id} chunks=60]]`, way);
    const held = [];
    for (let n = 1; n <= 60; n += 1) {
      const began = performance.now();
      await flow.until(n);
      assert.ok(performance.now() - began < 1_000);
      assert.equal(gate.upstream.lockstep(id).sent, n, 'the upstream waits for us');
      if (n % 15 === 0 && n < 60) held.push(dollars((await gate.status('step')).spend.held));
      gate.upstream.ack(id);
    }
    assert.equal(await flow.over, true);
    assert.ok(held[0] < held[1] && held[1] < held[2], `${held}`);
    assert.ok(dollars(flow.headers['x-farebox-held']) <= held[0]);
    const { records: [record] } = await gate.bill(key, flow);
    assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '60', []]);
    assert.equal((await gate.idle('step')).spend.held, '0');
    if (name === 'openai, usage taken out') assert.doesNotMatch(flow.text, /"choices":\[\]/);
  });

  rule(`a hold grows under a plan too, by the plan's prices (${name})`, async () => {
    const key = await gate.customer('planned', '1');
    const charges = [{ id: 'out', meter: 'output_total', charge: { model: 'per_unit', unit_price: '0.0001' } }];
    const plan = { format: 'farebox-plan-1', plan: 'out', version: '1', name: 'Out', currency: 'USD', charges };
    await gate.admin('PUT', 'customers/planned/plan', { plan, rest: 'included' });
    // All of its 60,000 tokens would be 6 dollars.
    const flow = await openStream(gate, key, 'hi [[chunks=300 gap_ms=5]]', { ...way, max_tokens: 60_000 });
    assert.equal(await flow.over, true);
    const { records: [record], cost } = await gate.bill(key, flow);
    assert.deepEqual([record.outcome, quantity(record, 'output_total'), cost, record.flags], ['complete', '300', '0.03', []]);
    assert.ok(dollars(record.held) >= dollars('0.03') && dollars(record.held) <= dollars('1'), record.held);
    assert.equal((await gate.idle('planned')).spend.held, '0');
    await gate.admin('PUT', 'customers/planned', { currency: 'USD', limits: [] });
  });

  rule(`at the limit the stream ends as its API ends answers, and the upstream's call with it (${name})`, async () => {
    const { aborted } = gate.upstream.stats();
    const limit = way.model === 'gpt-4o-mini' ? '0.0003' : '0.003'; // some 450 and 570 tokens
    const key = await gate.customer('tight', limit);
    const flow = await openStream(gate, key, 'hi [[chunks=5000 gap_ms=2]]', way);
    assert.equal(await flow.over, true, 'ended, not cut');
    const seen = flow.deltas();
    assert.ok(seen > 20 && seen < 1_000, `${seen}`);
    const end = way.model === 'gpt-4o-mini' ? /"finish_reason":"length"[^\n]*\n\n(data: [^\n]*\n\n)?data: \[DONE\]\n\n$/ : /"stop_reason":"max_tokens"[\s\S]*message_stop[^\n]*\n\n$/;
    assert.match(flow.text, end);
    for (const line of flow.text.split('\n').filter((each) => each.startsWith('data: {'))) JSON.parse(line.slice(6));
    if (name === 'openai, usage asked for') assert.match(flow.text, /"choices":\[\][^\n]*"usage":\{/);
    const { cost, records: [record] } = await gate.bill(key, flow);
    assert.deepEqual([record.outcome, record.error_class, record.flags.includes('counted')], ['incomplete', 'stopped_at_limit', true]);
    assert.ok(Number(quantity(record, 'output_total')) >= seen - 1);
    assert.ok(dollars(cost) <= dollars(limit), `${cost} of ${limit}`);
    const { spend, limits: [main] } = await gate.idle('tight');
    assert.ok(spend.held === '0' && !main.remaining.startsWith('-'));
    for (const until = Date.now() + 1_000; gate.upstream.stats().aborted === aborted && Date.now() < until;) await sleep(10);
    assert.equal(gate.upstream.stats().aborted, aborted + 1);
    await gate.admin('PUT', 'customers/tight', { currency: 'USD', limits: [] });
  });

  rule(`a client that leaves a stream held for in part is settled at once (${name})`, async () => {
    const key = await gate.customer('left', '1');
    const flow = await openStream(gate, key, 'hi [[chunks=900 gap_ms=10]]', way);
    await flow.until(5);
    flow.leave();
    const { records: [record] } = await gate.bill(key, flow, 3_000);
    assert.deepEqual([record.class, record.outcome], ['settled', 'cancelled']);
  });

  rule(`F2: where the operator drains, the exact usage is reported after the client has left (${name})`, async () => {
    const { aborted } = gate.upstream.stats();
    const key = await gate.customer('drained', '1');
    const flow = await openStream(gate, key, 'hi [[chunks=100 gap_ms=15]]', way);
    await flow.until(5);
    flow.leave();
    const { records: [record] } = await gate.bill(key, flow, 8_000);
    assert.deepEqual([record.outcome, quantity(record, 'output_total'), record.flags], ['complete', '100', []]);
    assert.equal(gate.upstream.stats().aborted, aborted);
  });
}

rule('F2: a whole answer is drained as well', async () => {
  const key = await gate.customer('drained', '1');
  const { answered, leave } = openRequest(gate, key, 'hi [[chunks=3 first_byte_ms=10 big_json=900000]]', WHOLE.openai);
  answered.catch(() => {});
  await answered.catch(() => {});
  leave();
  await gate.idle('drained');
});

rule('F66: an upstream that stalls is drained for 25 s and then charged what was seen', async () => {
  const key = await gate.customer('patient', '1');
  const began = Date.now();
  const flows = await Promise.all(Object.values(WAYS).map((way) => openStream(gate, key, 'hi [[stall_after=3]]', way)));
  for (const flow of flows) {
    await flow.until(3);
    flow.leave();
  }
  for (const flow of flows) {
    const { records: [record] } = await gate.bill(key, flow, 29_000);
    assert.deepEqual([record.class, record.outcome, record.flags.includes('late')], ['settled', 'cancelled', false]);
    assert.ok(Number(quantity(record, 'output_total')) >= 3);
  }
  assert.ok(Date.now() - began > 20_000 && Date.now() - began < 29_000, `${Date.now() - began} ms`);
});

rule('what passes beyond the limit is bounded, however fast the upstream writes', async () => {
  const key = await gate.customer('narrow', '0.0003');
  const { aborted } = gate.upstream.stats();
  const flow = await openStream(gate, key, 'hi [[bytes=20000000]]', { ...WAYS['openai, usage asked for'], max_tokens: 10_000 });
  assert.equal(await flow.over, true);
  assert.match(flow.text, /"finish_reason":"length"/);
  // 500 tokens' bytes at most are paid for; one read and one unfinished event may come on top.
  assert.ok(flow.text.length <= 500 + 2 * 65_536 + 2_000, `${flow.text.length} bytes`);
  const { records: [record] } = await gate.bill(key, flow);
  assert.equal(record.error_class, 'stopped_at_limit');
  for (const until = Date.now() + 1_000; gate.upstream.stats().aborted === aborted && Date.now() < until;) await sleep(10);
  assert.equal(gate.upstream.stats().aborted, aborted + 1);
});

rule('where even the beginning does not fit whole, the stream is shortened or refused', async () => {
  const key = await gate.customer('short', '0.00005'); // 83 tokens at most
  const way = { ...WAYS['openai, usage asked for'], max_tokens: 10_000 };
  const flow = await openStream(gate, key, 'hi [[chunks=30]]', way);
  assert.equal(flow.status, 200);
  assert.match(flow.headers['x-farebox-clamped'], /^max_tokens=\d+$/);
  assert.equal(await flow.over, true);
});

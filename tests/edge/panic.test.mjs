// A panic in the engine: everyone under way gets an answer, the next request works, and what was
// held is resolved by the written rule.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openStream, refusal, requestId, say, sleep, startGate, WAYS, within } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const CANARY = 'canary-prompt-91bc';

let gate, key;
before(async () => {
  gate = await startGate({ vars: { FAREBOX_ALLOW_CRASH: 'true', FAREBOX_HOLD_TTL_SECONDS: '1' } });
  key = await gate.customer('acme', '100');
});
after(() => gate?.stop());

const APIS = { openai: ['/v1/chat/completions', 'gpt-4o-mini'], anthropic: ['/v1/messages', 'claude-haiku-4-5'] };
const send = (family, text, headers = {}, extra = {}) => gate.raw(APIS[family][0], {
  headers: { authorization: `Bearer ${key}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ model: APIS[family][1], max_tokens: 100, ...say(text), ...extra }),
  timeoutMs: 15_000,
});
const crash = (family = 'openai') => send(family, CANARY, { 'x-farebox-crash': '1' });

rule('S52: a panic is a plain 500 with a request id, and the next request works', async () => {
  for (const family of ['openai', 'anthropic', 'openai']) {
    const hits = gate.hits();
    const { status, code, text } = await refusal(await crash(family), family);
    assert.deepEqual([status, code, gate.hits()], [500, 'internal_error', hits]);
    assert.doesNotMatch(text, /panic|\.rs|wasm|unreachable/i);
    for (const each of ['openai', 'anthropic']) {
      const answer = await send(each, 'hi');
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['x-farebox-cost'], (await gate.bill(key, answer)).cost);
    }
  }
});

rule('F47: the ledger and its chain survive panics', async () => {
  const before = await gate.status('acme');
  for (let n = 0; n < 10; n += 1) {
    const [, answer] = await Promise.all([crash(), send('openai', 'hi')]);
    assert.ok([200, 500].includes(answer.status), answer.body.toString());
  }
  const good = await send('openai', 'hi');
  assert.equal(good.status, 200);
  const { head, spend } = await gate.idle('acme', 15_000);
  assert.ok(head.seq > before.head.seq);
  assert.ok(Number(spend.settled) >= Number(before.spend.settled));
});

rule('everyone under way at a panic gets an answer in time, and every hold is resolved', async () => {
  const name = 'crowd';
  const as = await gate.customer(name, '100');
  const asked = (family, text, extra) => gate.raw(APIS[family][0], {
    headers: { authorization: `Bearer ${as}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' },
    body: JSON.stringify({ model: APIS[family][1], max_tokens: 100, ...say(text), ...extra }),
    timeoutMs: 15_000,
  });
  const waiting = Array.from({ length: 12 }, (_, n) => asked(n % 2 ? 'openai' : 'anthropic', '[[hold=panic]]', n % 3 ? {} : { stream: true }));
  const flows = await Promise.all(Object.values(WAYS).map((way) => openStream(gate, as, 'hi [[chunks=60 gap_ms=50]]', way)));
  await Promise.all(flows.map((flow) => flow.until(5)));
  await gate.until(name, ({ spend }) => spend.open === 15, 'not all under way');

  assert.equal((await crash()).status, 500);
  assert.equal((await send('openai', 'hi')).status, 200, 'the next request works while the others are lost');
  await sleep(100);
  gate.upstream.release('panic');
  const answers = await Promise.all(waiting);
  for (const answer of answers) assert.ok([200, 500].includes(answer.status), `${answer.status} ${answer.body}`);
  for (const answer of answers) assert.ok(requestId(answer));
  await within(15_000, Promise.all(flows.map((flow) => flow.over)), 'not every stream ended');

  const { requests, head, spend } = await gate.idle(name, 15_000);
  assert.equal(spend.held, '0');
  const attempts = new Map();
  for (const row of requests) attempts.set(row.attempt_id, [...(attempts.get(row.attempt_id) ?? []), row]);
  assert.equal(attempts.size, 15, `${head.seq} records for ${attempts.size} attempts`);
  const lost = answers.filter(({ status }) => status === 500);
  for (const answer of lost) {
    const { records } = await gate.bill(as, answer);
    assert.ok(records.some((record) => record.class === 'unresolved'), JSON.stringify(records.map((record) => record.class)));
    assert.ok(records.every((record) => Number(record.amount) >= 0));
  }
  for (const answer of answers.filter(({ status }) => status === 200)) {
    const { records } = await gate.bill(as, answer);
    assert.notEqual(records.at(-1).class, 'voided');
  }
});

rule('S50, S52: a panic is told to the log by its place, without content or keys', () => {
  const log = gate.logs.join('\n');
  assert.match(log, /panic at/);
  for (const secret of [CANARY, key, key.split('_')[4], ...Object.values(gate.secretVars)]) assert.ok(!log.includes(secret), log.slice(0, 2_000));
});

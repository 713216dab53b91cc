// The ledger out of reach, in the ways it can be: nothing runs unmetered but what the operator
// allows, and nothing that was used is lost. Numbered as in the fault matrix.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFaulty } from './faulty.mjs';
import { openStream, quantity, refusal, requestId, say, sleep, startGate, WAYS } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const FAIL_OPEN = { customer: '0.001', total: '0.0015', isolates: 4 };

let closed, open;
before(async () => {
  closed = await startFaulty();
  open = await startFaulty({ vars: { FAREBOX_FAIL_OPEN: JSON.stringify(FAIL_OPEN) } });
});
after(async () => {
  await closed?.stop();
  await open?.stop();
});

const ask = (gate, key, text = 'hi', extra = {}) => gate.raw('/v1/chat/completions', {
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 100, ...say(text), ...extra }),
});
const micro = (amount) => Math.round(Number(amount) * 1e9);

/** The customer's status once it has so many records. */
const recorded = (gate, name, count, ms = 10_000) => gate.until(name, ({ head, spend }) => head.seq >= count && spend.open === 0, `not ${count} records`, ms);

rule('F34, R4: a ledger out of reach is a 503 that says when to retry, and the upstream is not asked', async () => {
  const key = await closed.customer('down', '1');
  const hits = closed.hits();
  for (const how of ['down', 'overloaded']) {
    await closed.strike(how, ['reserve']);
    for (const extra of [{}, { stream: true }]) {
      const { status, code, header } = await refusal(await ask(closed, key, 'hi', extra), 'openai');
      assert.deepEqual([status, code, header('retry-after')], [503, 'metering_unavailable', '1']);
    }
    await closed.heal();
  }
  assert.equal(closed.hits(), hits);
  assert.equal((await closed.status('down')).head.seq, 0);
  assert.equal((await ask(closed, key)).status, 200, 'and is served again at once');
});

rule('F34: a ledger that says nothing is not waited for without end', async () => {
  const key = await closed.customer('silent', '1');
  await closed.strike('silent', ['reserve']);
  const began = Date.now();
  const all = await Promise.all(Array.from({ length: 20 }, () => ask(closed, key)));
  assert.deepEqual([...new Set(all.map(({ status }) => status))], [503]);
  assert.ok(Date.now() - began < 12_000, `${Date.now() - began} ms`);
  await closed.heal();
});

rule('F36: a reserve whose answer was lost is found again by its id', async () => {
  const key = await closed.customer('lostonce', '1');
  await closed.strike('lost', ['reserve'], 1);
  const answer = await ask(closed, key);
  assert.equal(answer.status, 200);
  assert.deepEqual(await closed.tries(), { reserve: 2, settle: 1 });
  assert.equal((await closed.bill(key, answer)).records.length, 1);
  await closed.heal();
});

rule('F36: where both answers were lost the request is refused, and the hold it left is released', async () => {
  const key = await closed.customer('losttwice', '1');
  const hits = closed.hits();
  await closed.strike('lost', ['reserve']);
  assert.equal((await ask(closed, key)).status, 503);
  const { requests: [row], spend } = await recorded(closed, 'losttwice', 1, 3_000);
  assert.deepEqual([row.outcome, spend.settled, spend.held, closed.hits()], ['voided', '0', '0', hits]);
  await closed.heal();
});

rule('F37: an object that is overloaded is not asked again', async () => {
  const key = await closed.customer('loaded', '1');
  await closed.strike('overloaded', ['reserve']);
  assert.equal((await ask(closed, key)).status, 503);
  assert.equal((await closed.tries()).reserve, 1);
  await closed.heal();
});

rule('F38, F42, R3: a settle that fails, or whose answer is lost, is told again and counts once', async () => {
  for (const [how, times] of [['down', 2], ['lost', 1], ['lost', 3]]) {
    const name = `settle${how}${times}`;
    const key = await closed.customer(name, '1');
    await closed.strike(how, ['settle'], times);
    const answer = await ask(closed, key);
    assert.equal(answer.status, 200);
    const { cost, records } = await closed.bill(key, answer);
    assert.deepEqual([records.length, records[0].class, answer.headers['x-farebox-cost']], [1, 'settled', cost]);
    await closed.heal();
  }
});

rule('F39: a ledger away at settle is told for 12 s, and after that the hold\'s end decides', async () => {
  const key = await closed.customer('away', '1');
  await closed.strike('down', ['settle', 'renew']);
  const flow = await openStream(closed, key, 'hi [[chunks=5]]', WAYS['openai, usage asked for']);
  assert.equal(await flow.over, true, 'the client has its answer');
  await sleep(3_000);
  await closed.heal();
  const { records: [record] } = await closed.bill(key, flow);
  assert.deepEqual([record.class, quantity(record, 'output_total')], ['settled', '5']);
});

rule('F12, F13: an upstream that is silent before its answer or amid it is ended, and not free', async () => {
  const timed = await startGate({ vars: { FAREBOX_UPSTREAM_TIMEOUT_SECONDS: '1', FAREBOX_HOLD_TTL_SECONDS: '2' } });
  try {
    const key = await timed.customer('stalls', '1');
    const late = await refusal(await ask(timed, key, 'hi [[first_byte_ms=60000]]'), 'openai');
    assert.deepEqual([late.status, late.code], [504, 'upstream_timeout']);
    const { records: [unheard] } = await timed.bill(key, { headers: { 'x-farebox-request-id': late.id } });
    assert.deepEqual([unheard.class, unheard.error_class, Number(unheard.amount) > 0], ['settled', 'timeout', true]);
    for (const way of Object.values(WAYS)) {
      const flow = await openStream(timed, key, 'hi [[stall_after=3]]', way);
      const { records: [record] } = await timed.bill(key, flow, 8_000);
      assert.deepEqual([record.class, record.outcome], ['settled', 'truncated']);
      assert.ok(Number(quantity(record, 'output_total')) >= 3);
      assert.equal(await flow.over, false, 'the client is not told that this was all');
    }
    assert.equal((await timed.idle('stalls')).spend.held, '0');
  } finally {
    await timed.stop();
  }
});

rule('F35: by the operator\'s allowance so much runs without a hold, says so, and is booked when the ledger is back', async () => {
  const key = await open.customer('allowed', '1');
  // Bodies of one length, and so of one worst case.
  const kinds = [{ stream: true, user: 'xx' }, { stream: false, user: 'x' }];
  const held = micro((await ask(open, key, 'hi', kinds[0])).headers['x-farebox-held']);
  const before = await recorded(open, 'allowed', 1);
  await open.strike('down', ['reserve', 'settle', 'unreserved', 'void']);
  const fits = Math.floor(micro(FAIL_OPEN.customer) / held);
  const answers = [];
  for (let n = 0; n < fits + 3; n += 1) answers.push(await ask(open, key, 'hi', kinds[n % 2]));
  const ran = answers.filter(({ status }) => status === 200);
  assert.deepEqual([ran.length, answers.length - ran.length], [fits, 3], 'to the very bound');
  for (const { headers } of ran) {
    const [, most, inUse, isolate, exposure] = /^most=(\S+), in-use=(\S+), isolate=(\S+), exposure=(\S+)$/.exec(headers['x-farebox-unreserved']);
    assert.ok(micro(most) === held && micro(inUse) <= micro(FAIL_OPEN.customer));
    assert.deepEqual([isolate, exposure], [FAIL_OPEN.total, '0.006']);
  }
  assert.equal(answers.at(-1).headers['x-farebox-unreserved'], undefined);

  const other = await open.customer('another', '1');
  let rest = 0;
  while ((await ask(open, other, 'hi', kinds[0])).status === 200) rest += 1;
  assert.equal(rest, Math.floor(micro(FAIL_OPEN.total) / held) - fits, 'all customers together keep to the total');

  await open.heal();
  await sleep(1_100);
  assert.equal((await ask(open, key)).status, 200);
  const { requests } = await recorded(open, 'allowed', before.head.seq + fits + 1, 20_000);
  assert.ok(requests.length >= fits + 2);
  const { records: [record] } = await open.bill(key, ran[0]);
  assert.deepEqual([record.class, record.flags.includes('unreserved')], ['settled', true]);
  assert.ok(Number(record.amount) > 0);
  await recorded(open, 'another', rest, 20_000);
  await open.strike('down', ['reserve', 'settle', 'unreserved', 'void']);
  assert.equal((await ask(open, other)).status, 200, 'what is booked is free again');
  await open.heal();
  assert.match(open.logs.join('\n'), /runs without a hold: most=/);
});

rule('F35: a hold that was made after all is the attempt\'s own, and it is charged once', async () => {
  const key = await open.customer('unsure', '1');
  await open.strike('lost', ['reserve']);
  const answer = await ask(open, key, 'hi [[chunks=4]]');
  assert.equal(answer.status, 200);
  const { records } = await open.bill(key, answer);
  assert.deepEqual([records.length, records[0].class, records[0].flags], [1, 'settled', []]);
  assert.equal((await open.status('unsure')).spend.held, '0');
  await open.heal();
});

rule('F35: a request that the provider refuses gives its allowance back', async () => {
  const key = await open.customer('refused', '1');
  await open.strike('down', ['reserve']);
  for (let n = 0; n < 30; n += 1) {
    const answer = await ask(open, key, 'hi [[status=500]]');
    assert.equal(answer.status, 500, `${n}: ${answer.body}`);
    await sleep(20);
  }
  await open.heal();
  assert.equal((await open.status('refused')).spend.settled, '0');
  assert.ok(requestId(await ask(open, key)));
});

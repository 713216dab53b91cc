// A hard limit holds under any concurrency, and every refusal says what, why and how much.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mintKey, quantity, refusal, requestId, say, secrets, sleep, startGate } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 60_000 }, run);

let gate;
before(async () => { gate = await startGate(); });
after(() => gate?.stop());

const APIS = {
  openai: { path: '/v1/chat/completions', model: 'gpt-4o-mini', header: (key) => ({ authorization: `Bearer ${key}` }) },
  anthropic: { path: '/v1/messages', model: 'claude-haiku-4-5', header: (key) => ({ 'x-api-key': key, 'anthropic-version': '2023-06-01' }) },
};

const send = (family, key, body) => gate.raw(APIS[family].path, {
  headers: { 'content-type': 'application/json', ...APIS[family].header(key) },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});
const asking = (family, text = 'hi', extra = {}) => ({ model: APIS[family].model, max_tokens: 100, ...say(text), ...extra });

/** Exact arithmetic on decimal strings, in units of 10^-15. */
const units = (text) => {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(sign + whole + fraction.padEnd(15, '0'));
};
const text = (value) => {
  const digits = (value < 0n ? -value : value).toString().padStart(16, '0');
  const fraction = digits.slice(-15).replace(/0+$/, '');
  return (value < 0n ? '-' : '') + digits.slice(0, -15) + (fraction && `.${fraction}`);
};
const times = (amount, n) => text(units(amount) * BigInt(n));

/** What exactly this request holds, found out with a customer who has no limit. */
let probe;
async function holdOf(family, body) {
  probe ??= await gate.customer('probe', null);
  const answer = await send(family, probe, body);
  assert.equal(answer.status, 200, answer.body.toString());
  return answer.headers['x-farebox-held'];
}

for (const [family, extra, wanted, sent] of [['openai', {}, 50, 200], ['openai', { stream: true }, 20, 80], ['anthropic', { stream: true }, 20, 80]]) {
  const shown = `${family}${extra.stream ? ', streamed' : ''}`;
  rule(`R1: of ${sent} at once exactly ${wanted} are let through where ${wanted} fit, and the rest told to come back (${shown})`, async () => {
    const name = `burst${family}${extra.stream ? 's' : ''}`;
    const body = asking(family, `hi [[hold=${name}]]`, extra);
    const exact = await holdOfLength(family, body, name);
    const key = await gate.customer(name, times(exact, wanted));
    const hits = gate.hits();

    let refused = 0;
    const all = Array.from({ length: sent }, () => send(family, key, body).then((answer) => {
      if (answer.status !== 200) refused += 1;
      return answer;
    }));
    const until = Date.now() + 30_000;
    while ((refused < sent - wanted || gate.hits() - hits < wanted) && Date.now() < until) await sleep(20);
    const during = await gate.status(name);
    assert.deepEqual([gate.hits() - hits, refused], [wanted, sent - wanted]);
    assert.deepEqual([during.spend.open, during.spend.held, during.limits[0].remaining], [wanted, times(exact, wanted), '0']);

    gate.upstream.release(name);
    const answers = await Promise.all(all);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      const { status, code, header } = await refusal(answer, family);
      assert.deepEqual([status, code], [429, 'in_flight_budget_exhausted']);
      assert.match(header('retry-after'), /^([1-9]|[12]\d|30)$/);
      assert.equal(header('x-should-retry'), null);
    }
    assert.equal(gate.hits() - hits, wanted);
    const done = await gate.idle(name);
    assert.deepEqual([done.spend.held, done.head.seq], ['0', wanted]);
    const spent = done.requests.reduce((sum, { amount }) => sum + units(amount), 0n);
    assert.equal(done.spend.settled, text(spent));
    assert.ok(spent > 0n && spent <= units(times(exact, wanted)));
    assert.equal((await send(family, key, asking(family, 'hi'))).status, 200, 'room again');
  });
}

/** The hold of a body whose answer is withheld: asked for, read from the ledger, and let go. */
async function holdOfLength(family, body, id) {
  const name = `size${id}`;
  const key = await gate.customer(name, null);
  const waiting = send(family, key, body);
  const { spend } = await gate.until(name, (status) => status.spend.open === 1, 'no hold');
  gate.upstream.release(id);
  await waiting;
  gate.upstream.reset(); // so that the same id withholds again
  return spend.held;
}

const FIELDS = ['scope', 'limit_id', 'window', 'limit', 'spent', 'held', 'needed', 'remaining', 'currency', 'resets_at', 'dashboard_url'];

for (const family of ['openai', 'anthropic']) {
  rule(`a spent limit is a 402 that says everything, that no SDK retries, and that changes nothing (${family})`, async () => {
    const name = `spent${family}`;
    const body = asking(family);
    const held = await holdOf(family, body);
    const key = await gate.customer(name, held);
    const first = await send(family, key, body);
    assert.equal(first.status, 200);
    const spent = first.headers['x-farebox-cost'];
    const [hits, before] = [gate.hits(), await gate.status(name)];
    for (const extra of [{}, { stream: true }]) {
      const needed = await holdOf(family, { ...body, ...extra });
      const { status, code, kind, details, header, message } = await refusal(await send(family, key, { ...body, ...extra }), family);
      if (!extra.stream) assert.deepEqual([status, code], [402, 'spend_limit_exceeded']);
      assert.equal(status, 402);
      assert.equal(kind, family === 'openai' ? 'insufficient_quota' : 'billing_error');
      assert.deepEqual([header('x-should-retry'), header('retry-after')], ['false', null]);
      for (const field of FIELDS) assert.ok(field in details, `${field} in ${JSON.stringify(details)}`);
      assert.deepEqual([details.scope, details.limit_id, details.window, details.currency], ['customer', 'main', 'month', 'USD']);
      assert.deepEqual([details.limit, details.spent, details.held, details.needed], [held, spent, '0', needed]);
      assert.equal(details.remaining, text(units(held) - units(spent)));
      assert.match(details.resets_at, /^\d{4}-\d\d-01T00:00:00\.000Z$/);
      assert.equal(new URL(details.dashboard_url).origin, gate.url);
      assert.ok(message.includes(held) && message.includes('USD'), message);
    }
    assert.equal(gate.hits(), hits + 2, 'only the two probes went through');
    const { spend, head, limits } = await gate.status(name);
    assert.deepEqual({ spend, head, limits }, { spend: before.spend, head: before.head, limits: before.limits });
  });

  rule(`a request that can never fit is a 402 with the length that does, exactly (${family})`, async () => {
    for (const [n, limit] of [[1, '0.0004'], [2, '0.0009']]) {
      if (n > 1 && family === 'anthropic') continue; // it has no choices
      const name = `never${family}${n}`;
      const key = await gate.customer(name, limit);
      // Padded, so that another number does not change the body's length, and with it the input's bound.
      const body = (most) => JSON.stringify(asking(family, 'hi', { max_tokens: 'MOST', ...(n > 1 ? { n } : {}) })).replace('"MOST"', String(most).padStart(9));
      const hits = gate.hits();
      const { status, code, details, message } = await refusal(await send(family, key, body(60_000)), family);
      assert.deepEqual([status, code], [402, 'request_exceeds_limit']);
      for (const field of FIELDS) assert.ok(field in details, field);
      const affordable = Number(details.affordable_max_tokens);
      assert.ok(affordable > 0 && affordable < 60_000, JSON.stringify(details));
      assert.ok(message.includes(`max_tokens ${affordable}`), message);
      assert.equal((await send(family, key, body(affordable + 1))).status, 402, 'one token more does not fit');
      assert.equal(gate.hits(), hits);
      assert.equal((await send(family, key, body(affordable))).status, 200, 'what was named does');
    }
  });

  rule(`what is running is told apart from what is spent (${family})`, async () => {
    const name = `busy${family}`;
    const body = asking(family, `hi [[hold=${name}]]`);
    const held = await holdOfLength(family, body, name);
    const key = await gate.customer(name, held);
    const waiting = send(family, key, body);
    await gate.until(name, (status) => status.spend.open === 1, 'no hold');
    const { status, code, kind, details, message, header } = await refusal(await send(family, key, body), family);
    assert.deepEqual([status, code, kind], [429, 'in_flight_budget_exhausted', family === 'openai' ? 'rate_limit_exceeded' : 'rate_limit_error']);
    assert.deepEqual([details.spent, details.held, details.remaining, details.needed], ['0', held, '0', held]);
    assert.ok(Number(header('retry-after')) <= 30);
    assert.match(message, /retry/i);
    gate.upstream.release(name);
    assert.equal((await waiting).status, 200);
  });
}

rule('of several limits the refusal names the one that stands in the way, the most final first', async () => {
  const body = asking('openai');
  const held = await holdOf('openai', body);
  const key = await gate.customer('several', times(held, 10), {
    extraLimits: [
      { id: 'small', window: 'day', kind: 'hard', limit: times(held, 1) },
      { id: 'ever', window: 'lifetime', kind: 'hard', limit: '0.000001' },
      { id: 'soft', window: 'day', kind: 'soft', limit: '0' },
    ],
  });
  const { code, details, message } = await refusal(await send('openai', key, body), 'openai');
  assert.deepEqual([code, details.limit_id, details.window, details.resets_at ?? null], ['request_exceeds_limit', 'ever', 'lifetime', null]);
  assert.ok('resets_at' in details);
  assert.match(message, /never fit/);
});

rule('a soft limit lets through, and shows', async () => {
  const key = await gate.customer('soft', null, { extraLimits: [{ id: 'note', window: 'month', kind: 'soft', limit: '0.000001' }] });
  for (let n = 0; n < 3; n += 1) assert.equal((await send('openai', key, asking('openai'))).status, 200);
  const { status, limits: [limit] } = await gate.idle('soft');
  assert.deepEqual([status, limit.kind, limit.remaining.startsWith('-')], ['warn', 'soft', true]);
});

rule('a limit of zero refuses all but what is free, and names no length', async () => {
  const key = await gate.customer('zero', '0');
  const hits = gate.hits();
  const { status, code, details, message } = await refusal(await send('openai', key, asking('openai')), 'openai');
  assert.deepEqual([status, code, gate.hits()], [402, 'request_exceeds_limit', hits]);
  assert.ok(!(Number(details.affordable_max_tokens) > 0), JSON.stringify(details));
  assert.doesNotMatch(message, /max_tokens/);
});

rule('F18: what was used beyond the hold is charged whole and flagged as overage, and stops the next', async () => {
  const cases = [['openai', '[[cached=1000000]]', 'cache_read'], ['anthropic', '[[cache_write_1h=1000000]]', 'cache_write_1h']];
  for (const [family, directive, meter] of cases) {
    const name = `over${family}`;
    const body = asking(family, `hi ${directive}`);
    const key = await gate.customer(name, await holdOf(family, body));
    const answer = await send(family, key, body);
    const { cost, records: [record] } = await gate.bill(key, answer);
    assert.ok(record.flags.includes('overage'), record.flags);
    assert.equal(quantity(record, meter), '1000000');
    assert.ok(units(cost) > units(record.held));
    const { code, status, details } = await refusal(await send(family, key, body), family);
    assert.deepEqual([status, code, details.remaining.startsWith('-'), details.spent], [402, 'spend_limit_exceeded', true, cost]);
    assert.equal((await gate.status(name)).spend.held, '0');
  }
});

rule('hidden reasoning is counted, and stays within the hold', async () => {
  const key = await gate.customer('thinker', '1');
  const answer = await send('openai', key, asking('openai', 'hi [[reasoning=500]]'));
  const { records: [record] } = await gate.bill(key, answer);
  assert.deepEqual([quantity(record, 'reasoning'), quantity(record, 'output_total'), record.flags], ['100', '100', []]);
  assert.ok(units(record.amount) <= units(record.held));
});

rule('a failed attempt gives its hold back at once', async () => {
  const body = asking('openai', 'hi [[status=500]]');
  const key = await gate.customer('failing', await holdOf('openai', asking('openai', 'hi [[chunks=10 ]]')));
  for (let n = 0; n < 5; n += 1) {
    assert.equal((await send('openai', key, body)).status, 500);
    await gate.idle('failing');
  }
  assert.equal((await gate.status('failing')).spend.settled, '0');
});

rule('F60, R11: a changed limit counts at once, and spend is kept', async () => {
  const key = await gate.customer('moved', '1');
  const put = (limit) => gate.admin('PUT', 'customers/moved', { currency: 'USD', limits: [{ id: 'main', window: 'month', kind: 'hard', limit }] });
  const spent = (await send('openai', key, asking('openai'))).headers['x-farebox-cost'];
  await put('0.000001');
  assert.equal((await send('openai', key, asking('openai'))).status, 402);
  await put('1');
  assert.equal((await send('openai', key, asking('openai'))).status, 200);
  assert.equal((await gate.idle('moved')).spend.settled, times(spent, 2));
});

rule('F62, R11: a revoked key is dead at once, and what runs under it still settles', async () => {
  const key = await gate.customer('revoked', '1');
  const running = send('openai', key, asking('openai', 'hi [[hold=revoked]]'));
  await gate.until('revoked', (status) => status.spend.open === 1, 'no hold');
  await gate.admin('DELETE', 'customers/revoked/keys/k1');
  const hits = gate.hits();
  for (const family of ['openai', 'anthropic']) {
    const { status, code } = await refusal(await send(family, key, asking(family)), family);
    assert.deepEqual([status, code], [401, 'key_disabled']);
  }
  assert.equal(gate.hits(), hits);
  gate.upstream.release('revoked');
  assert.equal((await running).status, 200);
  assert.equal((await gate.idle('revoked')).requests[0].outcome, 'settled');
});

rule('S1: every key that is not good gets the same 401, whatever is wrong with it', async () => {
  const key = await gate.customer('keyed', '1');
  await gate.customer('victim', '1');
  const [, mode, customer, keyId, secret, ending] = key.split('_');
  const built = (changes) => Object.values({ fb: 'fb', mode, customer, keyId, secret, ending, ...changes }).join('_');
  const ring = gate.secretVars.FAREBOX_KEY_SECRETS;
  const { token } = await gate.admin('POST', 'customers/keyed/sessions', {});
  const bad = [
    'fb', 'fb_', 'fb_test_', 'x', 'sk-demo-upstream', token, gate.secretVars.FAREBOX_ADMIN_TOKEN, 'null', 'undefined', '_'.repeat(5), '_'.repeat(500),
    built({ mode: 'live' }), built({ mode: 'prod' }), built({ customer: 'victim' }), built({ customer: '../keyed' }), built({ customer: 'KEYED' }), built({ customer: '' }),
    built({ keyId: 'k2' }), built({ keyId: '' }), built({ secret: '0'.repeat(32) }), built({ secret: '' }), built({ secret: secret.toUpperCase() }),
    built({ ending: '' }), built({ ending: ending.slice(0, -1) }), built({ ending: `${ending}a` }), built({ ending: `2${ending.slice(1)}` }), built({ ending: `9999999999${ending}` }),
    built({ ending: `-1${ending.slice(1)}` }), built({ ending: ending.toUpperCase() }), `${key}_x`, ` ${key}x`, key.replace('fb_', 'FB_'), key.replaceAll('_', '-'), key.repeat(2), key.slice(3),
    ...[...'abcdefghijklmnopqrstuvwxyz234567'].filter((letter) => letter !== ending.at(-1)).map((letter) => built({ ending: ending.slice(0, -1) + letter })),
    mintKey(ring, 'nobody', 'k1').key, mintKey(ring, 'keyed', 'k9').key, mintKey(ring, 'keyed', 'k1').key, mintKey(secrets().FAREBOX_KEY_SECRETS, 'keyed', 'k1').key,
    "' OR 1=1 --", 'x'.repeat(8_000), 'é'.repeat(10), '{"a":1}', '%00',
  ];
  const hits = gate.hits();
  for (const family of ['openai', 'anthropic']) {
    const seen = new Set();
    for (const value of bad) {
      const answer = await gate.raw(APIS[family].path, {
        headers: { ...APIS[family].header(value), 'content-type': 'application/json' }, body: JSON.stringify(asking(family)),
      });
      const { status, code, text: body, id } = await refusal(answer, family);
      assert.deepEqual([status, code], [401, 'invalid_key'], value);
      seen.add(body.replaceAll(id, 'ID'));
    }
    const none = await gate.raw(APIS[family].path, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(asking(family)) });
    seen.add((await refusal(none, family)).text.replaceAll(requestId(none), 'ID'));
    assert.equal(seen.size, 1, [...seen].join('\n'));
  }
  assert.equal(gate.hits(), hits);
  assert.equal((await send('openai', key, asking('openai'))).status, 200, 'the good one works');
});

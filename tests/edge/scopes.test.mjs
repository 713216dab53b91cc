// Limits by key, model, tag and end user; rates; entitlements; caps; freezing; keys of the operator's own.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { mintKey, requestId, say, sleep, startGate } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 120_000 }, run);

let gate;
before(async () => {
  gate = await startGate({ vars: { FAREBOX_TAG_HEADER: 'X-Team', FAREBOX_OWN_KEYS: 'true' } });
});
after(() => gate?.stop());

/** A customer with these terms, and a key for each of the names. */
async function customer(name, terms, keys = ['k1'], keyTerms = {}) {
  await gate.admin('PUT', `customers/${name}`, { currency: 'USD', limits: [], ...terms });
  const minted = keys.map((id) => mintKey(gate.secretVars.FAREBOX_KEY_SECRETS, name, id));
  for (const { keyId, secretSha256 } of minted) {
    await gate.admin('PUT', `customers/${name}/keys/${keyId}`, { secret_sha256: secretSha256, ...keyTerms[keyId] });
  }
  return minted.map(({ key }) => key);
}

/** An answer's status, code and details. */
async function told(promise) {
  const answer = await promise;
  const body = await answer.json();
  const { code, details, message } = body.error ?? {};
  return { status: answer.status, code, details, message, headers: answer.headers };
}

const brief = ({ status, code }) => [status, code];
const limit = (id, rest) => ({ id, kind: 'hard', window: 'month', ...rest });

/** Exact arithmetic on decimal strings, in units of 10^-15. */
const units = (text) => {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(sign + whole + fraction.padEnd(15, '0'));
};
const text = (value) => `${value / 10n ** 15n}.${(value % 10n ** 15n).toString().padStart(15, '0')}`.replace(/\.?0+$/, '');

rule('R1: a thousand at once race for the last cent under limits of three scopes: none too many, none stuck', async () => {
  const id = 'race';
  const ask = { ...say(`hi [[hold=${id}]]`), user: 'ann' };
  const [probe] = await customer('probe', {});
  const waiting = gate.chat(probe, ask);
  const held = units((await gate.until('probe', (status) => status.spend.open === 1, 'no hold')).spend.held);
  gate.upstream.release(id);
  await waiting;
  gate.upstream.reset(); // so that the same id withholds again
  const room = 23n;
  const key = (await customer('race', { limits: [
    limit('all', { limit: text(held * (room + 2n)) }),
    limit('key', { scope: 'key', limit: text(held * (room + 1n)) }),
    limit('user', { scope: 'end_user', limit: text(held * room) }),
  ] }))[0];
  const hits = gate.hits();
  const answers = Array.from({ length: 1000 }, () => gate.chat(key, ask));
  // While the upstream withholds its answers, nothing settles: exactly as many are in as fit.
  let refused = 0;
  for (const answer of answers) answer.then(({ status }) => { refused += status === 200 ? 0 : 1; });
  const until = Date.now() + 60_000;
  while (refused < 1000 - Number(room) && Date.now() < until) {
    const { limits } = await gate.status('race');
    for (const each of limits) {
      const used = units(each.settled) + units(each.held);
      assert.ok(used <= units(each.limit), `${each.id}: ${used} of ${each.limit}`);
    }
    await sleep(100);
  }
  const standing = await gate.admin('GET', 'customers/race/standing/key/k1');
  assert.ok(units(standing.limits[0].held) <= units(standing.limits[0].limit));
  gate.upstream.release(id);
  const settled = await Promise.all(answers);
  const statuses = settled.map(({ status }) => status);
  const admitted = statuses.filter((status) => status === 200).length;
  const codes = new Map();
  for (const answer of settled.filter(({ status }) => status !== 200)) {
    const { code, details } = (await answer.json()).error;
    codes.set(code, (codes.get(code) ?? 0) + 1);
    assert.equal(details.limit_id, 'user');
  }
  assert.equal(gate.hits() - hits, admitted);
  assert.equal(admitted, Number(room));
  const done = await gate.idle('race');
  assert.deepEqual([done.spend.held, done.spend.open, done.head.seq], ['0', 0, admitted]);
  assert.equal(done.refused.reduce((sum, { count }) => sum + count, 0), 1000 - admitted, 'every refusal is counted');
  console.log(`1000 at once: ${admitted} admitted, ${JSON.stringify([...codes])}`);
});

rule('each key has an allowance of its own, and a refusal says whose it is', async () => {
  const [one, two] = await customer('keys', { limits: [limit('each', { scope: 'key', measure: 'requests', limit: '1' })] }, ['one', 'two']);
  assert.equal((await gate.chat(one, say('hi'))).status, 200);
  const refused = await told(gate.chat(one, say('hi')));
  assert.deepEqual(brief(refused), [402, 'spend_limit_exceeded']);
  const { scope, value, measure, unit, limit: most, spent, held, needed, remaining, resets_at, dashboard_url, currency } = refused.details;
  assert.deepEqual([scope, value, measure, unit], ['key', 'one', 'requests', 'requests']);
  assert.deepEqual([most, spent, held, needed, remaining, currency], ['1', '1', '0', '1', '0', undefined]);
  assert.match(resets_at, /-01T00:00:00.000Z$/);
  assert.equal(new URL(dashboard_url).origin, gate.url);
  assert.match(refused.message, /for key "one" is 1 requests, 1 is used/);
  assert.equal((await gate.chat(two, say('hi'))).status, 200);
});

rule('a model\'s other names are the same model', async () => {
  const [key] = await customer('names', { limits: [limit('dear', { scope: 'model', measure: 'requests', limit: '1' })], allows: { models: ['claude-haiku-4-5*'] } });
  const first = await gate.messages(key, say('hi'));
  assert.equal(first.status, 200, await first.text());
  const again = await gate.messages(key, { ...say('hi'), model: 'claude-haiku-4-5-20251001' });
  assert.equal(again.status, 402, await again.text());
  const other = await told(gate.chat(key, say('hi')));
  assert.deepEqual(brief(other), [403, 'not_in_plan']);
  assert.deepEqual(other.details, { model: 'gpt-4o-mini' });
});

rule('a tag is counted by the header the operator named, and may be required', async () => {
  const [key] = await customer('tags', { limits: [limit('team', { scope: 'tag', required: true, measure: 'requests', limit: '1' })] });
  const without = await told(gate.chat(key, say('hi')));
  assert.deepEqual(brief(without), [400, 'invalid_request']);
  assert.match(without.message, /x-team/);
  const tagged = (tag) => gate.chat(key, say('hi'), { headers: { 'x-team': tag } });
  assert.equal((await tagged('red')).status, 200);
  const spent = await told(tagged('red'));
  assert.deepEqual([...brief(spent), spent.details.value], [402, 'spend_limit_exceeded', 'red']);
  assert.equal((await tagged('blue')).status, 200);
  assert.equal((await tagged('x'.repeat(129))).status, 400);
  const [user] = await customer('users', { limits: [limit('each', { scope: 'end_user', required: true, measure: 'requests', limit: '1' })] });
  assert.deepEqual(brief(await told(gate.chat(user, say('hi')))), [400, 'invalid_request']);
  assert.equal((await gate.chat(user, { ...say('hi'), user: 'ann' })).status, 200);
  assert.equal((await gate.chat(user, { ...say('hi'), user: 'ann' })).status, 402);
  assert.equal((await gate.chat(user, { ...say('hi'), user: 'bob' })).status, 200);
});

rule('every answer tells how the limits stand, in structured fields', async () => {
  const [key] = await customer('fields', { limits: [
    limit('month', { limit: '5' }), limit('rpm', { window: 'minute', measure: 'requests', limit: '3' }),
    { id: 'par', kind: 'hard', measure: 'concurrency', limit: '2' },
  ] });
  const answer = await gate.chat(key, say('hi'));
  const policy = answer.headers.get('ratelimit-policy');
  assert.match(policy, /^"month";q=5000000;qu="micro-usd";w=(2419200|2505600|2592000|2678400), "rpm";q=3;w=60, "par";q=2;qu="concurrent-requests"$/);
  assert.match(answer.headers.get('ratelimit'), /^"month";r=49999\d\d;t=\d+, "rpm";r=2;t=\d+, "par";r=1$/);
  const streamed = await gate.chat(key, { ...say('hi'), stream: true });
  assert.match(streamed.headers.get('ratelimit'), /"rpm";r=1;t=\d+/);
  await streamed.text();
  const failed = await gate.chat(key, say('hi [[status=500]]'));
  assert.match(failed.headers.get('ratelimit'), /"rpm";r=[01];t=\d+/);
  const [free] = await customer('nolimits', {});
  assert.equal((await gate.chat(free, say('hi'))).headers.get('ratelimit'), null);
});

rule('a rate\'s refusal says when to come back, within a minute', async () => {
  const [key] = await customer('rates', { limits: [limit('rpm', { window: 'minute', measure: 'requests', limit: '1' })] });
  // Not across the minute's edge.
  if (Date.now() % 60_000 > 50_000) await sleep(60_000 - (Date.now() % 60_000) + 50);
  assert.equal((await gate.chat(key, say('hi'))).status, 200);
  const refused = await told(gate.chat(key, say('hi')));
  assert.deepEqual(brief(refused), [429, 'rate_limit_exceeded']);
  const seconds = Number(refused.headers.get('retry-after'));
  assert.ok(seconds >= 1 && seconds <= 60, `${seconds}`);
  assert.equal(refused.headers.get('x-should-retry'), null);
  assert.match(refused.headers.get('ratelimit'), new RegExp(`^"rpm";r=0;t=${seconds}$`));
});

rule('a key may be narrower than the plan, and may expire', async () => {
  const terms = { narrow: { allows: { models: ['gpt-4o-mini'], endpoints: ['/v1/chat/completions'] } }, brief: { expires_at: new Date(Date.now() + 1_500).toISOString() } };
  const [narrow, brief_, wide] = await customer('scoped', { allows: { features: [] } }, ['narrow', 'brief', 'wide'], terms);
  assert.equal((await gate.chat(narrow, say('hi'))).status, 200);
  assert.equal((await gate.messages(narrow, say('hi'))).status, 403);
  assert.equal((await gate.messages(wide, say('hi'))).status, 200);
  const tools = await told(gate.chat(wide, { ...say('hi'), tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }));
  assert.deepEqual(brief(tools), [403, 'not_in_plan']);
  assert.equal((await gate.chat(brief_, say('hi'))).status, 200);
  await sleep(1_600);
  assert.deepEqual(brief(await told(gate.chat(brief_, say('hi')))), [401, 'key_disabled']);
});

rule('S10: a customer tightens its own limits, and can do no more', async () => {
  const [key] = await customer('owncaps', { limits: [limit('all', { measure: 'requests', limit: '2' })] });
  const session = async (rights) => (await gate.admin('POST', 'customers/owncaps/sessions', { rights })).token;
  const put = (token, caps) => gate.fetch('/v1/farebox/caps', { method: 'PUT', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ caps }) });
  assert.equal((await put(await session('read'), [])).status, 403);
  assert.equal((await put(key, [])).status, 401, 'a key is no session');
  const write = await session('write');
  assert.equal((await put(write, [limit('mine', { measure: 'requests', limit: '1' })])).status, 200);
  assert.equal((await gate.chat(key, say('hi'))).status, 200);
  const refused = await told(gate.chat(key, say('hi')));
  assert.deepEqual([refused.code, refused.details.limit_id, refused.details.owner], ['spend_limit_exceeded', 'mine', 'customer']);
  assert.equal((await put(write, [limit('mine', { measure: 'requests', limit: '1000' })])).status, 200);
  assert.equal((await gate.chat(key, say('hi'))).status, 200);
  assert.equal((await told(gate.chat(key, say('hi')))).details.limit_id, 'all', 'the operator\'s still stands');
  assert.equal((await put(write, [{ id: 'x', kind: 'hard', limit: '1' }])).status, 400);
});

rule('F60: frozen, nothing begins and what runs is settled', async () => {
  const [key, other] = await customer('cold', {}, ['k1', 'k2']);
  const running = gate.chat(key, say('hi [[hold=cold]]'));
  await gate.until('cold', (status) => status.spend.open === 1, 'no hold');
  await gate.admin('PUT', 'customers/cold/freeze');
  assert.deepEqual(brief(await told(gate.chat(key, say('hi')))), [403, 'forbidden']);
  assert.equal((await gate.status('cold')).frozen, true);
  gate.upstream.release('cold');
  assert.equal((await running).status, 200);
  assert.equal((await gate.idle('cold')).head.seq, 1);
  await gate.admin('DELETE', 'customers/cold/freeze');
  await gate.admin('PUT', 'customers/cold/keys/k1/freeze');
  assert.equal((await gate.chat(key, say('hi'))).status, 403);
  assert.equal((await gate.chat(other, say('hi'))).status, 200);
  await gate.admin('DELETE', 'customers/cold/keys/k1/freeze');
  assert.equal((await gate.chat(key, say('hi'))).status, 200);
});

rule('a key the operator issued itself opens its customer\'s ledger, and only while that says so', async () => {
  const own = `sk-own-${randomBytes(12).toString('hex')}`;
  const key_sha256 = createHash('sha256').update(own).digest('hex');
  assert.equal((await gate.chat(own, say('hi'))).status, 401);
  await customer('ownkeys', {});
  await gate.admin('PUT', 'customers/ownkeys/own-keys/mine', { key_sha256 });
  assert.equal((await gate.chat(own, say('hi'))).status, 200, 'the negative answer is not kept where it was registered');
  const answer = await gate.messages(own, say('hi'));
  assert.equal(answer.status, 200);
  assert.equal((await gate.fetch(`/v1/farebox/requests/${requestId(answer)}`, { headers: { authorization: `Bearer ${own}` } })).status, 200);
  await customer('another', {});
  await assert.rejects(gate.admin('PUT', 'customers/another/own-keys/mine', { key_sha256 }), /registered already/);
  await gate.admin('DELETE', 'customers/ownkeys/keys/mine');
  assert.deepEqual(brief(await told(gate.chat(own, say('hi')))), [401, 'key_disabled'], 'at once');
  for (const text of ["' OR '1'='1", 'x'.repeat(600), 'sk-nobody']) assert.equal((await gate.chat(text, say('hi'))).status, 401);
  const records = (await gate.archive('ownkeys')).join('');
  assert.ok(!records.includes(own));
});

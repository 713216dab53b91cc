// Who may see and spend what, and that no secret is ever written down. Numbered as in docs/faults.md.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { refusal, requestId, say, secrets, sleep, startGate } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

let gate;
before(async () => { gate = await startGate({ vars: { FAREBOX_OWN_KEYS: 'true', FAREBOX_ALLOW_CRASH: 'true', FAREBOX_HOLD_TTL_SECONDS: '2' } }); });
after(() => gate?.stop());

rule('S2: two keys that begin alike for a hundred characters are two customers', async () => {
  const common = `sk-own-${'a'.repeat(100)}`;
  const keys = { left: `${common}1`, right: `${common}2` };
  for (const [name, own] of Object.entries(keys)) {
    await gate.admin('PUT', `customers/${name}`, { currency: 'USD', limits: [] });
    await gate.admin('PUT', `customers/${name}/own-keys/mine`, { key_sha256: sha256(own) });
  }
  for (let round = 0; round < 2; round += 1) {
    for (const own of [common, `${common}3`, common.slice(0, 64), `${keys.left} `.trim().slice(0, -1)]) assert.equal((await gate.chat(own, {})).status, 401);
    for (const [name, own] of Object.entries(keys)) {
      const seq = (await gate.status(name)).head.seq;
      assert.equal((await gate.chat(own, {})).status, 200);
      assert.equal((await gate.status(name)).head.seq, seq + 1, `${name} pays for its own`);
    }
  }
  assert.equal((await gate.status('left')).head.seq, 2);
});

rule('S10: a customer\'s own limits carry no field that only the operator may set', async () => {
  await gate.customer('capped', '1');
  const { token } = await gate.admin('POST', 'customers/capped/sessions', { rights: 'write' });
  const put = (body) => gate.raw('/v1/farebox/caps', { method: 'PUT', headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
  const cap = { id: 'mine', window: 'day', kind: 'hard', limit: '0.5' };
  const before = (await gate.status('capped')).limits;
  for (const body of [
    { caps: [{ ...cap, temp_budget_increase: '100' }] }, { caps: [{ ...cap, owner: 'operator' }] }, { caps: [], limits: [] }, { caps: [], allows: {} }, { caps: [], customer: 'left' },
    { caps: [], frozen: false }, { limits: [cap] }, { caps: [{ ...cap, limit: '-1' }] }, { caps: 'none' },
  ]) {
    assert.equal((await refusal(await put(body), 'own')).status, 400, JSON.stringify(body));
  }
  assert.deepEqual((await gate.status('capped')).limits, before);
  assert.equal((await put({ caps: [cap] })).status, 200);
  assert.deepEqual((await gate.status('capped')).limits.map(({ id }) => id).sort(), ['main', 'mine']);
});

rule('S12: what opened a dashboard or the gate opens nothing from the moment its secret is replaced or its key revoked', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-rotate-'));
  const upstream = await startUpstream();
  const first = secrets();
  const open = async (own, token) => (await own.raw('/v1/farebox/spend', { method: 'GET', headers: { authorization: `Bearer ${token}` } })).status;
  let own = await startGate({ persist: folder, upstream, secretVars: first });
  try {
    const key = await own.customer('acme', '1');
    const { token } = await own.admin('POST', 'customers/acme/sessions', {});
    assert.equal(await open(own, token), 200);
    await own.admin('DELETE', 'customers/acme/keys/k1');
    assert.equal((await own.chat(key, {})).status, 401, 'a revoked key, at once');
    await own.stop();
    own = await startGate({ persist: folder, upstream, secretVars: { ...first, FAREBOX_SESSION_SECRETS: secrets().FAREBOX_SESSION_SECRETS } });
    assert.equal(await open(own, token), 401, 'a session of the old secret');
    const { token: anew } = await own.admin('POST', 'customers/acme/sessions', {});
    assert.equal(await open(own, anew), 200);
  } finally {
    await own.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

rule('S13: there is nothing to search with a pattern: names with wildcards are no names, and positions in lists are none', async () => {
  const key = await gate.customer('lister', '1');
  for (const name of ['%25', '_', '%25_%25', 'a%25', 'x'.repeat(33)]) {
    const answer = await gate.raw(`/v1/farebox/admin/customers/${name}`, { method: 'GET', headers: { authorization: `Bearer ${gate.secretVars.FAREBOX_ADMIN_TOKEN}` } });
    assert.ok([400, 404].includes((await refusal(answer, 'own')).status), name);
  }
  for (const query of ['limit=1000000000', 'limit=-1', 'limit=%25', 'after=%25', `after=${'x'.repeat(10_000)}`, "after='%20OR%201=1"]) {
    const answer = await gate.raw(`/v1/batches?${query}`, { method: 'GET', headers: { authorization: `Bearer ${key}` } });
    assert.ok(answer.status < 500, `${query.slice(0, 40)}: ${answer.status}`);
    if (answer.status === 200) assert.deepEqual(JSON.parse(answer.body).data, [], query.slice(0, 40));
  }
});

rule('S50: through everything that can go well or wrong, no key and no word of a prompt is written anywhere', async () => {
  const CANARY = 'canary-7be1c0';
  const key = await gate.customer('canary', '0.0005');
  const text = (more = '') => ({ ...say(`${CANARY} ${more}`), user: `${CANARY}@example.com` });
  const answers = [];
  const chat = async (body, init) => answers.push(await gate.chat(key, body, init));
  await chat(text());
  await chat({ ...text(), stream: true });
  for (const more of ['[[status=429]]', '[[status=500]]', '[[leak]]', '[[cut_after=0]]', '[[redirect]]', '[[no_usage]]', '[[big_json=2000000]]']) await chat(text(more));
  await chat({ ...text(), max_tokens: 60_000 });
  await chat({ ...text(), model: 'gpt-9' });
  await chat({ ...text(), stop: { bad: CANARY }, max_tokens: 'x' });
  await chat(text(), { headers: { 'idempotency-key': CANARY } });
  await chat(text(), { headers: { 'idempotency-key': CANARY } });
  await chat(text(), { headers: { 'x-farebox-crash': '1' } });
  answers.push(await gate.raw(`/v1/chat/completions?key=${key}x`, { body: '{}' }));
  const shown = [];
  for (const answer of answers) {
    const body = Buffer.isBuffer(answer.body) ? answer.body.toString() : await answer.text().catch(() => '');
    shown.push(JSON.stringify(answer.rawHeaders ?? [...answer.headers]), body);
    assert.match(requestId(answer) ?? '', /^[0-9a-f-]{36}$/);
  }
  await gate.idle('canary', 15_000);
  const { head } = await gate.status('canary');
  for (const end = Date.now() + 10_000; (await gate.archive('canary')).length < head.seq && Date.now() < end;) await sleep(100);
  const written = [...gate.logs, ...await gate.archive('canary'), JSON.stringify(await gate.status('canary'))].join('\n');
  const secret = key.split('_')[4];
  for (const hidden of [CANARY, key, secret, ...Object.values(gate.secretVars)]) assert.ok(!written.includes(hidden), written.slice(Math.max(0, written.indexOf(hidden) - 200)).slice(0, 500));
  for (const hidden of [key, secret, ...Object.values(gate.secretVars)]) assert.ok(!shown.join('\n').includes(hidden), 'in an answer');
}, 90_000);

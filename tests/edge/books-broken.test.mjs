// Price books and what can go wrong around them: missing and damaged objects, a database that is not
// there, a kill in the middle, isolates that have not heard yet.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { activate, activateElsewhere, book, charged, operator, push, pushAndActivate } from './books.mjs';
import { refusal, secrets, sleep, startGate, within } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 120_000 }, run);
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const object = (text) => `books/${sha256(text)}.json`;

/** A gate with a customer, for one test. */
async function withGate(options, run) {
  const gate = await startGate(options);
  try {
    await run(gate, await gate.customer('acme', null));
  } finally {
    await gate.stop();
  }
}

rule('a book that is missing or damaged replaces no good one, and a fresh isolate without a good one serves nobody', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-books-'));
  const upstream = await startUpstream();
  const options = { persist: folder, secretVars: secrets(), upstream };
  let gate = await startGate(options);
  try {
    const key = await gate.customer('acme', null);
    await pushAndActivate(gate, book('good', '1.2'));
    assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'good');
    const text = book('broken', '2.4');
    await push(gate, text);
    const bucket = await gate.miniflare.getR2Bucket('RECORDS');
    await bucket.put(object(text), text.replace('2.4', '0.1'));
    const refused = await activate(gate, 'broken');
    assert.deepEqual([refused.status, refused.body.code], [409, 'conflict'], 'what cannot be used is not activated');
    await activateElsewhere(gate, 'broken');
    await until(async () => (await operator(gate, 'GET', 'books')).body.problem?.version === 'broken', 15_000);
    for (let n = 0; n < 3; n += 1) assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'good');
    const { body } = await operator(gate, 'GET', 'books');
    assert.deepEqual([body.active.version, body.in_use], ['broken', 'good']);
    assert.match(body.problem.reason, /is damaged/);
    assert.ok(gate.logs.some((line) => line.includes('price book "broken" cannot be used')));

    await gate.stop();
    gate = await startGate(options);
    const { status, code, message } = await refusal(await gate.chat(key, {}), 'openai');
    assert.deepEqual([status, code], [503, 'misconfigured']);
    assert.match(message, /the price book in force cannot be read/);
    assert.equal((await operator(gate, 'GET', 'books')).body.problem.version, 'broken', 'the operator can still look');
    await activate(gate, 'good');
    assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'good');
  } finally {
    await gate.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

rule('a change made elsewhere is known to every isolate within ten seconds', () => withGate({}, async (gate, key) => {
  await pushAndActivate(gate, book('old', '1.2'));
  await push(gate, book('new', '2.4'));
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'old');
  await activateElsewhere(gate, 'new');
  const since = Date.now();
  await until(async () => (await charged(gate, key, await gate.chat(key, {}))).version === 'new', 10_500);
  assert.ok(Date.now() - since <= 10_500);
  // One that was idle for longer does not serve what it knew before.
  await push(gate, book('newer', '3.6'));
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'new');
  await activateElsewhere(gate, 'newer');
  await sleep(10_100);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'newer');
}));

rule('without a database prices are those of the configuration, and a push says what is missing', () => withGate({ database: false, vars: { FAREBOX_BOOK: book('own', '5') } }, async (gate, key) => {
  const { version, rate } = await charged(gate, key, await gate.chat(key, {}));
  assert.deepEqual([version, rate], ['own', '5']);
  const { status, body } = await push(gate, book('v1', '1.2'));
  assert.deepEqual([status, body.code], [503, 'misconfigured']);
  assert.match(body.detail, /no D1 database is bound as DB/);
  assert.equal((await operator(gate, 'GET', 'books/own')).body.version, 'own');
}));

rule('without a token there is no such route, and a wrong one opens nothing', async () => {
  const { FAREBOX_ADMIN_TOKEN, ...others } = secrets();
  const gate = await startGate({ secretVars: others });
  try {
    const put = (token) => gate.fetch('/v1/farebox/admin/books', { method: 'PUT', headers: { authorization: `Bearer ${token}` }, body: book('v1', '1') });
    assert.equal((await put(FAREBOX_ADMIN_TOKEN)).status, 404);
  } finally {
    await gate.stop();
  }
  await withGate({}, async (open) => {
    const answer = await open.fetch('/v1/farebox/admin/books', { method: 'PUT', headers: { authorization: `Bearer ${'0'.repeat(64)}` }, body: book('v1', '1') });
    assert.equal((await refusal(answer, 'own')).status, 403);
  });
});

rule('killed anywhere between the bytes, the row and the activation, the old book stays until the new one applies whole', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-books-'));
  const upstream = await startUpstream();
  const options = { persist: folder, secretVars: secrets(), upstream };
  let gate = await startGate(options);
  let key;
  try {
    key = await gate.customer('acme', null);
    await pushAndActivate(gate, book('v0', '1'));
    // Bytes without a row, as a kill between the two leaves them.
    const orphan = book('v1', '1.1');
    const bucket = await gate.miniflare.getR2Bucket('RECORDS');
    await bucket.put(object(orphan), orphan);
    let before = 'v0';
    for (let n = 1; n <= 6; n += 1) {
      const version = `v${n}`;
      const work = pushAndActivate(gate, book(version, `1.${n}`)).then(() => 'done', () => 'cut');
      const pause = [0, 2, 5, 10, 20, 60][n - 1];
      await sleep(pause);
      process.kill(gate.pid, 'SIGKILL');
      const outcome = await within(25_000, work, 'the push did not end');
      await within(10_000, gate.miniflare.dispose().catch(() => {}), 'not disposed');
      gate = await startGate(options);
      const { body } = await operator(gate, 'GET', 'books');
      const active = body.active.version;
      t.diagnostic(`killed after ${pause} ms: ${outcome}, ${active} is in force`);
      assert.ok(active === before || active === version, active);
      if (outcome === 'done') assert.equal(active, version, 'what was acknowledged is kept');
      assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, active);
      // The same push once more goes through, whatever was left of the first.
      await pushAndActivate(gate, book(version, `1.${n}`));
      const now = await charged(gate, key, await gate.chat(key, {}));
      assert.deepEqual([now.version, now.rate], [version, `1.${n}`]);
      before = version;
    }
  } finally {
    await gate.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Costs that leave 20 % at a price of 0.15 and 0.6. */
const costs = { rates: { input_uncached: { amount: '0.12', per: '1000000' }, output_total: { amount: '0.48', per: '1000000' } } };

rule('a guarded margin refuses before the call and says nothing of the cost, or lets pass and marks the record', () => withGate({}, async (gate, key) => {
  const guarded = (version, guard) => book(version, '0.6', (document) => {
    document.margin_guard = guard;
    document.models[0].cost = costs;
  });
  await pushAndActivate(gate, guarded('refuses', { at_least_percent: '20.1', action: 'refuse' }));
  const hits = gate.hits();
  const { status, code, text } = await refusal(await gate.chat(key, {}), 'openai');
  assert.deepEqual([status, code], [400, 'not_for_sale']);
  assert.doesNotMatch(text, /cost|margin|0\.12|0\.48/i);
  assert.equal(gate.hits(), hits, 'it was not forwarded');
  await pushAndActivate(gate, guarded('fits', { at_least_percent: '20', action: 'refuse' }));
  assert.equal((await gate.chat(key, {})).status, 200);
  await pushAndActivate(gate, guarded('warns', { at_least_percent: '20.1', action: 'alert' }));
  const answer = await gate.chat(key, {});
  const { record } = await charged(gate, key, answer);
  assert.equal(JSON.stringify(record).includes('below_margin'), false, 'the customer does not see it');
  await until(async () => (await gate.archive('acme')).length >= record.seq, 10_000);
  const lines = (await gate.archive('acme')).map((line) => JSON.parse(line));
  const marks = lines.map(({ record: { book_version }, private: { below_margin } }) => [book_version, below_margin ?? false]);
  assert.deepEqual(marks, [['fits', false], ['warns', true]]);
}));

rule('the region of the upstream chooses the price, and stands on the record', async () => {
  const upstream = await startUpstream();
  const entry = { base_url: upstream.url, auth: 'bearer', secret: 'OPENAI_API_KEY', region: 'eu' };
  try {
    await withGate({ upstream, vars: { FAREBOX_UPSTREAMS: JSON.stringify({ openai: entry }) } }, async (gate, key) => {
      await pushAndActivate(gate, book('regions', '0.6', (document) => {
        const dearer = (rates) => Object.fromEntries(Object.entries(rates).map(([meter, rate]) => [meter, { ...rate, amount: '7' }]));
        document.models[0].variants = [{ region: 'eu', rates: dearer(document.models[0].rates) }, { region: 'us', rates: document.models[0].rates }];
      }));
      const { rate, record } = await charged(gate, key, await gate.chat(key, {}));
      assert.deepEqual([rate, record.region], ['7', 'eu']);
    });
  } finally {
    await upstream.close();
  }
});

/** Waits until `check` holds. */
async function until(check, ms) {
  const end = Date.now() + ms;
  while (!(await check())) {
    assert.ok(Date.now() < end, `not within ${ms} ms`);
    await sleep(200);
  }
}

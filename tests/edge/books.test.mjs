// Prices change without a deploy: books in R2, which applies when in D1, and the ledger's word on it.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { activate, activateElsewhere, book, charged, operator, push, pushAndActivate } from './books.mjs';
import { WAYS, openStream, refusal, startGate } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 60_000 }, run);
let gate;
let key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', null);
});
after(() => gate?.stop());

const inForce = async () => charged(gate, key, await gate.chat(key, {}));

rule('with a fresh database the book of the configuration is in force', async () => {
  assert.deepEqual((await inForce()).version, '2026-11-23');
  const { body } = await operator(gate, 'GET', 'books');
  assert.deepEqual([body.active, body.scheduled, body.books, body.configured], [null, [], [], '2026-11-23']);
});

rule('F61: a pushed book applies once it is activated, to the next request, and a running one settles under its own', async () => {
  const stream = await openStream(gate, key, 'hi [[chunks=12 gap_ms=100]]', WAYS['openai, usage asked for']);
  const pushed = await push(gate, book('v1', '1.2'));
  assert.equal(pushed.status, 201);
  assert.match(pushed.body.sha256, /^[0-9a-f]{64}$/);
  assert.deepEqual((await inForce()).version, '2026-11-23', 'pushed is not activated');

  const { status, body } = await activate(gate, 'v1', { by: 'ann' });
  assert.deepEqual([status, body.version, body.by, body.effective_at], [200, 'v1', 'ann', body.known_at]);
  const { version, rate } = await inForce();
  assert.deepEqual([version, rate], ['v1', '1.2']);
  assert.ok(stream.deltas() < 12, 'the stream was still running');
  assert.equal(await stream.over, true);
  const old = await charged(gate, key, { headers: stream.headers });
  assert.deepEqual([old.version, old.rate], ['2026-11-23', '0.6']);

  const health = await gate.fetch('/v1/farebox/health');
  assert.equal((await health.json()).book_version, 'v1');
});

rule('many at once are all served while the copy of what is in force is looked up anew', async () => {
  await gate.chat(key, {});
  await new Promise((resolve) => setTimeout(resolve, 5_200)); // it is looked up behind a request after 5 s
  const answers = await Promise.all(Array.from({ length: 12 }, () => gate.chat(key, {})));
  assert.deepEqual(answers.map(({ status }) => status), Array(12).fill(200));
});

rule('back to an older version is one more activation, and all of them stay in the list', async () => {
  await pushAndActivate(gate, book('v2', '2.4'));
  assert.equal((await inForce()).rate, '2.4');
  assert.equal((await activate(gate, 'v1')).status, 200);
  assert.equal((await inForce()).rate, '1.2');
  const { body } = await operator(gate, 'GET', 'books');
  assert.equal(body.active.version, 'v1');
  assert.deepEqual(body.history.map(({ version }) => version), ['v2', 'v1']);
  assert.deepEqual(body.books.map(({ version }) => version).sort(), ['v1', 'v2']);
  assert.equal(body.in_use, 'v1');
});

rule('a version never changes: the same bytes are known, others are a conflict, and what is there stays', async () => {
  assert.deepEqual((await push(gate, book('v1', '1.2'))).status, 200);
  for (const version of ['v1', '2026-11-23']) {
    const { status, body } = await push(gate, book(version, '9'));
    assert.deepEqual([status, body.code], [409, 'conflict']);
  }
  const { body } = await operator(gate, 'GET', 'books/v1');
  assert.deepEqual(body, JSON.parse(book('v1', '1.2')));
});

rule('a wrong book is refused whole, with the path of each fault, and the one in force stays', async () => {
  const wrong = book('wrong', '-1', (document) => {
    document.models[1].rates.cache_read.amount = 'NaN';
    document.models[2].color = 'red';
  });
  const { status, body } = await push(gate, wrong);
  assert.deepEqual([status, body.code], [400, 'invalid_request']);
  assert.deepEqual(body.details.faults.map(({ at }) => at).sort(), ['models[0].rates.output_total.amount', 'models[1].rates.cache_read.amount', 'models[2].color']);
  assert.equal((await push(gate, '{"format": ')).status, 400);
  assert.equal((await activate(gate, 'wrong')).status, 404);
  assert.equal((await inForce()).version, 'v1');
});

rule('a book that is too long is refused by its length, 5 MB or 100', async () => {
  const headers = { authorization: `Bearer ${gate.secretVars.FAREBOX_ADMIN_TOKEN}` };
  for (const length of [5, 100]) {
    const began = Date.now();
    const answer = await gate.raw('/v1/farebox/admin/books', { method: 'PUT', headers, body: Buffer.alloc(length * 1024 * 1024, ' '), timeoutMs: 30_000 });
    const { status, code, message } = await refusal(answer, 'own');
    assert.deepEqual([status, code], [413, 'request_too_large']);
    assert.match(message, /4194304 bytes at most/);
    assert.ok(Date.now() - began < 15_000);
  }
  assert.equal((await inForce()).version, 'v1');
});

rule('a planned version applies from its very instant, whoever asks', async () => {
  await push(gate, book('v3', '3.6'));
  const at = Date.now() + 1_500;
  const { body } = await activate(gate, 'v3', { at: new Date(at).toISOString() });
  assert.equal(Date.parse(body.effective_at), at);
  const listed = await operator(gate, 'GET', 'books');
  assert.deepEqual([listed.body.active.version, listed.body.scheduled.map(({ version }) => version)], ['v1', ['v3']]);
  const asked = [];
  while (Date.now() < at + 300) {
    const sent = Date.now();
    const answer = await gate.chat(key, {});
    asked.push({ sent, answered: Date.now(), answer });
  }
  let crossing = 0;
  for (const { sent, answered, answer } of asked) {
    const { version } = await charged(gate, key, answer);
    if (answered < at) assert.equal(version, 'v1', `answered ${at - answered} ms before`);
    else if (sent >= at) assert.equal(version, 'v3', `sent ${sent - at} ms after`);
    else crossing += 1;
  }
  assert.ok(crossing <= 1 && asked[0].answered < at && asked.at(-1).sent >= at, `${asked.length} requests`);
});

rule('nothing applies in the past, nor before the book itself says', async () => {
  const past = await activate(gate, 'v1', { at: '2026-01-01T00:00:00Z' });
  assert.deepEqual([past.status, past.body.code], [400, 'invalid_request']);
  await push(gate, book('future', '7', (document) => { document.effective_from = '2031-01-01T00:00:00Z'; }));
  assert.equal((await activate(gate, 'future', { at: '2030-01-01T00:00:00Z' })).status, 400);
  const planned = await activate(gate, 'future');
  assert.equal(planned.body.effective_at, '2031-01-01T00:00:00.000Z');
  assert.equal((await inForce()).version, 'v3');
  // Called off: what is in force now is in force then as well.
  await activate(gate, 'v3', { at: '2031-01-01T00:00:00Z' });
  for (let n = 0; n < 14; n += 1) assert.equal((await activate(gate, 'v3', { at: `2032-01-01T00:00:${String(n).padStart(2, '0')}Z` })).status, 200);
  assert.equal((await activate(gate, 'v3', { at: '2033-01-01T00:00:00Z' })).status, 409, 'sixteen wait');
  assert.equal((await activate(gate, 'v3')).status, 200, 'at once is always possible');
});

rule('F61: an isolate with an older version is refused by the ledger, reloads once, and the client notices nothing', async () => {
  await push(gate, book('v4', '4.8'));
  assert.equal((await inForce()).version, 'v3'); // this isolate has looked just now
  const { seq, from } = await activateElsewhere(gate, 'v4');
  // Another isolate admits this customer under it.
  const { miniflare } = gate;
  const ledgers = await miniflare.getDurableObjectNamespace('LEDGER');
  const ledger = ledgers.get(ledgers.idFromName('acme'));
  assert.ok('held' in JSON.parse(await ledger.apply(reserve('v4', { seq, from }))));
  assert.ok('stale_price' in JSON.parse(await ledger.apply(reserve('v3', { seq: seq - 1, from: new Date(Date.parse(from) - 1).toISOString() }))));
  const { version, rate } = await inForce();
  assert.deepEqual([version, rate], ['v4', '4.8']);
});

rule('a price no float holds is charged, recorded and added up with every digit', async () => {
  const price = '0.30000000000000004';
  const rich = await gate.customer('exact', null);
  await pushAndActivate(gate, book('exact', price));
  const amounts = [];
  for (let request = 0; request < 2; request += 1) {
    const answer = await gate.chat(rich, {});
    const { record } = await charged(gate, rich, answer);
    const line = record.lines.find(({ meter }) => meter === 'output_total');
    assert.equal(line.rate, price);
    assert.equal(units(line.amount), BigInt(line.quantity) * 30000000000000004n, 'of a million tokens');
    const sum = record.lines.reduce((all, { amount }) => all + units(amount), 0n);
    assert.equal(units(record.amount), sum);
    assert.equal(answer.headers.get('x-farebox-cost'), record.amount);
    amounts.push(record.amount);
  }
  const status = await gate.idle('exact');
  assert.equal(units(status.spend.settled), units(amounts[0]) + units(amounts[1]));
});

/** An amount in units of 10⁻²³, exactly. */
function units(amount) {
  const [whole, fraction = ''] = amount.split('.');
  return BigInt(whole + fraction.padEnd(23, '0'));
}

/** A reserve as an isolate sends it. */
function reserve(version, in_force) {
  const [, , , key_id, secret] = key.split('_');
  return JSON.stringify({ reserve: {
    attempt_id: randomUUID(), request_id: randomUUID(), secret_sha256: createHash('sha256').update(secret).digest('hex'), floor: '0', in_force,
    admitted: { key_id, mode: 'test', received_at: new Date().toISOString(), endpoint: '/v1/chat/completions', model: 'gpt-4o-mini', stream: false, features: [], book_version: version, currency: 'USD', held: '0.01' },
    pinned: { provider: 'openai', upstream: 'openai', rates: {}, input_least: 0 },
  } });
}

// Signed quotes on the real runtime: what was named is what is held and charged, whatever the book
// says by then; and a token that does not hold is never a request at another price.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { book, pushAndActivate } from './books.mjs';
import { mintKey, secrets, startGate } from './gate.mjs';

const BOOK = JSON.parse(readFileSync(new URL('../../books/default.json', import.meta.url), 'utf8'));
const CHAT = '/v1/chat/completions';
const BODY = JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }] });

/** The book with every price of one model multiplied, under another version. */
function dearer(times) {
  const book = structuredClone(BOOK);
  book.version = `${BOOK.version}-x${times}`;
  for (const model of book.models.filter(({ model }) => model === 'gpt-4o-mini')) {
    for (const rate of Object.values(model.rates)) rate.amount = String(Number(rate.amount) * times);
  }
  return JSON.stringify(book);
}

/** A customer of both gates, with one key. */
async function everywhere(name, { FAREBOX_KEY_SECRETS }) {
  const { key, secretSha256 } = mintKey(FAREBOX_KEY_SECRETS, name, 'k1');
  for (const each of [gate, later]) {
    await each.customer(name, '1');
    await each.admin('PUT', `customers/${name}/keys/k1`, { secret_sha256: secretSha256 });
  }
  return key;
}

let upstream, gate, later, key, other;
before(async () => {
  upstream = await startUpstream({ port: 0 });
  const secretVars = secrets();
  gate = await startGate({ upstream, secretVars });
  // The same operator after the prices went up tenfold; the customers are made there as well.
  later = await startGate({ upstream, secretVars, vars: { FAREBOX_BOOK: dearer(10) } });
  [key, other] = await Promise.all(['acme', 'globex'].map((name) => everywhere(name, secretVars)));
});
after(async () => {
  await gate?.stop();
  await later?.stop();
  await upstream?.close();
});

const ask = (gate, body, bearer, headers = {}) => gate.fetch('/v1/farebox/quote', {
  method: 'POST', headers: { authorization: `Bearer ${bearer}`, ...headers }, body,
});
const wrapped = (body, more = '') => `{"endpoint":"${CHAT}","body":${body}${more}}`;
const send = (gate, body, bearer, token, path = CHAT) => gate.fetch(path, {
  method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...(token && { 'x-farebox-quote': token }) }, body,
});

const rule = (name, run) => test(name, { timeout: 60_000 }, run);
const bearing = async (answer) => ({ status: answer.status, body: await answer.json() });
const signed = async (body = BODY, seconds = 60) => (await ask(gate, wrapped(body, `,"sign":true,"seconds":${seconds}`), key)).json();

rule('a signed quote is what is held and charged, after the prices went up', async () => {
  const quote = await signed();
  assert.match(quote.signed.token, /^fbq_[\w-]+\.\d+[a-z2-7]{52}$/);
  assert.ok(Date.parse(quote.signed.expires_at) > Date.now());

  const answer = await send(later, BODY, key, quote.signed.token);
  assert.equal(answer.status, 200, await answer.clone().text());
  assert.equal(answer.headers.get('x-farebox-held'), quote.upper);
  const { cost, records: [record] } = await later.bill(key, answer);
  assert.equal(record.held, quote.upper);
  assert.equal(record.book_version, BOOK.version);
  assert.ok(record.features.includes('signed_quote'), record.features.join());
  const rate = (lines, meter) => lines.find((line) => line.meter === meter)?.rate;
  assert.equal(rate(record.lines, 'output_total'), rate(quote.lines, 'output_total'));

  const plain = await send(later, BODY, key);
  const full = await later.bill(key, plain);
  assert.equal(full.records[0].book_version, `${BOOK.version}-x10`);
  assert.equal(Number(full.cost).toPrecision(9), (Number(cost) * 10).toPrecision(9), 'the same usage, ten times the price');
  assert.ok(!full.records[0].features.includes('signed_quote'));
});

rule('a token that does not hold is an error with a code, and nothing is sent', async () => {
  const { signed: { token } } = await signed();
  const brief = (await signed(BODY, 1)).signed.token;
  const seen = upstream.stats().requests;
  const refused = async (promise, code) => {
    const { status, body } = await bearing(await promise);
    assert.deepEqual([status, body.error?.code], [400, code], JSON.stringify(body));
  };
  await refused(send(later, BODY, other, token), 'quote_invalid');
  await refused(send(later, BODY, key, token.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'))), 'quote_invalid');
  await refused(send(later, BODY, key, 'fbq_e30.1' + 'a'.repeat(52)), 'quote_invalid');
  await refused(send(later, BODY.replace('"Hi"', '"Ho"'), key, token), 'quote_mismatch');
  await refused(send(later, BODY.replace('gpt-4o-mini', 'gpt-4o'), key, token), 'quote_mismatch');
  await refused(send(later, BODY.replace('chat', 'chat'), key, token, `${CHAT}?x=1`), 'quote_mismatch');
  await new Promise((wake) => setTimeout(wake, 1_100));
  await refused(send(later, BODY, key, brief), 'quote_expired');
  assert.equal(upstream.stats().requests, seen);
});

rule("a quote of the API's own body, byte for byte, is the same quote", async () => {
  const headers = { 'x-farebox-endpoint': CHAT, 'x-farebox-sign': '30', 'content-type': 'application/json' };
  const body = JSON.stringify(JSON.parse(BODY), null, 2);
  const quote = await (await ask(gate, body, key, headers)).json();
  const answer = await send(later, body, key, quote.signed.token);
  assert.equal(answer.headers.get('x-farebox-held'), quote.upper);
  await later.bill(key, answer);
  const form = new FormData();
  form.set('model', 'gpt-4o-mini');
  form.set('image', new Blob(['x']), 'a.png');
  const read = await gate.fetch('/v1/farebox/quote', {
    method: 'POST', headers: { authorization: `Bearer ${key}`, 'x-farebox-endpoint': '/v1/images/edits' }, body: form,
  });
  const ofForm = await read.json();
  assert.equal(ofForm.model, 'gpt-4o-mini', JSON.stringify(ofForm));
});

rule('what is left is told as a length, and it fits', async () => {
  // A length of as many digits, as every byte of the body counts.
  const body = BODY.replace('50', '1000000');
  const quote = await (await ask(gate, wrapped(body), key)).json();
  assert.ok(Number(quote.account.remaining) > 0.9, quote.account.remaining);
  const most = Number(quote.account.affordable_max_tokens);
  const upper = async (tokens) => Number((await (await ask(gate, wrapped(body.replace('1000000', tokens)), key)).json()).upper);
  assert.ok(await upper(most) <= Number(quote.account.remaining), String(most));
  assert.ok(await upper(most + 1) > Number(quote.account.remaining), String(most));
});

rule('a quote is by the pushed book that is in force, signed or not, and so is the charge', async () => {
  await pushAndActivate(gate, book('pushed', '2.4'));
  const quote = await signed();
  const line = ({ meter }) => meter === 'output_total';
  assert.deepEqual([quote.book_version, quote.lines.find(line).rate], ['pushed', '2.4']);
  const answer = await send(gate, BODY, key, quote.signed.token);
  assert.equal(answer.headers.get('x-farebox-held'), quote.upper);
  const { records: [record] } = await gate.bill(key, answer);
  assert.deepEqual([record.book_version, record.lines.find(line).rate], ['pushed', '2.4']);
});

rule('what is left is told by limits on money alone', async () => {
  const limits = [{ id: 'money', window: 'month', kind: 'hard', limit: '100' }, { id: 'few', window: 'day', kind: 'hard', limit: '50', measure: 'tokens' }];
  await gate.admin('PUT', 'customers/acme', { currency: 'USD', limits });
  const quote = await (await ask(gate, wrapped(BODY), key)).json();
  assert.ok(Number(quote.account.remaining) > 50, JSON.stringify(quote.account));
});

rule('what cannot be signed is said', async () => {
  const code = async (body) => (await (await ask(gate, body, key)).json()).error?.code;
  assert.equal(await code(wrapped(BODY, ',"sign":true,"seconds":3601')), 'invalid_request');
  assert.equal(await code(wrapped(BODY, ',"sign":true,"at":"2026-01-01T00:00:00Z"')), 'invalid_request');
});

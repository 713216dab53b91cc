// Signed quotes on the real runtime: what was named is what is held and charged, whatever the book
// says by then; and a token that does not hold is never a request at another price.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { secrets, startGate } from './gate.mjs';

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

let upstream, gate, later, key, other;
before(async () => {
  upstream = await startUpstream({ port: 0 });
  const secretVars = secrets();
  gate = await startGate({ upstream, secretVars });
  // The same operator after the prices went up tenfold; the customers are made there as well.
  later = await startGate({ upstream, secretVars, vars: { FAREBOX_BOOK: dearer(10) } });
  key = await gate.customer('acme', '1');
  other = await later.customer('globex', '1');
  key = await later.customer('acme', '1');
});
after(async () => {
  await gate?.stop();
  await later?.stop();
  await upstream?.stop?.();
});

const ask = (gate, body, bearer, headers = {}) => gate.fetch('/v1/farebox/quote', {
  method: 'POST', headers: { authorization: `Bearer ${bearer}`, ...headers }, body,
});
const wrapped = (body, more = '') => `{"endpoint":"${CHAT}","body":${body}${more}}`;
const send = (gate, body, bearer, token, path = CHAT) => gate.fetch(path, {
  method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...(token && { 'x-farebox-quote': token }) }, body,
});

// The Worker's build of the engine gives the same bytes as the native and the browser builds, which
// tests/golden_quotes.rs compares with the same file.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startGate } from './gate.mjs';

const golden = (name) => readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8');
let gate;
let key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', '1');
});
after(() => gate?.stop());

test('the Worker gives the same bytes for the same quote as every other build', async () => {
  let got = '';
  for (const line of golden('quotes.jsonl').trim().split('\n')) {
    const response = await gate.fetch('/v1/farebox/quote', {
      method: 'POST', headers: { authorization: `Bearer ${key}` }, body: JSON.parse(line).request,
    });
    assert.equal(response.status, 200);
    // What only the gate knows comes last, and is not part of the quote.
    const text = await response.text();
    got += `${text.replace(/,"account":\{[^}]*\}\}$/, '}')}\n`;
  }
  assert.equal(got, golden('quotes.expected.txt'));
});

test('a quote holds nothing and reaches no upstream', async () => {
  const status = await gate.status('acme');
  assert.equal(status.head.seq, 0);
  assert.equal(gate.upstream.stats().requests, 0);
});

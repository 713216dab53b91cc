// docs/faults.md cannot rot: every number has a row, every row its tests or a reason why there is
// none, and every test that carries a number is in it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DOCUMENT, numbers, rows, tests, written } from './faults.mjs';

const text = readFileSync(DOCUMENT, 'utf8');

test('every number has one row, in order', () => {
  assert.deepEqual(rows(text).map(({ number }) => number), numbers());
});

test('the tests it names are the tests there are; `node scripts/faults.mjs` writes them anew', () => {
  assert.equal(text, written(text));
});

test('a row without a test says why', () => {
  const silent = rows(text).filter(({ outcome, shown }) => shown === '–' && !/^(Does not apply|By the platform|Not yet): /.test(outcome));
  assert.deepEqual(silent.map(({ number }) => number), []);
});

test('every number a test carries has a row', () => {
  const known = new Set(numbers());
  assert.deepEqual(tests().flatMap((each) => each.numbers.filter((number) => !known.has(number)).map((number) => `${number}: ${each.name}`)), []);
});

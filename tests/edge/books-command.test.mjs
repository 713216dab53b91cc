// `farebox book push`, `list` and `activate`, as they are typed, against a real gate.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { book, charged } from './books.mjs';
import { sleep, startGate } from './gate.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = ['native', 'debug'].map((profile) => join(root, 'target', profile, 'farebox')).find(existsSync);
const rule = (name, run) => test(name, { timeout: 60_000 }, run);
const folder = mkdtempSync(join(tmpdir(), 'farebox-push-'));
let gate;
let key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', null);
});
after(async () => {
  await gate?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the command: `{code, out, err}`. Its input is no terminal. */
function farebox(...args) {
  const env = { PATH: process.env.PATH, USER: 'ann', FAREBOX_URL: gate.url, FAREBOX_ADMIN_TOKEN: gate.secretVars.FAREBOX_ADMIN_TOKEN };
  return new Promise((resolve) => {
    const child = execFile(binary, args, { env, cwd: folder }, (error, out, err) => resolve({ code: error?.code ?? 0, out, err }));
    child.stdin.end();
  });
}

function file(name, text) {
  writeFileSync(join(folder, name), text);
  return name;
}

rule('it shows what changes and what that means for recorded usage, asks, pushes, and says from when on', async () => {
  const answer = await gate.chat(key, {});
  const { record } = await charged(gate, key, answer);
  const end = Date.now() + 10_000;
  while ((await gate.archive('acme')).length < record.seq && Date.now() < end) await sleep(100);
  const path = file('v1.json', book('v1', '1.2'));

  const dry = await farebox('book', 'push', path, '--dry-run');
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /^2026-11-23 \(in force\) -> v1\n {2}openai gpt-4o-mini rates output_total: 0.6 per 1000000 -> 1.2 per 1000000\n0 added, 0 removed, 1 rates changed\nOn recent usage:\n1 attempts, 1 change, 0 not priced by both\n/);
  const [, before, then] = /\n([\d.]+) -> ([\d.]+) USD/.exec(dry.out);
  assert.equal(before, record.amount);
  const line = (meter) => record.lines.find((each) => each.meter === meter);
  const units = (text) => Math.round(Number(text) * 1e9);
  assert.equal(units(then), units(record.amount) + units(line('output_total').amount), 'output costs twice as much');

  const unasked = await farebox('book', 'push', path);
  assert.equal(unasked.code, 1);
  assert.match(unasked.err, /nothing was pushed: there is no terminal to ask on; say --yes/);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, '2026-11-23');

  const done = await farebox('book', 'push', path, '--yes');
  assert.equal(done.code, 0, done.err);
  assert.match(done.out, /\nv1 applies from \d{4}-\d\d-\d\dT[\d:.]+Z on\.\n$/);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'v1');
});

rule('a planned version, the list, and back to an older one', async () => {
  const pushed = await farebox('book', 'push', file('v2.json', book('v2', '2.4')), '--yes', '--json', '--at', '2031-01-01T00:00:00Z');
  assert.equal(pushed.code, 0, pushed.err);
  const { version, in_force: old, activation, difference } = JSON.parse(pushed.out);
  assert.deepEqual([version, old, activation.effective_at, activation.by], ['v2', 'v1', '2031-01-01T00:00:00.000Z', 'ann']);
  assert.deepEqual(difference.changed.map(({ meter, old: { amount: was }, new: { amount: is } }) => [meter, was, is]), [['output_total', '1.2', '2.4']]);
  assert.equal((await farebox('book', 'activate', 'v2')).code, 0);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'v2');
  const back = await farebox('book', 'activate', 'v1');
  assert.match(back.out, /^v1 applies from /);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'v1');
  const list = await farebox('book', 'list');
  const rows = list.out.trim().split('\n').map((row) => row.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T'));
  assert.deepEqual(rows, [
    'will apply from T: v2 (known T, by ann)', 'applies from T: v1 (known T, by ann)', 'applied from T: v2 (known T, by ann)',
    'applied from T: v1 (known T, by ann)', 'book v2: 10 models, USD, pushed T', 'book v1: 10 models, USD, pushed T',
  ]);
});

rule('what is wrong is said with its path or reason, and changes nothing', async () => {
  const wrong = await farebox('book', 'push', file('wrong.json', book('wrong', '-1')), '--yes');
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /models\[0\]\.rates\.output_total\.amount: /);
  const other = await farebox('book', 'push', file('other.json', book('v1', '9')), '--yes');
  assert.equal(other.code, 1);
  assert.match(other.err, /409 Conflict: Version "v1" was pushed at .* A version never changes/);
  const past = await farebox('book', 'push', file('v3.json', book('v3', '3')), '--yes', '--at', '2026-01-01T00:00:00Z');
  assert.equal(past.code, 1);
  assert.match(past.err, /version v3 is pushed but does not apply: .* is past/);
  assert.equal((await farebox('book', 'activate', 'nobody')).code, 1);
  assert.equal((await farebox('book', 'push', 'v3.json', '--at', 'soon')).code, 64);
  assert.equal((await charged(gate, key, await gate.chat(key, {}))).version, 'v1');
});

rule('every verb explains itself', async () => {
  for (const verb of ['push', 'list', 'activate']) {
    const { code, out } = await farebox('book', verb, '--help');
    assert.equal(code, 0);
    assert.match(out, /--url <URL>/);
  }
  assert.match((await farebox('book', 'push', '--help')).out, /Exit codes: 0 done/);
});

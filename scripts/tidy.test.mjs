// Rules of the house that no compiler checks.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { testsIn } from './faults.mjs';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n').filter((file) => file && existsSync(file));
const read = (file) => readFileSync(file, 'utf8');
const rust = files.filter((file) => file.startsWith('src/') && file.endsWith('.rs'));
const code = rust.filter((file) => !/tests?(\/|\.rs)/.test(file));
const engine = code.filter((file) => !/^src\/(edge|cli)\/|^src\/(browser|main|(tokens|replay)\/wasm)\.rs/.test(file));
/** A file without its comments and its unit tests. */
const bare = (file) => read(file).split('#[cfg(test)]')[0].replace(/^\s*\/\/.*$/gm, '');

test('a source file fits into a head: at most 500 lines', () => {
  const scripts = files.filter((file) => /\.m?js$/.test(file) && !file.endsWith('.test.mjs'));
  const long = [...code, ...scripts].map((file) => [file, read(file).split('\n').length]);
  assert.deepEqual(long.filter(([, lines]) => lines > 500), []);
});

test('no line of code is longer than 120 characters', () => {
  const long = code.filter((file) => !file.startsWith('src/edge/sql')).flatMap((file) => read(file).split('\n')
    .map((line, at) => [`${file}:${at + 1}`, line.length]).filter(([, length]) => length > 120));
  assert.deepEqual(long, []);
});

test('the engine knows no platform: no I/O, no clock, no randomness, no threads', () => {
  const banned = /\b(worker|js_sys|web_sys|wasm_bindgen|getrandom|ureq|clap)::|std::(fs|net|io|env|process|thread|time)\b|SystemTime|Instant::now/;
  assert.deepEqual(engine.filter((file) => banned.test(bare(file))), []);
});

test('the engine computes no floating point', () => {
  const found = engine.filter((file) => /\bf(32|64)\b/.test(bare(file).replace(/fn visit_f64<E>\(self, _: f64\)/, '')));
  assert.deepEqual(found, []);
});

test('SQL stands in one room, and in the operator\'s database', () => {
  const sql = /\b(INSERT INTO|SELECT .+ FROM|UPDATE .+ SET|DELETE FROM|CREATE TABLE)\b/;
  const room = (file) => file.startsWith('src/edge/sql') || file === 'src/edge/d1.rs';
  assert.deepEqual(code.filter((file) => sql.test(bare(file)) && !room(file)), []);
});

test('no file names this or any machine, or a package registry host', () => {
  const machine = /\/(work|root|home\/\w+)\/(?!\.\.)[\w.]+\/|crates\.io\/api|registry\.npmjs|pypi\.org|deb\.debian/;
  const texts = files.filter((file) => !/\.(lock|svg|png)$|package-lock\.json$|tests\/vectors\//.test(file));
  assert.deepEqual(texts.filter((file) => file !== 'scripts/tidy.test.mjs' && machine.test(read(file))), []);
});

test('every make target the documents name exists', () => {
  const targets = new Set(read('Makefile').match(/^[a-z][a-z -]*(?=:)/gm).flatMap((line) => line.split(' ')));
  const named = files.filter((file) => file.endsWith('.md')).flatMap((file) => [...read(file).matchAll(/`make ([a-z-]+)`/g)].map(([, name]) => name));
  assert.deepEqual(named.filter((name) => !targets.has(name)), []);
});

test('every file the documents link to exists', () => {
  const broken = files.filter((file) => file.endsWith('.md')).flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)].map(([, link]) => new URL(link, `file:///${file}`).pathname.slice(1))
      .filter((link) => !existsSync(link)).map((link) => `${file}: ${link}`));
  assert.deepEqual(broken, []);
});

test('S53: every dependency is locked to a version and a checksum, from a registry', () => {
  const crates = read('Cargo.lock').split('[[package]]').slice(1).filter((entry) => !entry.includes('\nname = "farebox"\n'));
  const loose = crates.filter((entry) => !/\nsource = "registry\+/.test(entry) || !/\nchecksum = "[0-9a-f]{64}"/.test(entry));
  const packages = Object.entries(JSON.parse(read('package-lock.json')).packages).filter(([name]) => name !== '');
  assert.deepEqual([loose, packages.filter(([, { integrity }]) => !integrity)], [[], []]);
  for (const rule of ['unknown-registry = "deny"', 'unknown-git = "deny"', 'wildcards = "deny"']) assert.ok(read('deny.toml').includes(rule), rule);
});

test('no one left a mark of unfinished work', () => {
  const marks = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X\\b', 'todo' + '!', 'unimplemented' + '!'].join('|'));
  assert.deepEqual([...rust, ...files.filter((file) => /\.m?js$/.test(file))].filter((file) => marks.test(read(file))), []);
});

test('every test that docs/metering-cases.md names is there', () => {
  const rows = read('docs/metering-cases.md').split('\n').filter((line) => /^\| \d/.test(line));
  const named = rows.flatMap((row) => row.split('|').at(-2).split(';').map((each) => /^\s*`([^`]+)` (.+?)\s*$/.exec(each)?.slice(1) ?? [row, '']));
  assert.ok(named.length > 30);
  const cases = (file) => read(file).trim().split('\n').map((line) => JSON.parse(line).input?.id);
  const names = (file) => (file.endsWith('.jsonl') ? cases(file) : testsIn(file).map(({ name }) => name));
  assert.deepEqual(named.filter(([file, name]) => !existsSync(file) || !names(file).includes(name)), []);
});

test('every cell that docs/metering-facts.md names is there, and no file of the matrix is left out', () => {
  const folder = 'tests/golden/meter/';
  const matrix = files.filter((file) => file.startsWith(folder) && file.endsWith('.jsonl'));
  const cells = new Set(matrix.flatMap((file) => read(file).trim().split('\n').map((line) => JSON.parse(line).input.id)));
  const rows = read('docs/metering-facts.md').split('\n').filter((line) => /^\| \d/.test(line));
  const named = rows.map((row) => [...row.split('|').at(-2).matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  const isThere = (name) => {
    const [, file, its] = /^(\S+) (.+)$/.exec(name) ?? [];
    return its ? existsSync(file) && testsIn(file).some((test) => test.name === its) : cells.has(name);
  };
  assert.deepEqual(rows.filter((_, at) => named[at].length === 0), []);
  assert.deepEqual(named.flat().filter((name) => !isThere(name)), []);
  const stems = new Set(named.flat().map((name) => name.split('/')[0]));
  assert.deepEqual(matrix.filter((file) => !stems.has(file.slice(folder.length, -'.jsonl'.length))), []);
});

#!/usr/bin/env node
// The last column of docs/faults.md: which tests show what a row says. A test carries its numbers in
// its name: `F4: …`, `R2, F1: …` in JavaScript, `f44_…`, `f36_f42_…` in Rust.
// `node scripts/faults.mjs` writes the column anew; scripts/faults.test.mjs finds it out of date.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

export const DOCUMENT = 'docs/faults.md';
const NUMBERS = { F: [[1, 48], [58, 66]], R: [[1, 13]], S: [[1, 55]] };

/** Every number that has a row. */
export const numbers = () => Object.entries(NUMBERS).flatMap(([letter, ranges]) =>
  ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => `${letter}${first + n}`)));

/** A file as the table names it. */
const short = (file) => file.replace(/^tests\/edge\//, '').replace(/^src\//, '').replace(/\.test\.mjs$|\.rs$/, '');

/** Every numbered test: `{file, numbers, name}`. */
export function tests() {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'tests', 'src', 'scripts'], { encoding: 'utf8' });
  return files.split('\n').filter((file) => existsSync(file)).flatMap((file) => {
    return [...testsIn(file)];
  }).filter((each) => each.numbers.length > 0);
}

/** Every test of a file, by its whole name but for its numbers: what a loop puts in is a `…`. */
export function testsIn(file) {
  if (file.endsWith('.test.mjs')) return [...javascript(file)];
  return file.endsWith('.rs') ? [...rust(file)] : [];
}

function* javascript(file) {
  const named = /\b(?:rule|test)\(\s*(['"`])((?:[FRS]\d+, )*[FRS]\d+: )?((?:\\.|(?!\1).)+)\1/g;
  for (const [, , list, name] of readFileSync(file, 'utf8').matchAll(named)) {
    const plain = name.replaceAll(/\\(.)/g, '$1').replaceAll(/ \(\$\{\w+\}\)$/g, '').replaceAll(/\$\{[^}]*\}/g, '…');
    yield { file, numbers: (list ?? '').match(/[FRS]\d+/g) ?? [], name: plain };
  }
}

function* rust(file) {
  for (const [, list, name] of readFileSync(file, 'utf8').matchAll(/#\[test\]\n(?:\s*#\[.*\]\n)*\s*fn ((?:[frs]\d+_)*)(\w+)/g)) {
    yield { file, numbers: list.toUpperCase().split('_').filter(Boolean), name: name.replaceAll('_', ' ') };
  }
}

/** What shows a number, as the table says it. */
export function shownBy(number, all) {
  const found = all.filter((each) => each.numbers.includes(number));
  return [...new Set(found.map(({ file, name }) => `\`${short(file)}\` ${name.replaceAll('|', '\\|')}`))].sort().join('; ');
}

/** The rows: `{number, cells}`. */
export const rows = (text) => text.split('\n').filter((line) => /^\| [FRS]\d+ \|/.test(line)).map((line) => {
  const cells = line.slice(2, -2).split(' | ');
  return { line, number: cells[0], what: cells[1], outcome: cells[2], shown: cells.slice(3).join(' | ') };
});

/** The document with its last column as it should be. */
export function written(text) {
  const all = tests();
  return rows(text).reduce((so, { line, number, what, outcome }) =>
    so.replace(line, () => `| ${number} | ${what} | ${outcome} | ${shownBy(number, all) || '–'} |`), text);
}

if (import.meta.filename === process.argv[1]) writeFileSync(DOCUMENT, written(readFileSync(DOCUMENT, 'utf8')));

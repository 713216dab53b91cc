// A ledger that an earlier schema wrote is opened and goes on.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { say, secrets, startGate } from './gate.mjs';

const secret = (name) => `1:${createHash('sha256').update(`fixture ${name}`).digest('hex')}`;
/** Those under which the fixtures were made. */
const secretVars = {
  ...secrets(),
  FAREBOX_KEY_SECRETS: secret(1), FAREBOX_RECORD_SECRETS: secret(2), FAREBOX_SESSION_SECRETS: secret(3),
};

/** The tables that each version of the schema brought. */
const BROUGHT = { 3: ['terms', 'plan_uses', 'credit'], 4: ['alerts', 'week_models', 'endpoints', 'deliveries'] };

/** A test with a folder of its own, and at most one gate at a time on it. */
function migrates(name, work) {
  test(name, { timeout: 90_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'farebox-migration-'));
    let gate;
    const stop = async () => {
      await gate?.stop();
      gate = undefined;
    };
    const start = async () => {
      await stop();
      gate = await startGate({ persist: folder, secretVars });
      return gate;
    };
    try {
      await work({ folder, start, stop });
    } finally {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** Where the object of the folder's one customer keeps its tables. */
function stored(folder) {
  const file = readdirSync(folder, { recursive: true }).map(String)
    .find((each) => /LedgerObject\/[0-9a-f]{64}\.sqlite$/.test(each));
  return join(folder, file);
}

function execute(file, sql) {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

/** Puts the tables of a fixture where the object of customer `old` will find them. */
async function restore({ folder, start, stop }, fixture) {
  const maker = await start();
  await maker.admin('PUT', 'customers/old', { currency: 'USD', limits: [] });
  await stop();
  const file = stored(folder);
  for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true });
  execute(file, readFileSync(new URL(`fixtures/${fixture}`, import.meta.url), 'utf8'));
}

/** A ledger with one request behind it, put back to an earlier schema, and opened again. */
async function reopened({ folder, start, stop }, schema, limit) {
  let gate = await start();
  const key = await gate.customer('old', limit);
  assert.equal((await gate.chat(key, say('hi'))).status, 200);
  const before = await gate.idle('old');
  await stop();
  const later = Object.entries(BROUGHT).filter(([version]) => Number(version) > schema).flatMap(([, tables]) => tables);
  const drops = later.map((table) => `DROP TABLE ${table};`).join(' ');
  execute(stored(folder), `${drops} UPDATE meta SET value = '${schema}' WHERE name = 'schema'`);
  gate = await start();
  const after = await gate.status('old');
  assert.deepEqual([after.spend.settled, after.head], [before.spend.settled, before.head]);
  return { gate, key, before };
}

migrates('schema 1: keys, limits, spend, holds and the chain are all there, and every new kind of limit works', async (at) => {
  await restore(at, 'ledger-1.sql');
  const key = /Key: (\S+)/.exec(readFileSync(new URL('fixtures/ledger-1.sql', import.meta.url), 'utf8'))[1];
  let gate = await at.start();
  const before = await gate.status('old');
  // Three settled; the fourth still runs, or has expired and is charged its floor.
  const expired = before.spend.open === 0;
  assert.equal(before.spend.settled, expired ? '0.000017925' : '0.0000177');
  assert.deepEqual([before.limits.map(({ id }) => id), before.head.seq], [['main', 'warn'], expired ? 4 : 3]);
  assert.equal((await gate.chat(key, say('hi'))).status, 200);

  const limits = [
    { id: 'all', window: 'lifetime', kind: 'hard', limit: '0.01' },
    { id: 'each', scope: 'end_user', measure: 'requests', window: 'day', kind: 'hard', limit: '1' },
    { id: 'tok', measure: 'tokens', window: 'lifetime', kind: 'hard', limit: '100000' },
  ];
  await gate.admin('PUT', 'customers/old', { currency: 'USD', limits });
  const user = (name) => gate.chat(key, { ...say('hi'), user: name }).then(({ status }) => status);
  assert.deepEqual([await user('ann@example.com'), await user('ann@example.com'), await user('bob@example.com')], [200, 402, 200]);
  await gate.until('old', (status) => status.head.seq === before.head.seq + 3, 'not settled');
  const after = await gate.status('old');
  const [all, tok] = after.limits;
  assert.equal(all.settled, after.spend.settled, 'the old spend counts');
  assert.ok(Number(tok.settled) > 0 && tok.counts_from, 'old tokens are not known, and it says so');

  gate = await at.start();
  const again = await gate.status('old');
  assert.deepEqual([again.spend.settled, again.head], [after.spend.settled, after.head]);
});

migrates('schema 3: a ledger from before alerts goes on, and tells', async (at) => {
  const { gate, before } = await reopened(at, 3, '0.0001');
  // So low that what was spent before is four fifths and more of it.
  await gate.admin('PUT', 'customers/old', { currency: 'USD', limits: [{ id: 'main', window: 'month', kind: 'hard', limit: before.spend.settled }] });
  assert.deepEqual((await gate.status('old')).alerts.map(({ data }) => data.percent).sort((a, b) => a - b), [50, 80, 100]);
});

migrates('schema 2: a ledger from before plans goes on, and takes a plan', async (at) => {
  const { gate, key } = await reopened(at, 2, null);
  const plan = {
    format: 'farebox-plan-1', plan: 'each', version: '1', name: 'Each', currency: 'USD',
    charges: [{ id: 'each', meter: 'api_calls', charge: { model: 'per_unit', unit_price: '0.5' } }],
  };
  await gate.admin('PUT', 'customers/old/plan', { plan, rest: 'included' });
  assert.equal((await gate.chat(key, say('hi'))).headers.get('x-farebox-cost'), '0.5');
});

#!/usr/bin/env node
// One ledger object by itself: CPU of reserve and settle beside two empty calls with a durable row
// each, and what a million settled records change. It reports; it never fails by time.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { mintKey, secrets, settings } from '../../tests/edge/gate.mjs';
import { cpuMs, median, threadsCpuMs, watchOthers } from '../gate/measure.mjs';
import { WORKER, filesOf, gateConfig, startWorkerd } from '../gate/workerd.mjs';

const HELP = `One ledger object by itself: CPU, and what a million settled records change.

usage: node benches/object/run.mjs [options]     (needs Linux, and a build: scripts/build.sh edge)

  --rounds N     rounds of each (7)
  --pairs N      reserves and settles in one round (2000)
  --records N    settled records of the full object (1000000); 0: only the CPU
  --only TEXT    "cpu" or "records"
  --worker DIR   another built Worker
  --json         JSON on stdout
  --help
`;
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    pairs: { type: 'string', default: '2000' },
    records: { type: 'string', default: '1000000' },
    only: { type: 'string', default: '' },
    worker: { type: 'string', default: WORKER },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const here = fileURLToPath(new URL('.', import.meta.url));
const rounds = Number(options.rounds);
const pairs = Number(options.pairs);
const FEW = 10;
const ANSWER_MS = 300_000;
const say = (text) => process.stderr.write(`${text}\n`);
const folder = mkdtempSync(join(tmpdir(), 'farebox-object-'));
const upstream = await startUpstream();

/** Bundles the driver with what it drives, as a Worker of its own. */
function bundle(name, subject) {
  const out = join(folder, `worker-${name}`);
  mkdirSync(out);
  const args = [join(here, 'driver.mjs'), '--bundle', '--format=esm', '--log-level=error', `--outfile=${join(out, 'index.js')}`,
    `--alias:farebox-subject=${join(here, subject)}`, `--alias:farebox-worker=${join(options.worker, 'index.js')}`,
    '--external:*.wasm', '--external:cloudflare:workers'];
  const { status, stderr } = spawnSync(join(here, '../../node_modules/.bin/esbuild'), args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  for (const file of filesOf(options.worker).slice(1)) copyFileSync(join(options.worker, file), join(out, file));
  return out;
}

const vars = { ...settings(upstream.url), ...secrets() };

/** Starts workerd on a folder of its own; a second time on the same storage. */
async function start(name, worker) {
  const config = gateConfig(join(folder, name), { vars, bucketPort: 9, worker });
  const workerd = await startWorkerd(config, { log: (line) => options.json || say(line) });
  const post = async (path, body, headers = {}, method = 'POST') => {
    const answer = await fetch(workerd.url + path, { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text;
  };
  return { ...workerd, post };
}

/** Makes a customer and answers the commands of one real request of its. */
async function customer({ post }, name, limits) {
  const operator = { authorization: `Bearer ${vars.FAREBOX_ADMIN_TOKEN}` };
  const { key, keyId, secretSha256 } = mintKey(vars.FAREBOX_KEY_SECRETS, name, 'k1');
  await post(`/v1/farebox/admin/customers/${name}`, { currency: 'USD', limits }, operator, 'PUT');
  await post(`/v1/farebox/admin/customers/${name}/keys/${keyId}`, { secret_sha256: secretSha256 }, operator, 'PUT');
  const ask = { model: 'gpt-4o-mini', max_tokens: 500, messages: [{ role: 'user', content: 'Say hi' }] };
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-path': '/v1/chat/completions' };
  const { commands } = JSON.parse(await post('/capture', ask, headers));
  const [reserve, settle] = ['reserve', 'settle'].map((kind) => commands.find((text) => text.startsWith(`{"${kind}"`)));
  if (!reserve || !settle) throw new Error(`no pair of commands in ${commands}`);
  const { attempt_id: attempt, request_id: request } = JSON.parse(reserve).reserve;
  return { customer: name, reserve, settle, ids: [attempt, request] };
}

const MONTH = [{ id: 'month', window: 'month', kind: 'hard', limit: '1000000' }];
const BY_KEY = [...MONTH, { id: 'key', scope: 'key', window: 'month', kind: 'hard', limit: '1000000' }];

/** CPU of a pair: the process's, over a round, in turns. */
async function cpu(workers) {
  const floor = await start('floor', workers.floor);
  const ledger = await start('ledger', workers.ledger);
  const job = await customer(ledger, 'bench', MONTH);
  const others = watchOthers([process.pid, floor.pid, ledger.pid]);
  const found = {};
  for (const open of [1, 8]) {
    const taken = { floor: [], ledger: [] };
    const once = async (name, one, count) => {
      const before = cpuMs(one.pid);
      await one.post('/drive', { ...job, pairs: count, open });
      return (cpuMs(one.pid) - before) / count;
    };
    for (let round = -1; round < rounds; round += 1) {
      const turn = [['floor', floor], ['ledger', ledger]];
      for (const [name, one] of round % 2 ? turn.reverse() : turn) {
        const ms = await once(name, one, round < 0 ? Math.min(500, pairs) : pairs);
        if (round >= 0) taken[name].push(ms);
      }
    }
    const beyond = taken.ledger.map((ms, round) => ms - taken.floor[round]);
    found[open] = { floor: taken.floor, ledger: taken.ledger, beyond };
  }
  await Promise.all([floor.stop(), ledger.stop()]);
  return { found, others: others() };
}

/** Fills the storage of `name` with copies of its last record, spread over what hours are kept. */
function fill(storage, name, records) {
  for (const file of readdirSync(storage).filter((each) => each.endsWith('.sqlite'))) {
    const db = new DatabaseSync(join(storage, file));
    const account = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'account'").get()
      && db.prepare('SELECT body FROM account').get();
    if (account && JSON.parse(account.body).customer === name) {
      const last = db.prepare('SELECT * FROM records ORDER BY seq DESC LIMIT 1').get();
      db.exec('PRAGMA synchronous = OFF; BEGIN');
      db.exec(`WITH RECURSIVE n(i) AS (SELECT ${last.seq + 1} UNION ALL SELECT i + 1 FROM n WHERE i < ${records})
        INSERT INTO records SELECT i, printf('%08x-0000-7000-8000-%012x', i, i), printf('%08x-0001-7000-8000-%012x', i, i),
          class, charged, command, hash, line FROM n, records WHERE records.seq = ${last.seq}`);
      spread(db, 'hours', 'start', Math.min(records, HOURS));
      for (const { party } of db.prepare('SELECT DISTINCT party FROM uses').all()) {
        spread(db, 'uses', 'start', Math.min(records, HOURS), `party = '${party}'`);
      }
      db.exec('COMMIT');
      db.close();
      return;
    }
    db.close();
  }
  throw new Error(`no storage of ${name}`);
}

const HOURS = 390 * 24; // sums are kept by the hour for 400 days
function spread(db, table, column, hours, where = 'TRUE') {
  const columns = db.prepare(`SELECT name FROM pragma_table_info('${table}')`).all().map((each) => each.name);
  const values = columns.map((each) => (each === column ? `${column} - i * 3600000` : each));
  db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${hours})
    INSERT OR IGNORE INTO ${table} SELECT ${values} FROM n, (SELECT * FROM ${table} WHERE ${where} ORDER BY ${column} DESC LIMIT 1)`);
}

/** Wakes and pairs of an object with ten records and of a full one, in turns. */
async function records(workers, many) {
  let one = await start('records', workers.ledger);
  const jobs = {};
  const objects = { few: MONTH, full: MONTH, 'few, by key': BY_KEY, 'full, by key': BY_KEY };
  for (const [name, limits] of Object.entries(objects)) {
    jobs[name] = await customer(one, name.replaceAll(/[^a-z]/g, ''), limits);
    await one.post('/drive', { ...jobs[name], pairs: FEW - 1, open: 1 });
  }
  await one.stop();
  const storage = join(folder, 'records/storage/farebox-ledger');
  for (const name of Object.keys(objects).filter((each) => each.startsWith('full'))) {
    say(`${many} records for "${name}" …`);
    fill(storage, jobs[name].customer, many);
  }
  const taken = Object.fromEntries(Object.keys(objects).map((name) => [name, { wake: [], wakeCpu: [], pair: [] }]));
  for (let round = 0; round < rounds; round += 1) {
    one = await start('records', workers.ledger);
    await customer(one, `warm${round}`, MONTH).then((job) => one.post('/drive', { ...job, pairs: 300, open: 1 }));
    const names = Object.keys(objects);
    for (const name of round % 2 ? names.reverse() : names) {
      const timed = async (count) => {
        const [began, cpuBegan] = [performance.now(), threadsCpuMs(one.pid)];
        await one.post('/drive', { ...jobs[name], pairs: count, open: 1 });
        return { wall: performance.now() - began, cpu: threadsCpuMs(one.pid) - cpuBegan };
      };
      const first = await timed(1);
      const warm = [];
      for (let each = 0; each < 20; each += 1) warm.push(await timed(1));
      taken[name].wake.push(first.wall - median(warm.map(({ wall }) => wall)));
      taken[name].wakeCpu.push(first.cpu - median(warm.map(({ cpu }) => cpu)));
      taken[name].pair.push((await timed(500)).wall / 500);
    }
    await one.stop();
  }
  return taken;
}

const row = (all) => `${median(all).toFixed(2)} (${Math.min(...all).toFixed(2)}–${Math.max(...all).toFixed(2)})`;
const result = { date: new Date().toISOString() };
try {
  const workers = { floor: bundle('floor', 'floor.mjs'), ledger: bundle('ledger', 'ledger.mjs') };
  if (!options.only || options.only === 'cpu') result.cpu = await cpu(workers);
  const many = Number(options.records);
  if ((!options.only || options.only === 'records') && many > 0) result.records = await records(workers, many);
} finally {
  await upstream.close?.();
  rmSync(folder, { recursive: true, force: true });
}
if (options.json) console.log(JSON.stringify(result));
else {
  if (result.cpu) {
    console.log('CPU of reserve and settle, ms: median (min–max)');
    for (const [open, { floor, ledger, beyond }] of Object.entries(result.cpu.found)) {
      console.log(`  ${open} at once: two empty calls ${row(floor)}, ledger ${row(ledger)}, beyond ${row(beyond)}`);
    }
    console.log(`  others: ${result.cpu.others.toFixed(2)} cores`);
  }
  for (const [name, { wake, wakeCpu, pair }] of Object.entries(result.records ?? {})) {
    console.log(`${name}: wake ${row(wake)} ms (CPU ${row(wakeCpu)}), reserve + settle ${row(pair)} ms`);
  }
}
process.exit(0);

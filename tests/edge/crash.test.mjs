// A real crash: SIGKILL of the runtime under load, and a start on what it left behind.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { say, secrets, sleep, startGate } from './gate.mjs';

const KILLS = Number(process.env.FAREBOX_KILLS ?? 1);
const WORKERS = 8;
const LOAD_MS = 700;

/** The runtime's process: a child of ours that is workerd. */
function runtimePid() {
  const of = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  const isOurs = (pid) => {
    try {
      return of(pid, 'comm').startsWith('workerd') && of(pid, 'stat').split(') ')[1].split(' ')[1] === String(process.pid);
    } catch {
      return false; // gone meanwhile
    }
  };
  const [pid] = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOurs(name));
  assert.ok(pid, 'no runtime found');
  return Number(pid);
}

/** Asks until told to stop; keeps the id and cost of every answer that came whole, with its cost. */
async function work(gate, key, acknowledged, running) {
  for (let n = 0; running(); n += 1) {
    const stream = n % 3 === 2;
    try {
      const response = await gate.chat(key, { stream, max_tokens: 60, ...say(`Hi [[chunks=${5 + (n % 20)} gap_ms=${n % 4}]]`) });
      await response.text();
      const cost = response.headers.get('x-farebox-cost');
      if (cost !== null) acknowledged.set(response.headers.get('x-farebox-request-id'), cost);
    } catch { /* the crash */ }
  }
}

const records = (lines) => lines.map((line) => ({ raw: line.match(/^\{"record":(.*),"signature":\{"alg"/)[1], ...JSON.parse(line) }));

/** Every invariant that must hold on what the archive holds. */
function examine(lines, head, acknowledged) {
  const chain = records(lines);
  assert.equal(chain.length, head.seq, 'the archive is complete');
  let prev = '0'.repeat(64);
  const attempts = new Map();
  chain.forEach(({ raw, record }, at) => {
    assert.equal(record.seq, at + 1, 'no gap, no doubling');
    assert.equal(record.prev, prev, `record ${record.seq} follows the one before`);
    prev = createHash('sha256').update(raw).digest('hex');
    const before = attempts.get(record.attempt_id);
    assert.equal(record.corrects, before?.seq, 'a second record of an attempt only ever corrects the first');
    attempts.set(record.attempt_id, record);
  });
  assert.equal(prev, head.hash);
  const settled = new Map(chain.filter(({ record }) => record.class === 'settled').map(({ record }) => [record.request_id, record]));
  for (const [id, cost] of acknowledged) {
    assert.ok(settled.has(id), `acknowledged ${id} is there`);
    const record = settled.get(id);
    assert.equal(record.previous === undefined ? record.amount : cost, cost);
  }
}

test(`nothing acknowledged is lost or doubled over ${KILLS} SIGKILL(s) under load`, { timeout: 60_000 + KILLS * 30_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-crash-'));
  const upstream = await startUpstream({ port: 0 });
  const secretVars = secrets();
  const acknowledged = new Map();
  const start = () => startGate({ persist: folder, secretVars, upstream, vars: { FAREBOX_HOLD_TTL_SECONDS: '1' } });
  let gate = await start();
  try {
    const key = await gate.customer('acme', '1000');
    for (let kill = 0; kill < KILLS; kill += 1) {
      let running = true;
      const workers = Array.from({ length: WORKERS }, () => work(gate, key, acknowledged, () => running));
      await sleep(LOAD_MS + Math.random() * 300);
      process.kill(runtimePid(), 'SIGKILL');
      running = false;
      await Promise.all(workers);
      await gate.stop().catch(() => {});
      gate = await start();
    }
    // Holds of what was under way expire by themselves; the alarm sends out what is left.
    const { head, spend } = await gate.until('acme', (status) => status.spend.open === 0, 'holds that never end', 15_000);
    assert.equal(spend.held, '0');
    let lines = [];
    for (const end = Date.now() + 15_000; lines.length < head.seq && Date.now() < end; await sleep(200)) lines = await gate.archive('acme');
    examine(lines, (await gate.status('acme')).head, acknowledged);
    assert.ok(acknowledged.size > KILLS * 10, `${acknowledged.size} acknowledged`);
  } finally {
    await gate.stop().catch(() => {});
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

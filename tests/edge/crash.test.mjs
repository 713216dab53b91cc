// The runtime is killed under load, again and again (FAREBOX_KILLS times): what was acknowledged is
// kept, once, every hold is resolved, and the archive is whole.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { Audit } from './audit.mjs';
import { requestId, say, secrets, sleep, startGate, within } from './gate.mjs';

const KILLS = Number(process.env.FAREBOX_KILLS ?? 50);
const WORKERS = 8;
const CUSTOMERS = ['acme', 'bigco'];
/** From the first answer after a start to the kill, at most. */
const LIFE_MS = 800;
/** One round, on a machine that is busy with other things. */
const ROUND_MS = 30_000;

/** Requests without end, until the runtime is gone. Notes what was acknowledged. */
async function work(gate, key, customer, acknowledged, state) {
  for (let n = 0; !state.killed; n += 1) {
    const path = n % 2 ? '/v1/messages' : '/v1/chat/completions';
    const stream = n % 5 === 4;
    const body = { model: n % 2 ? 'claude-haiku-4-5' : 'gpt-4o-mini', max_tokens: 100, stream, ...say(`hi [[chunks=${1 + (n % 20)}]]`) };
    try {
      const answer = await gate.raw(path, {
        headers: { authorization: `Bearer ${key}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' }, body: JSON.stringify(body),
      });
      state.answered += 1;
      state.wake();
      const cost = answer.headers['x-farebox-cost'];
      if (cost !== undefined) acknowledged.push({ customer, id: requestId(answer), cost });
    } catch {
      if (!state.killed) await sleep(20);
    }
  }
}

/** Load on every customer, and a SIGKILL amid it; answers what was acknowledged before. */
async function killUnderLoad(gate, keys) {
  const acknowledged = [];
  const state = { killed: false, answered: 0, wake: () => {} };
  const answering = new Promise((resolve) => { state.wake = resolve; });
  const customer = (n) => CUSTOMERS[n % CUSTOMERS.length];
  const workers = Array.from({ length: WORKERS }, (_, n) => work(gate, keys[customer(n)], customer(n), acknowledged, state));
  await within(20_000, answering, 'no answer');
  await sleep(Math.random() * LIFE_MS);
  process.kill(gate.pid, 'SIGKILL');
  state.killed = true;
  await within(25_000, Promise.all(workers), 'workers not done');
  await within(10_000, gate.miniflare.dispose().catch(() => {}), 'not disposed');
  return { acknowledged, answered: state.answered };
}

test(`${KILLS} kill(s) under load: nothing acknowledged is lost or doubled, every hold is resolved, the archive is whole`, { timeout: 60_000 + KILLS * ROUND_MS }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-crash-'));
  const upstream = await startUpstream();
  const vars = { FAREBOX_HOLD_TTL_SECONDS: '0.5', FAREBOX_OUTBOX_DELAY_SECONDS: '0.1' };
  const options = { persist: folder, secretVars: secrets(), upstream, vars };
  const audits = () => new Map(CUSTOMERS.map((name) => [name, new Audit(options.secretVars, name)]));
  const running = audits();
  const all = [];
  const began = Date.now();
  let answered = 0;
  let gate = await startGate(options);
  try {
    const keys = {};
    for (const name of CUSTOMERS) keys[name] = await gate.customer(name, '1000');
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const { acknowledged, ...load } = await killUnderLoad(gate, keys);
      all.push(...acknowledged);
      answered += load.answered;
      gate = await startGate(options);
      for (const [name, audit] of running) {
        const status = await gate.idle(name, 10_000);
        assert.equal(status.spend.held, '0');
        await audit.follow(gate, status);
      }
      for (const told of acknowledged) running.get(told.customer).acknowledged(told);
      if (kill % 25 === 0 || kill === KILLS) {
        const seconds = ((Date.now() - began) / 1_000).toFixed(0);
        console.log(`${kill} kills in ${seconds} s: ${answered} answers, ${all.length} acknowledged costs, none lost or doubled`);
      }
    }
    // All of it again from the first record on: no later kill took away what an earlier look had found.
    for (const [name, audit] of audits()) {
      await audit.follow(gate, await gate.status(name));
      for (const told of all.filter(({ customer }) => customer === name)) audit.acknowledged(told);
    }
    for (const name of CUSTOMERS) assert.equal((await gate.chat(keys[name], {})).status, 200, 'the old key works');
  } finally {
    await gate.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

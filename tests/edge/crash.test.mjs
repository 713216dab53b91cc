// The runtime is killed under load, again and again (FAREBOX_KILLS, default 1): what was
// acknowledged is kept, once, and the archive is whole.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { requestId, say, secrets, sleep, startGate, within } from './gate.mjs';

const KILLS = Number(process.env.FAREBOX_KILLS ?? 1);
const WORKERS = 8;
const CUSTOMERS = ['acme', 'bigco'];
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

/** Exact sums of decimal strings, in units of 10^-15. */
const units = (text) => {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(sign + whole + fraction.padEnd(15, '0'));
};

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
      const cost = answer.headers['x-farebox-cost'];
      if (cost !== undefined) acknowledged.push({ customer, id: requestId(answer), cost });
    } catch {
      if (!state.killed) await sleep(20);
    }
  }
}

/** The archive, checked from first principles. Answers its records. */
function checkChain(lines, secretVars, head) {
  const [number, secret] = secretVars.FAREBOX_RECORD_SECRETS.split(':');
  let prev = '0'.repeat(64);
  const records = lines.map((line, at) => {
    const [, raw, privateRaw] = /^\{"record":(\{.*?\}),"signature":\{"alg":.*?\},"private":(\{.*?\}),"salt":/.exec(line);
    const { record, signature, salt } = JSON.parse(line);
    assert.equal(record.seq, at + 1, 'no gap, nothing twice');
    assert.equal(record.prev, prev, `record ${record.seq} names the one before it`);
    prev = sha256(raw);
    assert.equal(String(signature.key_id), number);
    assert.equal(signature.tag, createHmac('sha256', Buffer.from(secret, 'hex')).update(raw).digest('hex'));
    assert.equal(record.private, sha256(Buffer.from(salt, 'hex'), privateRaw));
    return record;
  });
  assert.deepEqual({ seq: records.length, hash: prev }, head);
  return records;
}

/** Every attempt ended once: settled, voided or unresolved, and an unresolved one corrected at most once. */
function checkAttempts(records) {
  const attempts = Map.groupBy(records, (record) => record.attempt_id);
  for (const [id, list] of attempts) {
    const shape = list.map((record) => (record.corrects ? `${record.class} correction` : record.class)).join(', ');
    assert.match(shape, /^(settled|voided|unresolved|unresolved, (settled|voided) correction)$/, id);
    if (list.length === 2) assert.equal(list[1].corrects, list[0].seq);
  }
  return attempts;
}

test(`${KILLS} kill(s) under load: nothing acknowledged is lost or doubled, every hold is resolved, the archive is whole`, { timeout: 60_000 + KILLS * 30_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-crash-'));
  const upstream = await startUpstream();
  const options = { persist: folder, secretVars: secrets(), upstream, vars: { FAREBOX_HOLD_TTL_SECONDS: '1' } };
  let gate = await startGate(options);
  const acknowledged = [];
  try {
    const keys = {};
    for (const name of CUSTOMERS) keys[name] = await gate.customer(name, '1000');
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const state = { killed: false, answered: 0 };
      const workers = Array.from({ length: WORKERS }, (_, n) => work(gate, keys[CUSTOMERS[n % 2]], CUSTOMERS[n % 2], acknowledged, state));
      const pause = 400 + Math.floor(Math.random() * 1_200);
      await sleep(pause);
      process.kill(gate.pid, 'SIGKILL');
      state.killed = true;
      await within(25_000, Promise.all(workers), 'workers not done');
      t.diagnostic(`kill ${kill} after ${pause} ms and ${state.answered} answers, ${acknowledged.length} acknowledged so far`);
      assert.ok(state.answered > 0, 'there was load');
      await within(10_000, gate.miniflare.dispose().catch(() => {}), 'not disposed');
      gate = await startGate(options);

      for (const name of CUSTOMERS) {
        const { head, spend } = await gate.idle(name, 10_000);
        assert.equal(spend.held, '0');
        const lines = await wholeArchive(gate, name, head.seq);
        const records = checkChain(lines, options.secretVars, head);
        const attempts = checkAttempts(records);
        assert.equal(records.reduce((sum, { amount }) => sum + units(amount), 0n), units(spend.settled));
        const byRequest = Map.groupBy([...attempts.values()], ([record]) => record.request_id);
        for (const { id, cost } of acknowledged.filter(({ customer }) => customer === name)) {
          const [attempt, ...more] = byRequest.get(id) ?? [];
          assert.ok(attempt, `acknowledged ${id} is lost`);
          assert.equal(more.length, 0);
          assert.equal(attempt.at(-1).class, 'settled');
          assert.equal(attempt.reduce((sum, { amount }) => sum + units(amount), 0n), units(cost), `${id} is charged what was acknowledged`);
        }
      }
      assert.equal((await gate.chat(keys.acme, {})).status, 200, 'the old key works');
    }
  } finally {
    await gate.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

async function wholeArchive(gate, name, seq) {
  const end = Date.now() + 15_000;
  for (;;) {
    const lines = await gate.archive(name);
    if (lines.length >= seq) return lines;
    assert.ok(Date.now() < end, `${lines.length} of ${seq} records archived`);
    await sleep(200);
  }
}

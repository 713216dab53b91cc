// The ledger object broken in the middle, reset, and killed between two steps: what was committed
// stands, once; what was not has left no trace. Numbered as in docs/faults.md.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { Audit } from './audit.mjs';
import { startBroken } from './broken.mjs';
import { openRequest, openStream, quantity, refusal, say, secrets, sleep, startGate, WAYS, WHOLE, within } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);

let gate;
before(async () => { gate = await startBroken(); });
after(() => gate?.stop());

const ask = (key, text = 'hi', extra = {}) => gate.raw('/v1/chat/completions', {
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 100, ...say(text), ...extra }),
});
const standing = async (name) => {
  const { head, spend, limits } = await gate.status(name);
  return { head, settled: spend.settled, held: spend.held, open: spend.open, limits };
};
/** The archive is whole and adds up. */
const audited = async (name) => new Audit(gate.secretVars, name).follow(gate, await gate.status(name));

rule('F47: a write that fails between two of its statements leaves nothing of itself, and is made whole by the retry', async () => {
  const key = await gate.customer('torn', '1');
  for (const at of [1, 2, 3]) {
    const flow = await openStream(gate, key, 'hi [[chunks=4 gap_ms=300]]', WAYS['openai, usage asked for']);
    await flow.until(1);
    await gate.at('break', { customer: 'torn', at, message: 'disk I/O error: SQLITE_IOERR' });
    const before = await standing('torn');
    await flow.over;
    await sleep(1_500); // the settle has been tried, and failed, several times
    assert.equal(before.open, 1);
    assert.deepEqual(await standing('torn'), before, `statement ${at}`);
    const struck = await gate.at('mend', { customer: 'torn' });
    const { records: [record, ...more] } = await gate.bill(key, flow, 15_000);
    assert.deepEqual([more.length, record.class, quantity(record, 'output_total')], [0, 'settled', '4']);
    assert.ok(struck > 0, `statement ${at} was never reached`);
  }
  assert.equal((await gate.idle('torn')).spend.held, '0');
  await audited('torn');
});

rule('F48: where storage is full, a row too long or a read fails, the request is refused, and nothing is half there', async () => {
  const key = await gate.customer('full', '1');
  for (const message of ['database or disk is full: SQLITE_FULL', 'string or blob too big: SQLITE_TOOBIG', 'disk I/O error: SQLITE_IOERR']) {
    const [before, hits] = [await standing('full'), gate.hits()];
    await gate.at('break', { customer: 'full', at: 1, message });
    for (const extra of [{}, { stream: true }]) {
      const { status, code, text } = await refusal(await ask(key, 'hi', extra), 'openai');
      assert.deepEqual([status, code], [503, 'metering_unavailable']);
      assert.doesNotMatch(text, /SQLITE|disk|blob/);
    }
    assert.ok(await gate.at('mend', { customer: 'full' }) >= 2);
    assert.deepEqual([await standing('full'), gate.hits()], [before, hits], message);
    assert.equal((await ask(key)).status, 200, 'and it serves again at once');
  }
  await audited('full');
});

rule('F38: an object that is reset between reserve and settle goes on from its rows, and settles once', async () => {
  const key = await gate.customer('reset', '1');
  for (const way of [...Object.values(WAYS), ...Object.values(WHOLE)]) {
    const id = `reset${Math.random().toString(36).slice(2, 8)}`;
    const { answered } = openRequest(gate, key, `hi [[hold=${id} chunks=6]]`, { ...way, max_tokens: 100 });
    const { spend: { held } } = await gate.until('reset', ({ spend }) => spend.open === 1, 'no hold');
    assert.match(await gate.at('reset', { customer: 'reset' }), /deployed anew/);
    assert.equal((await gate.status('reset')).spend.held, held, 'the hold is still there');
    gate.upstream.release(id);
    const answer = await answered;
    answer.resume();
    const { records: [record, ...more] } = await gate.bill(key, answer);
    assert.deepEqual([more.length, record.class, quantity(record, 'output_total')], [0, 'settled', '6']);
  }
  assert.equal((await gate.idle('reset')).spend.held, '0');
  await audited('reset');
});

rule('F36, F42: a reserve and a settle that are told again answer the same, and change nothing', async () => {
  const key = await gate.customer('again', '1');
  const answer = await ask(key);
  const { reserve, settle } = await gate.at('seen');
  const before = await standing('again');
  const first = JSON.parse(await gate.at('apply', { customer: 'again', command: settle }));
  assert.equal(first.replayed?.charged ?? first.closed?.charged, answer.headers['x-farebox-cost']);
  const other = JSON.parse(settle);
  other.settle.finished_at = '2026-01-01T00:00:00.000Z';
  other.settle.outcome = 'error';
  assert.ok('conflict' in JSON.parse(await gate.at('apply', { customer: 'again', command: JSON.stringify(other) })));
  const late = JSON.parse(reserve);
  late.reserve.again = true; // as the gate's second try says
  const refused = JSON.parse(await gate.at('apply', { customer: 'again', command: JSON.stringify(late) }));
  assert.equal(refused.refused.code, 'attempt_conflict');
  assert.deepEqual(await standing('again'), before);
});

rule('F37: more commands at once than an object may keep waiting are refused at once, and none is lost', async () => {
  const key = await gate.customer('flooded', '1');
  const { done, refused, words } = await gate.at('flood', { customer: 'flooded', command: '"status"', count: 8_000 });
  console.log(`8000 at once: ${done} done, ${refused} refused: ${words}`);
  assert.ok(done >= 2_000, `${done} done`);
  assert.ok(refused > 0, 'none waits without end');
  assert.ok(words.every((word) => word.includes('more to do than it can')), `${words}`);
  assert.equal((await ask(key)).status, 200, 'and it serves on');
  await audited('flooded');
});

rule('F64: an attempt id is known to its own customer only', async () => {
  const [one, two] = [await gate.customer('one', '1'), await gate.customer('two', '1')];
  await ask(two);
  const theirs = JSON.parse((await gate.at('seen')).reserve);
  const running = ask(one, 'hi [[hold=f64]]');
  await gate.until('one', ({ spend }) => spend.open === 1, 'no hold');
  const { attempt_id } = JSON.parse((await gate.at('seen')).reserve).reserve;
  const apply = async (customer, command) => JSON.parse(await gate.at('apply', { customer, command: JSON.stringify(command) }));

  const before = await standing('two');
  const finished_at = new Date().toISOString();
  assert.equal(await apply('two', { void: { attempt_id, upstream_status: null, error_class: 'x', finished_at } }), 'unknown_attempt');
  assert.deepEqual(await standing('two'), before);
  const held = await apply('two', { reserve: { ...theirs.reserve, attempt_id, request_id: attempt_id } });
  assert.ok('held' in held, JSON.stringify(held));
  assert.deepEqual([(await gate.status('one')).spend.open, (await gate.status('two')).spend.open], [1, 1]);
  assert.ok('closed' in await apply('two', { void: { attempt_id, upstream_status: null, error_class: 'x', finished_at } }));
  assert.deepEqual([(await gate.status('one')).spend.open, (await gate.status('two')).spend.open], [1, 0]);
  gate.upstream.release('f64');
  assert.equal((await running).status, 200);
  assert.equal((await gate.idle('one')).requests[0].outcome, 'settled');
});

/** A gate that is killed and started again on the same storage. */
async function killed(kind, text, then) {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-killed-'));
  const upstream = await startUpstream();
  const options = { persist: folder, secretVars: secrets(), upstream, vars: { FAREBOX_HOLD_TTL_SECONDS: '2' } };
  let own = await startBroken(options);
  try {
    const key = await own.customer('acme', '1');
    if (kind) await own.at('stick', { kind });
    const hits = upstream.stats().requests;
    const { answered } = openRequest(own, key, text, { ...WHOLE.openai, max_tokens: 100 });
    const stuck = async () => (kind ? (await own.at('seen')).stuck : upstream.stats().requests > hits);
    for (const end = Date.now() + 10_000; !(await stuck()); await sleep(20)) assert.ok(Date.now() < end, 'not stuck');
    const asked = upstream.stats().requests - hits;
    process.kill(own.pid, 'SIGKILL');
    await assert.rejects(answered);
    await within(10_000, own.miniflare.dispose().catch(() => {}), 'not disposed');
    own = await startGate(options);
    await then(own, key, asked);
    await new Audit(own.secretVars, 'acme').follow(own, await own.status('acme'));
  } finally {
    await own.stop();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What becomes of a hold nobody knows more of. */
async function expires(own) {
  const { spend: { held, settled } } = await own.status('acme');
  assert.ok(held !== '0' && settled === '0', 'held after the restart');
  const { requests: [row, ...more], spend } = await own.idle('acme', 10_000);
  assert.deepEqual([more.length, row.outcome, spend.held], [0, 'unresolved', '0']);
  assert.ok(Number(row.amount) > 0 && Number(row.amount) < Number(held), 'its counted input, not the worst case');
}

rule('F40: killed between hold and call, the hold ends by itself at its floor, and the upstream was never asked', () => killed('reserve', 'hi', async (own, key, asked) => {
  assert.equal(asked, 0);
  await expires(own);
  assert.equal((await own.chat(key, {})).status, 200);
}));

rule('F41: killed while the upstream answers, the attempt is charged its floor, never nothing', () => killed(null, 'hi [[hold=f41]]', async (own, key, asked) => {
  assert.equal(asked, 1);
  await expires(own);
  assert.equal((await own.chat(key, {})).status, 200);
}));

rule('F42: killed between a settle and its answer, it stands, once', () => killed('settle', 'hi [[chunks=7]]', async (own) => {
  const { requests: [row, ...more], spend } = await own.status('acme');
  assert.deepEqual([more.length, row.outcome, row.output_total, spend.open], [0, 'settled', '7', 0]);
}));

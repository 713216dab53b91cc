// Plans and credit on the real runtime: included usage and beyond it, a pack that runs dry, a race for
// the last credit, a change of plan, and a kill in between.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { refusal, say, secrets, startGate, within } from './gate.mjs';

const rule = (name, run) => test(name, { timeout: 90_000 }, run);
const plan = (name, parts) => ({ format: 'farebox-plan-1', plan: name, version: '1', name, currency: 'USD', ...parts });

/** $99 with ten calls, then ten cents for every three begun. */
const hybrid = plan('hybrid', {
  fees: [{ id: 'base', amount: '99' }],
  allowances: [{ id: 'included', meter: 'api_calls', quantity: '10' }],
  charges: [{ id: 'calls', meter: 'api_calls', charge: { model: 'package', package_size: '3', price_per_package: '0.10' } }],
});
const calls = (price) => plan('calls', { charges: [{ id: 'each', meter: 'api_calls', charge: { model: 'per_unit', unit_price: price } }] });
/** Credits only: one a call. */
const credits = plan('credits', {
  charges: [{ id: 'calls', meter: 'api_calls', in_credits: true, charge: { model: 'per_unit', unit_price: '1' } }],
  credit: { name: 'coins' },
});

let gate;
before(async () => { gate = await startGate(); });
after(() => gate?.stop());

async function customer(name, terms) {
  const key = await gate.customer(name, null);
  await gate.admin('PUT', `customers/${name}/plan`, terms);
  return key;
}

const grant = (name, id, amount, unit = 'credits', more = {}) => gate.admin('POST', `customers/${name}/grants`, { id, amount, unit, source: 'paid', ...more });
const post = (key, extra = {}, text = 'hi') => gate.raw('/v1/chat/completions', {
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 50, ...say(text), ...extra }),
});

rule('calls are included up to the allowance, then charged by begun packages, and the records tell from where to where', async () => {
  const key = await customer('hybrid', { plan: hybrid, rest: 'included' });
  const costs = [];
  for (let n = 1; n <= 14; n += 1) costs.push((await post(key)).headers['x-farebox-cost']);
  assert.deepEqual(costs, [...Array(10).fill('0'), '0.1', '0', '0', '0.1']);
  const { plan: view, spend, requests } = await gate.idle('hybrid');
  assert.deepEqual([view.plan, view.version, view.charged, spend.settled], ['hybrid', '1', '0.2', '0.2']);
  assert.deepEqual(view.allowances, [{ id: 'included', meter: 'api_calls', of: '10', used: '14', left: '0' }]);
  assert.ok(Date.parse(view.period_end) > Date.parse(view.period_start));
  const response = await gate.fetch(`/v1/farebox/requests/${requests[0].request_id}`, { headers: { authorization: `Bearer ${key}` } });
  const { record } = (await response.json()).records[0];
  const [line] = record.plan.lines;
  assert.deepEqual([line.charge, line.before, line.after, line.amount, line.detail[0].unit_price], ['calls', '13', '14', '0.1', '0.1']);
});

rule('a pack of credits runs dry with a 402 that says so, and a top-up lets requests go on', async () => {
  const key = await customer('pack', { plan: credits, rest: 'included' });
  await grant('pack', 'first', '3');
  for (let n = 0; n < 3; n += 1) assert.equal((await post(key)).status, 200);
  const { status, code, details, header } = await refusal(await post(key), 'openai');
  assert.deepEqual([status, code, header('x-should-retry')], [402, 'spend_limit_exceeded', 'false']);
  assert.deepEqual([details.limit_id, details.needed, details.remaining, details.currency], ['balance', '1', '0', 'coins']);
  await grant('pack', 'second', '2');
  await grant('pack', 'second', '2'); // the same again
  assert.equal((await post(key)).status, 200);
  const { credit: [coins] } = await gate.idle('pack');
  assert.deepEqual([coins.unit, coins.name, coins.balance, coins.held], ['credits', 'coins', '1', '0']);
  await gate.admin('DELETE', 'customers/pack/grants/second');
  assert.equal((await post(key)).status, 402, 'what was left is taken back');
});

rule('R1: of a hundred requests that race for the last seven credits seven run', async () => {
  const key = await customer('race', { plan: credits, rest: 'included' });
  await grant('race', 'pack', '7');
  const hits = gate.hits();
  const answers = await Promise.all(Array.from({ length: 100 }, () => post(key)));
  const let_through = answers.filter(({ status }) => status === 200).length;
  assert.equal(let_through, 7);
  assert.equal(gate.hits() - hits, 7, 'and no other reached the upstream');
  assert.ok(answers.every(({ status }) => [200, 402, 429].includes(status)));
  const { credit: [coins], head } = await gate.idle('race');
  assert.deepEqual([coins.balance, coins.held, coins.grants[0].spent, head.seq], ['0', '0', '7', 7]);
});

rule('a plan that changes in the middle of a period holds from then on, and what runs ends under the old one', async () => {
  const key = await customer('change', { plan: calls('1'), rest: 'included' });
  assert.equal((await post(key)).headers['x-farebox-cost'], '1');
  const running = post(key, {}, 'hi [[hold=change]]');
  await gate.until('change', ({ spend }) => spend.open === 1, 'no hold');
  await gate.admin('PUT', 'customers/change/plan', { plan: calls('0.25'), rest: 'included' });
  assert.equal((await post(key)).headers['x-farebox-cost'], '0.25');
  gate.upstream.release('change');
  assert.equal((await running).headers['x-farebox-cost'], '1');
  await gate.admin('PUT', 'customers/change/plan', { plan: null });
  const byBook = (await post(key)).headers['x-farebox-cost'];
  assert.ok(Number(byBook) > 0 && Number(byBook) < 0.25, byBook);
});

rule('a plan with a fault is refused with its place, and the one in force stays', async () => {
  const key = await customer('fault', { plan: calls('1'), rest: 'included' });
  const wrong = plan('wrong', { charges: [{ id: 'each', meter: 'api_calls', charge: { model: 'per_unit' } }] });
  await assert.rejects(gate.admin('PUT', 'customers/fault/plan', { plan: wrong }), /400 .*charges\[0\]\.charge\.unit_price/);
  await assert.rejects(gate.admin('PUT', 'customers/fault/plan', {}), /400 .*plan/);
  assert.equal((await post(key)).headers['x-farebox-cost'], '1');
});

rule('a quote tells what a request adds by the plan, to what the period has used', async () => {
  const key = await customer('quoted', { plan: hybrid, rest: 'included' });
  const quote = async (sign) => (await gate.fetch('/v1/farebox/quote', {
    method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ endpoint: '/v1/chat/completions', body: { model: 'gpt-4o-mini', max_tokens: 50, ...say('hi') }, ...sign }),
  })).json();
  const told = async () => { const { lower, upper, plan: by } = await quote(); return [lower, upper, by?.plan]; };
  assert.deepEqual(await told(), ['0', '0.1', 'hybrid'], 'included, unless others use it up first');
  for (let n = 0; n < 10; n += 1) await post(key);
  await gate.idle('quoted');
  assert.deepEqual(await told(), ['0.1', '0.1', 'hybrid']);
  assert.equal((await quote({ sign: true })).error.code, 'not_in_plan');
  await gate.admin('PUT', 'customers/quoted/plan', { plan: credits, rest: 'included' });
  const { credits: coins } = (await quote()).plan;
  assert.deepEqual([coins.name, coins.lower, coins.upper], ['coins', '1', '1']);
});

rule('an outcome is held for until the operator confirms it, billed once, and given back when disputed', async () => {
  const outcome = { pending_hours: 24, silence: 'reversed', dispute_hours: 48 };
  const charges = [{ id: 'answers', meter: 'api_calls', outcome, charge: { model: 'per_unit', unit_price: '2' } }];
  const key = await customer('results', { plan: plan('results', { charges }), rest: 'included' });
  assert.equal((await post(key)).headers['x-farebox-cost'], '0');
  const { spend, requests: [request] } = await gate.idle('results');
  assert.deepEqual([spend.settled, spend.held, spend.open], ['0', '2', 0]);
  const records = async () => {
    const response = await gate.fetch(`/v1/farebox/requests/${request.request_id}`, { headers: { authorization: `Bearer ${key}` } });
    return (await response.json()).records.map(({ record }) => record);
  };
  const [{ attempt_id }] = await records();
  const say = (is, charge = 'answers') => gate.admin('POST', 'customers/results/outcomes', { attempt_id, charge, is });
  await assert.rejects(say('confirmed', 'others'), /404/);
  for (let n = 0; n < 2; n += 1) assert.equal((await say('confirmed')).charged, '2');
  assert.deepEqual([(await gate.status('results')).spend.settled, (await gate.status('results')).spend.held], ['2', '0']);
  for (let n = 0; n < 2; n += 1) assert.equal((await say('reversed')).charged, '0');
  await assert.rejects(say('confirmed'), /409/);
  const [, billed, back] = await records();
  assert.deepEqual(billed.outcome_of, { attempt_id, charge: 'answers' });
  assert.deepEqual([billed.amount, back.amount, back.corrects, back.attempt_id], ['2', '-2', billed.seq, billed.attempt_id]);
  assert.equal((await gate.status('results')).spend.settled, '0');
});

rule('killed and started again, the period goes on where it was and credit is what it was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-plans-'));
  const options = { persist: folder, secretVars: secrets() };
  const outer = gate;
  try {
    gate = await startGate(options);
    const key = await customer('kept', { plan: hybrid, rest: 'included' });
    const coins = await customer('coins', { plan: credits, rest: 'included' });
    await grant('coins', 'pack', '2');
    for (let n = 0; n < 10; n += 1) await post(key);
    assert.equal((await post(coins)).status, 200);
    await Promise.all([gate.idle('kept'), gate.idle('coins')]);
    process.kill(gate.pid, 'SIGKILL');
    await within(10_000, gate.miniflare.dispose().catch(() => {}), 'not disposed');
    await gate.upstream.close();
    gate = await startGate(options);
    assert.equal((await post(key)).headers['x-farebox-cost'], '0.1', 'the eleventh call');
    assert.equal((await post(coins)).status, 200);
    assert.equal((await post(coins)).status, 402);
    const { plan: view } = await gate.idle('kept');
    assert.deepEqual([view.charged, view.allowances[0].used], ['0.1', '11']);
  } finally {
    await gate.stop();
    gate = outer;
    rmSync(folder, { recursive: true, force: true });
  }
});

// Jobs: the hold stays under the job's name until a poll shows its end; then it is settled once, for
// the customer who started it, however often anybody asks.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { mintKey, quantity, refusal, sleep, startGate } from './gate.mjs';

const rule = (name, run, timeout = 30_000) => test(name, { timeout }, run);

const rate = (amount, per = '1') => ({ amount, per });
const BOOK = JSON.stringify({
  format: 'farebox-book-2', version: 'jobs', currency: 'USD', effective_from: '2026-01-01T00:00:00Z',
  models: [
    { provider: 'replicate', model: 'acme/painter', rates: { predict_seconds: rate('0.001') }, part_tokens_max: { predict_seconds: '100' } },
    { provider: 'assemblyai', model: 'best', rates: { seconds: rate('0.36', '3600') }, part_tokens_max: { seconds: '3600' } },
    { provider: 'openai', model: 'gpt-4o-mini', context_window: '128000', max_output_tokens: '16384', rates: { input_uncached: rate('0.15', '1000000'), output_total: rate('0.6', '1000000') } },
  ],
});

/** The kinds of job: how each is started, where it is asked for, how it ends, and what that costs. */
const KINDS = {
  prediction: {
    path: '/v1/predictions', poll: '/v1/predictions', body: { version: 'acme/painter', input: { prompt: 'a bus' } }, held: '0.1',
    runs: { status: 'processing', output: null, metrics: {} },
    ends: { status: 'succeeded', output: ['https://x/1.png'], metrics: { predict_time: 12.5 } }, cost: '0.0125', meter: ['predict_seconds', '12.5'],
  },
  'prediction of a named model': {
    path: '/v1/models/acme/painter/predictions', poll: '/v1/predictions', body: { input: {} }, held: '0.1',
    runs: { status: 'starting' }, ends: { status: 'failed', error: 'out of memory', metrics: { predict_time: 3 } }, cost: '0.003', meter: ['predict_seconds', '3'],
  },
  transcript: {
    path: '/v2/transcript', poll: '/v2/transcript', body: { audio_url: 'https://x/1.mp3', speech_model: 'best' }, held: '0.36',
    runs: { status: 'queued' }, ends: { status: 'completed', text: 'hello', audio_duration: 90 }, cost: '0.009', meter: ['seconds', '90'],
  },
  'background response': {
    path: '/v1/responses', poll: '/v1/responses', body: { model: 'gpt-4o-mini', input: 'hi', max_output_tokens: 100, background: true },
    runs: { object: 'response', status: 'in_progress', usage: null, output: [] },
    ends: { object: 'response', status: 'incomplete', output: [], usage: { input_tokens: 100, output_tokens: 50, total_tokens: 150 } }, cost: '0.000045', meter: ['output_total', '50'],
  },
};

/** An upstream whose jobs are what the test says they are. */
async function startWorkshop() {
  const jobs = new Map();
  const seen = [];
  let next = { status: 200, body: {} };
  const server = http.createServer(async (request, response) => {
    for await (const part of request) void part;
    seen.push({ method: request.method, url: request.url, authorization: request.headers.authorization });
    const id = request.url.split('?')[0].split('/').at(-1);
    const { status, body } = request.method === 'POST' ? next : jobs.get(id) ?? { status: 404, body: { detail: 'gone' } };
    if (request.method === 'POST') jobs.set(body.id, next);
    const text = JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    /** What the next request to start a job is answered. */
    starts: (body, status = 200) => { next = { status, body }; },
    /** What a job is from now on. */
    is: (id, body, status = 200) => jobs.set(id, { status, body: { id, ...body } }),
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

let gate, workshop;
before(async () => {
  workshop = await startWorkshop();
  const entry = { base_url: workshop.url, auth: 'bearer', secret: 'OPENAI_API_KEY' };
  gate = await startGate({ upstream: workshop, vars: {
    FAREBOX_BOOK: BOOK, FAREBOX_HOLD_TTL_SECONDS: '1', FAREBOX_JOB_TTL_SECONDS: '6',
    FAREBOX_UPSTREAMS: JSON.stringify({ openai: entry, replicate: entry, assemblyai: entry }),
  } });
});
after(async () => {
  await gate?.stop();
  workshop?.close();
});

let ids = 0;
const newId = () => `job-${ids += 1}`;
const start = (key, { path, body }) => gate.fetch(path, {
  method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
});
const poll = (key, kind, id) => gate.fetch(`${kind.poll}/${id}`, { headers: { authorization: `Bearer ${key}` } });

/** A job under way. */
async function running(key, kind) {
  const id = newId();
  workshop.starts({ id, ...kind.runs });
  const answer = await start(key, kind);
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { id, ...kind.runs });
  return { id, answer };
}

for (const [name, kind] of Object.entries(KINDS)) {
  const customer = `a${Object.keys(KINDS).indexOf(name)}`;
  rule(`a ${name} is held for until a poll shows its end, and settled once however often it is polled`, async () => {
    const key = await gate.customer(customer, '1');
    const { id, answer } = await running(key, kind);
    if (kind.held) assert.equal(answer.headers.get('x-farebox-held'), kind.held);
    assert.equal(answer.headers.get('x-farebox-cost'), null, 'nothing is known of its cost yet');
    await sleep(1_500); // longer than an ordinary hold lives
    const early = await poll(key, kind, id);
    assert.deepEqual(await early.json(), { id, ...kind.runs });
    const { spend } = await gate.status(customer);
    assert.deepEqual([spend.open, spend.settled], [1, '0']);
    workshop.is(id, kind.ends);
    const late = await poll(key, kind, id);
    assert.deepEqual(await late.json(), { id, ...kind.ends });
    assert.equal(late.headers.get('x-farebox-cost'), kind.cost);
    for (let n = 0; n < 3; n += 1) assert.equal((await poll(key, kind, id)).status, 200);
    const { cost, records } = await gate.bill(key, answer);
    assert.equal(cost, kind.cost);
    assert.equal(records.length, 1);
    assert.equal(records[0].class, 'settled');
    assert.equal(quantity(records[0], kind.meter[0]), kind.meter[1]);
    assert.deepEqual([(await gate.status(customer)).spend.open, (await gate.status(customer)).spend.settled], [0, kind.cost]);
  });
}

rule('many who ask at the same moment settle it once', async () => {
  const key = await gate.customer('many', '1');
  const { id, answer } = await running(key, KINDS.prediction);
  workshop.is(id, KINDS.prediction.ends);
  const answers = await Promise.all(Array.from({ length: 10 }, () => poll(key, KINDS.prediction, id)));
  assert.ok(answers.every(({ status }) => status === 200));
  const { cost, records } = await gate.bill(key, answer);
  assert.deepEqual([cost, records.length], ['0.0125', 1]);
});

rule('S11: a foreign job, and one that never was, is not found and reaches no upstream', async () => {
  const [mine, other] = [await gate.customer('mine', '1'), await gate.customer('other', '1')];
  const { id } = await running(mine, KINDS.prediction);
  const before = workshop.seen.length;
  for (const [key, job] of [[other, id], [mine, 'job-nobody'], [other, 'job-nobody']]) {
    const answer = await poll(key, KINDS.prediction, job);
    assert.equal(answer.status, 404);
    assert.equal((await answer.json()).code, 'not_found');
  }
  const response = await refusal(await poll(other, KINDS['background response'], id), 'openai');
  assert.deepEqual([response.status, response.code], [404, 'not_found']);
  const stranger = mintKey(gate.secretVars.FAREBOX_KEY_SECRETS, 'mine', 'k9').key;
  assert.equal((await poll(stranger, KINDS.prediction, id)).status, 401);
  assert.equal(workshop.seen.length, before);
  assert.equal((await poll(mine, KINDS.prediction, id)).status, 200);
});

rule('a job that is over in its first answer is settled at once, and can still be asked for', async () => {
  const key = await gate.customer('quick', '1');
  const id = newId();
  workshop.starts({ id, ...KINDS.prediction.ends });
  const answer = await start(key, KINDS.prediction);
  assert.equal(answer.headers.get('x-farebox-cost'), '0.0125');
  assert.equal((await gate.idle('quick')).spend.settled, '0.0125');
  assert.equal((await poll(key, KINDS.prediction, id)).status, 200);
  assert.equal((await gate.bill(key, answer)).records.length, 1);
});

rule('a refused start holds nothing', async () => {
  const key = await gate.customer('refusedjob', '1');
  workshop.starts({ id: 'x', detail: 'no' }, 422);
  assert.equal((await start(key, KINDS.prediction)).status, 422);
  assert.equal((await gate.idle('refusedjob')).spend.settled, '0');
});

rule('a job that the provider does not find, or that is another than was asked for, stays held', async () => {
  const key = await gate.customer('odd', '1');
  const { id } = await running(key, KINDS.prediction);
  workshop.is(id, { detail: 'gone' }, 404);
  assert.equal((await poll(key, KINDS.prediction, id)).status, 404);
  workshop.is(id, { ...KINDS.prediction.ends, id: 'another' });
  assert.equal((await poll(key, KINDS.prediction, id)).status, 200);
  workshop.is(id, { ...KINDS.prediction.ends, status: 'pondering' });
  assert.equal((await poll(key, KINDS.prediction, id)).headers.get('x-farebox-cost'), null);
  assert.equal((await gate.status('odd')).spend.open, 1);
});

rule('a job that nobody asks for is unresolved at the operator\'s limit, and its end still corrects that', async () => {
  const key = await gate.customer('forgotten', '1');
  const { id, answer } = await running(key, KINDS.prediction);
  await gate.idle('forgotten', 15_000);
  const unresolved = await gate.bill(key, answer);
  assert.deepEqual([unresolved.cost, unresolved.records.map((record) => record.class)], ['0.1', ['unresolved']], 'all that was held: its floor is nothing');
  workshop.is(id, KINDS.prediction.ends);
  assert.equal((await poll(key, KINDS.prediction, id)).headers.get('x-farebox-cost'), '0.0125');
  const { cost, records } = await gate.bill(key, answer);
  assert.equal(cost, '0.0125');
  assert.deepEqual(records.map(({ class: how }) => how), ['unresolved', 'settled']);
  assert.ok(records[1].flags.includes('late'));
}, 40_000);

rule('a job is not handed out in a way that hides its end', async () => {
  const key = await gate.customer('sly', '1');
  const { id } = await running(key, KINDS['background response']);
  const before = workshop.seen.length;
  const streamed = await gate.fetch(`/v1/responses/${id}?stream=true`, { headers: { authorization: `Bearer ${key}` } });
  assert.equal(streamed.status, 400);
  const { body } = KINDS['background response'];
  assert.equal((await start(key, { path: '/v1/responses', body: { ...body, stream: true } })).status, 400);
  assert.equal((await gate.fetch(`/v1/responses/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key}` } })).status, 405);
  assert.equal(workshop.seen.length, before);
});

rule('polls carry the upstream\'s credential and never the client\'s', () => {
  assert.ok(workshop.seen.some(({ method }) => method === 'GET'));
  assert.ok(workshop.seen.every(({ authorization }) => authorization === 'Bearer sk-demo-upstream'));
});

rule('a key stands in Authorization without a scheme where the API has none', async () => {
  const key = await gate.customer('bare', '1');
  const id = newId();
  workshop.starts({ id, ...KINDS.transcript.ends });
  const answer = await gate.fetch('/v2/transcript', { method: 'POST', headers: { authorization: key }, body: JSON.stringify(KINDS.transcript.body) });
  assert.equal(answer.status, 200);
});

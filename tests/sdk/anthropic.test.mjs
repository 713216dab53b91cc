// Anthropic's own SDK, with nothing changed but `baseURL` and `apiKey`, takes the gate for the API.

import Anthropic from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { quantity, say, sleep, startGate, wiretap } from '../edge/gate.mjs';

const rule = (name, run) => test(name, { timeout: 30_000 }, run);
const model = 'claude-haiku-4-5';
const max_tokens = 100;

let gate, tap, key, client;
const clientOf = (apiKey) => new Anthropic({ baseURL: tap.url, apiKey });
before(async () => {
  gate = await startGate();
  tap = await wiretap(gate.url);
  key = await gate.customer('acme', '10');
  client = clientOf(key);
});
after(async () => {
  await tap?.close();
  await gate?.stop();
});

/** What a call raises, and how often it knocked at the gate and at the upstream. */
async function raised(call) {
  const [knocks, hits, began] = [tap.exchanges.length, gate.hits(), performance.now()];
  const error = await call().then(() => assert.fail('nothing was raised'), (thrown) => thrown);
  return { error, knocks: tap.exchanges.length - knocks, hits: gate.hits() - hits, ms: performance.now() - began };
}

const codeOf = (error) => error.error.error.details.error_code;

rule('a message comes with the provider\'s usage and request id, and its cost beside it', async () => {
  const { data, response } = await client.messages.create({ model, max_tokens, ...say('hi [[chunks=3 cached=50 cache_write=20 cache_write_1h=10]]') }).withResponse();
  assert.equal(data.content[0].text, 'Lorem ipsum dolor ');
  assert.deepEqual([data.usage.output_tokens, data.usage.cache_read_input_tokens, data.usage.cache_creation_input_tokens], [3, 50, 30]);
  assert.match(data._request_id, /^req_/, 'the provider\'s own');
  const { cost, records: [record] } = await gate.bill(key, response);
  assert.equal(response.headers.get('x-farebox-cost'), cost);
  assert.deepEqual(['output_total', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'input_uncached'].map((meter) => quantity(record, meter)),
    ['3', '50', '20', '10', String(data.usage.input_tokens)]);
});

rule('a stream comes piece by piece, with its usage', async () => {
  const { data, response } = await client.messages.create({ model, max_tokens, stream: true, ...say('hi [[chunks=20]]') }).withResponse();
  const events = [];
  for await (const event of data) events.push(event);
  assert.equal(events.filter(({ type }) => type === 'content_block_delta').length, 20);
  assert.equal(events.find(({ type }) => type === 'message_delta').usage.output_tokens, 20);
  assert.equal(quantity((await gate.bill(key, response)).records[0], 'output_total'), '20');
});

rule('the SDK\'s stream helper gathers the same message', async () => {
  const stream = client.messages.stream({ model, max_tokens, ...say('hi [[chunks=6 utf8]]') });
  const message = await stream.finalMessage();
  assert.deepEqual([message.usage.output_tokens, message.stop_reason], [6, 'end_turn']);
  assert.match(message.content[0].text, /🚌/);
});

rule('tools work, whole and streamed', async () => {
  const tools = [{ name: 'weather', input_schema: { type: 'object', properties: { text: { type: 'string' } } } }];
  const whole = await client.messages.create({ model, max_tokens, tools, ...say('hi [[tool_call chunks=4]]') });
  assert.deepEqual([whole.stop_reason, whole.content[0].name, typeof whole.content[0].input.text], ['tool_use', 'weather', 'string']);
  const streamed = await client.messages.stream({ model, max_tokens, tools, ...say('hi [[tool_call chunks=4]]') }).finalMessage();
  assert.deepEqual(streamed.content[0].input, whole.content[0].input);
});

rule('at the limit the SDK raises its own typed error, at once and without a retry', async () => {
  const poor = clientOf(await gate.customer('poor', '0.00001'));
  for (const extra of [{}, { stream: true }]) {
    const { error, knocks, hits, ms } = await raised(() => poor.messages.create({ model, max_tokens, ...say('hi'), ...extra }));
    assert.ok(error instanceof Anthropic.APIError, error.constructor.name);
    assert.deepEqual([error.status, error.type, codeOf(error)], [402, 'billing_error', 'request_exceeds_limit']);
    assert.deepEqual([knocks, hits], [1, 0]);
    assert.ok(ms < 1_500, `${ms} ms`);
    assert.match(error.requestID, /^[0-9a-f-]{36}$/);
    assert.equal(error.error.error.details.limit, '0.00001');
    assert.match(error.message, /0\.00001 USD/);
  }
});

rule('what stands only for the moment the SDK waits out by itself, and then succeeds', async () => {
  const body = { model, max_tokens, ...say('hi [[hold=wait]]') };
  const probe = gate.raw('/v1/messages', { headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const { spend } = await gate.until('acme', (status) => status.spend.open === 1, 'no hold');
  gate.upstream.release('wait');
  await probe;
  gate.upstream.reset();

  const busy = clientOf(await gate.customer('busy', spend.held));
  const first = busy.messages.create(body);
  await gate.until('busy', (status) => status.spend.open === 1, 'no hold');
  const knocks = tap.exchanges.length;
  const second = busy.messages.create({ ...body, max_tokens: 50, ...say('hi') });
  for (const end = Date.now() + 5_000; tap.exchanges[knocks]?.status !== 429; await sleep(10)) assert.ok(Date.now() < end, 'no 429');
  gate.upstream.release('wait');
  assert.equal((await first).type, 'message');
  assert.equal((await second).type, 'message');
  assert.equal(tap.exchanges.length, knocks + 2, 'one retry was enough');
});

rule('a bad key is an AuthenticationError, once', async () => {
  for (const bad of ['bad', `${key}x`, key.replace('acme', 'acme2')]) {
    const { error, knocks, hits } = await raised(() => clientOf(bad).messages.create({ model, max_tokens, ...say('hi') }));
    assert.ok(error instanceof Anthropic.AuthenticationError);
    assert.deepEqual([error.type, codeOf(error), knocks, hits], ['authentication_error', 'invalid_key', 1, 0]);
  }
});

rule('other refusals are the SDK\'s own errors, too', async () => {
  const unsold = await raised(() => client.messages.create({ model: 'claude-9', max_tokens, ...say('hi') }));
  assert.ok(unsold.error instanceof Anthropic.BadRequestError);
  assert.deepEqual([codeOf(unsold.error), unsold.knocks], ['model_not_priced', 1]);
  const nowhere = await raised(() => client.messages.countTokens({ model, ...say('hi') }));
  assert.ok(nowhere.error instanceof Anthropic.NotFoundError);
  const denied = await raised(() => client.messages.create({ model, max_tokens, ...say('hi [[status=403]]') }));
  assert.ok(denied.error instanceof Anthropic.PermissionDeniedError);
});

rule('what the provider fails at the SDK retries, and only the answer is charged', async () => {
  const own = await gate.customer('retry', '1');
  const answer = await clientOf(own).messages.create({ model, max_tokens, ...say('hi [[status=529 fail_times=1 id=sdkretry chunks=2]]') });
  assert.equal(answer.usage.output_tokens, 2);
  const { requests } = await gate.idle('retry');
  assert.deepEqual(requests.map(({ outcome }) => outcome), ['settled', 'voided']);
});

rule('leaving a stream early is charged for what was seen', async () => {
  const own = await gate.customer('leaver', '1');
  const stream = await clientOf(own).messages.create({ model, max_tokens: 5_000, stream: true, ...say('hi [[chunks=2000 gap_ms=40]]') });
  let seen = 0;
  for await (const event of stream) if (event.type === 'content_block_delta' && (seen += 1) === 5) break;
  const { requests: [row], spend } = await gate.until('leaver', (status) => status.requests.length === 1, 'not settled', 5_000);
  assert.equal(spend.held, '0');
  assert.ok(Number(row.output_total) >= 5 && Number(row.output_total) < 500, row.output_total);
});

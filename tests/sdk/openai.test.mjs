// OpenAI's own SDK, with nothing changed but `baseURL` and `apiKey`, takes the gate for the API.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { quantity, say, sleep, startGate, wiretap } from '../edge/gate.mjs';

const rule = (name, run) => test(name, { timeout: 30_000 }, run);
const model = 'gpt-4o-mini';

let gate, tap, key, client;
const clientOf = (apiKey) => new OpenAI({ baseURL: `${tap.url}/v1`, apiKey });
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

rule('a chat answer comes with the provider\'s usage and request id, and its cost beside it', async () => {
  const { data, response } = await client.chat.completions.create({ model, ...say('hi [[chunks=3 reasoning=4 cached=50]]') }).withResponse();
  assert.equal(data.choices[0].message.content, 'Lorem ipsum dolor ');
  assert.deepEqual([data.usage.completion_tokens, data.usage.completion_tokens_details.reasoning_tokens, data.usage.prompt_tokens_details.cached_tokens], [7, 4, 50]);
  assert.match(data._request_id, /^req_/, 'the provider\'s own');
  const { cost, records: [record] } = await gate.bill(key, response);
  assert.equal(response.headers.get('x-farebox-cost'), cost);
  assert.deepEqual([quantity(record, 'output_total'), quantity(record, 'input_total')], [String(data.usage.completion_tokens), String(data.usage.prompt_tokens)]);
});

rule('a stream comes piece by piece, and no chunk surprises a client that did not ask for usage', async () => {
  const { data, response } = await client.chat.completions.create({ model, stream: true, ...say('hi [[chunks=20]]') }).withResponse();
  let pieces = 0;
  for await (const chunk of data) {
    assert.equal(chunk.choices.length, 1);
    assert.ok(!chunk.usage);
    if (chunk.choices[0].delta.content) pieces += 1;
  }
  assert.equal(pieces, 20);
  assert.equal(quantity((await gate.bill(key, response)).records[0], 'output_total'), '20');
});

rule('a stream\'s usage comes where it was asked for', async () => {
  const stream = await client.chat.completions.create({ model, stream: true, stream_options: { include_usage: true }, ...say('hi [[chunks=5]]') });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.deepEqual([chunks.at(-1).choices, chunks.at(-1).usage.completion_tokens], [[], 5]);
});

rule('tools work, whole and streamed', async () => {
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { text: { type: 'string' } } } } }];
  const whole = await client.chat.completions.create({ model, tools, ...say('hi [[tool_call chunks=4]]') });
  const [call] = whole.choices[0].message.tool_calls;
  assert.deepEqual([call.function.name, whole.choices[0].finish_reason], ['weather', 'tool_calls']);
  assert.equal(typeof JSON.parse(call.function.arguments).text, 'string');
  let text = '';
  const stream = await client.chat.completions.create({ model, tools, stream: true, ...say('hi [[tool_call chunks=4]]') });
  for await (const chunk of stream) text += chunk.choices[0].delta.tool_calls?.[0]?.function?.arguments ?? '';
  assert.deepEqual(JSON.parse(text), JSON.parse(call.function.arguments));
});

rule('at the limit the SDK raises its own typed error, at once and without a retry', async () => {
  const poor = clientOf(await gate.customer('poor', '0.00001'));
  for (const extra of [{}, { stream: true }]) {
    const { error, knocks, hits, ms } = await raised(() => poor.chat.completions.create({ model, max_tokens: 1_000, ...say('hi'), ...extra }));
    assert.ok(error instanceof OpenAI.APIError, error.constructor.name);
    assert.deepEqual([error.status, error.code, error.type], [402, 'request_exceeds_limit', 'insufficient_quota']);
    assert.deepEqual([knocks, hits], [1, 0]);
    assert.ok(ms < 1_500, `${ms} ms`);
    assert.match(error.requestID, /^[0-9a-f-]{36}$/);
    assert.equal(error.error.details.limit, '0.00001');
    assert.match(error.message, /0\.00001 USD/);
  }
});

rule('what stands only for the moment the SDK waits out by itself, and then succeeds', async () => {
  const body = { model, max_tokens: 100, ...say('hi [[hold=wait]]') };
  const probe = gate.raw('/v1/chat/completions', { headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const { spend } = await gate.until('acme', (status) => status.spend.open === 1, 'no hold');
  gate.upstream.release('wait');
  await probe;
  gate.upstream.reset();

  const busy = clientOf(await gate.customer('busy', spend.held));
  const first = busy.chat.completions.create(body);
  await gate.until('busy', (status) => status.spend.open === 1, 'no hold');
  const knocks = tap.exchanges.length;
  const second = busy.chat.completions.create({ ...body, max_tokens: 50, ...say('hi') });
  for (const end = Date.now() + 5_000; tap.exchanges[knocks]?.status !== 429; await sleep(10)) assert.ok(Date.now() < end, 'no 429');
  gate.upstream.release('wait');
  assert.equal((await first).object, 'chat.completion');
  assert.equal((await second).object, 'chat.completion');
  assert.equal(tap.exchanges.length, knocks + 2, 'one retry was enough');
});

rule('a bad key is an AuthenticationError, once', async () => {
  for (const bad of ['bad', `${key}x`, key.replace('acme', 'acme2')]) {
    const { error, knocks, hits } = await raised(() => clientOf(bad).chat.completions.create({ model, ...say('hi') }));
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.deepEqual([error.code, knocks, hits], ['invalid_key', 1, 0]);
  }
});

rule('other refusals are the SDK\'s own errors, too', async () => {
  const unsold = await raised(() => client.chat.completions.create({ model: 'gpt-9', ...say('hi') }));
  assert.ok(unsold.error instanceof OpenAI.BadRequestError);
  assert.deepEqual([unsold.error.code, unsold.error.param, unsold.knocks], ['model_not_priced', 'model', 1]);
  const nowhere = await raised(() => client.vectorStores.list());
  assert.ok(nowhere.error instanceof OpenAI.NotFoundError);
  const denied = await raised(() => client.chat.completions.create({ model, ...say('hi [[status=403]]') }));
  assert.ok(denied.error instanceof OpenAI.PermissionDeniedError);
});

rule('what the provider fails at the SDK retries, and only the answer is charged', async () => {
  const own = await gate.customer('retry', '1');
  const answer = await clientOf(own).chat.completions.create({ model, ...say('hi [[status=503 fail_times=1 id=sdkretry chunks=2]]') });
  assert.equal(answer.usage.completion_tokens, 2);
  const { requests } = await gate.idle('retry');
  assert.deepEqual(requests.map(({ outcome }) => outcome), ['settled', 'voided']);
});

rule('leaving a stream early is charged for what was seen', async () => {
  const own = await gate.customer('leaver', '1');
  const stream = await clientOf(own).chat.completions.create({ model, max_tokens: 5_000, stream: true, ...say('hi [[chunks=2000 gap_ms=40]]') });
  let seen = 0;
  for await (const chunk of stream) if (chunk.choices[0].delta.content && (seen += 1) === 5) break;
  const { requests: [row], spend } = await gate.until('leaver', (status) => status.requests.length === 1, 'not settled', 5_000);
  assert.equal(spend.held, '0');
  assert.ok(Number(row.output_total) >= 5 && Number(row.output_total) < 500, row.output_total);
});

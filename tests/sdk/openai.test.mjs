// The official openai package, unmodified but for its base URL and key.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startGate } from '../edge/gate.mjs';

const DEADLINE = 30_000;
const rule = (name, body) => test(name, { timeout: DEADLINE }, body);
let gate;
let calls;
/** A client whose requests are counted as they leave. */
const client = (apiKey, options = {}) => new OpenAI({
  baseURL: `${gate.url}/v1`, apiKey, timeout: DEADLINE,
  fetch: (...request) => { calls += 1; return fetch(...request); }, ...options,
});
const ask = (content, more = {}) => ({ model: 'gpt-4o-mini', max_tokens: 50, messages: [{ role: 'user', content }], ...more });
const error = (promise) => promise.then(() => assert.fail('no error'), (caught) => caught);

before(async () => { gate = await startGate(); });
after(() => gate?.stop());

rule('chat: the answer and its usage are the provider\'s, and the ids are there', async () => {
  const { data, response } = await client(await gate.customer('chat', '1')).chat.completions.create(ask('Hi')).withResponse();
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.match(data._request_id, /^req_/);
  assert.match(response.headers.get('x-farebox-request-id'), /^[0-9a-f-]{36}$/);
  assert.match(response.headers.get('x-farebox-cost'), /^0\.0+\d+$/);
});

rule('stream: with usage asked for, the last chunk brings it; without, no chunk has empty choices', async () => {
  const openai = client(await gate.customer('stream', '1'));
  for (const asked of [true, false]) {
    const stream = await openai.chat.completions.create(ask('Hi', { stream: true, ...(asked && { stream_options: { include_usage: true } }) }));
    const chunks = await Array.fromAsync(stream);
    assert.equal(chunks.some(({ choices }) => choices.length === 0), asked);
    assert.equal(chunks.at(-1).usage?.completion_tokens, asked ? 12 : undefined);
    assert.ok(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('').startsWith('Lorem'));
  }
  const { requests } = await gate.idle('stream');
  assert.deepEqual(requests.map(({ output_total }) => output_total), ['12', '12'], 'both are metered');
});

rule('tools come through', async () => {
  const tools = [{ type: 'function', function: { name: 'lookup', parameters: { type: 'object', properties: {} } } }];
  const answer = await client(await gate.customer('tools', '1')).chat.completions.create(ask('Hi [[tool_call]]', { tools }));
  assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'lookup');
});

rule('at a spent limit: the typed error, at once, without a retry, and nothing reaches the upstream', async () => {
  const openai = client(await gate.customer('spent', '0.000025'));
  await openai.chat.completions.create(ask('Hi [[cached=200]]', { max_tokens: 5 }));
  await gate.idle('spent');
  const { requests } = gate.upstream.stats();
  calls = 0;
  const caught = await error(openai.chat.completions.create(ask('Hi', { max_tokens: 5 })));
  assert.ok(caught instanceof OpenAI.APIError);
  assert.deepEqual([caught.status, caught.code, caught.type], [402, 'spend_limit_exceeded', 'insufficient_quota']);
  assert.match(caught.message, /spend limit is reached/);
  assert.equal(calls, 1);
  assert.equal(gate.upstream.stats().requests, requests);
});

rule('what can never fit is refused once, and the length it names does fit', async () => {
  const openai = client(await gate.customer('never', '0.0001'));
  calls = 0;
  const caught = await error(openai.chat.completions.create(ask('Hi', { max_tokens: 5000 })));
  assert.deepEqual([caught.status, caught.code, calls], [402, 'request_exceeds_limit', 1]);
  const fits = Number(caught.error.details.affordable_max_tokens);
  await openai.chat.completions.create(ask('Hi', { max_tokens: fits }));
});

rule('too much at once: the SDK waits and tries again, and then succeeds', async () => {
  const openai = client(await gate.customer('busy', '0.00009'));
  const running = openai.chat.completions.create(ask('Hi [[hold=busy]]', { max_tokens: 80 }));
  await gate.until('busy', ({ spend }) => spend.open === 1, 'the first is not held');
  calls = 0;
  const second = openai.chat.completions.create(ask('Hi', { max_tokens: 80 }));
  setTimeout(() => gate.upstream.release('busy'), 500);
  assert.equal((await second).choices[0].finish_reason, 'stop');
  assert.ok(calls >= 2, 'it was refused first');
  await running;
});

rule('a key that is not good is an authentication error, once', async () => {
  calls = 0;
  const caught = await error(client('fb_test_nobody_k1_x_1y').chat.completions.create(ask('Hi')));
  assert.ok(caught instanceof OpenAI.AuthenticationError);
  assert.deepEqual([caught.code, calls], ['invalid_key', 1]);
});

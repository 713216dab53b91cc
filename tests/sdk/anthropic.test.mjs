// The official @anthropic-ai/sdk package, unmodified but for its base URL and key.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { startGate } from '../edge/gate.mjs';

const DEADLINE = 30_000;
const rule = (name, body) => test(name, { timeout: DEADLINE }, body);
let gate;
let calls;
const client = (apiKey, options = {}) => new Anthropic({
  baseURL: gate.url, apiKey, timeout: DEADLINE,
  fetch: (...request) => { calls += 1; return fetch(...request); }, ...options,
});
const ask = (content, more = {}) => ({ model: 'claude-haiku-4-5', max_tokens: 50, messages: [{ role: 'user', content }], ...more });
const error = (promise) => promise.then(() => assert.fail('no error'), (caught) => caught);

before(async () => { gate = await startGate(); });
after(() => gate?.stop());

rule('messages: the answer and its usage are the provider\'s, and the ids are there', async () => {
  const { data, response } = await client(await gate.customer('msg', '1')).messages.create(ask('Hi [[cache_write=40 cached=7]]')).withResponse();
  assert.equal(data.stop_reason, 'end_turn');
  assert.deepEqual([data.usage.cache_read_input_tokens, data.usage.cache_creation_input_tokens], [7, 40]);
  assert.match(response.headers.get('x-farebox-request-id'), /^[0-9a-f-]{36}$/);
  assert.match(response.headers.get('x-farebox-cost'), /^0\.0+\d+$/);
});

rule('stream: every event arrives, and the final message has its usage', async () => {
  const stream = client(await gate.customer('stream', '1')).messages.stream(ask('Hi'));
  const message = await stream.finalMessage();
  assert.ok(message.content[0].text.startsWith('Lorem'));
  assert.equal(message.usage.output_tokens, 12);
  const { requests } = await gate.idle('stream');
  assert.equal(requests[0].output_total, '12');
});

rule('at a spent limit: the typed error, at once, without a retry, and nothing reaches the upstream', async () => {
  const anthropic = client(await gate.customer('spent', '0.0004'));
  await anthropic.messages.create(ask('Hi [[reasoning=8]]', { max_tokens: 20 }));
  await gate.idle('spent');
  const { requests } = gate.upstream.stats();
  calls = 0;
  const caught = await error(anthropic.messages.create(ask('Hi', { max_tokens: 20 })));
  assert.ok(caught instanceof Anthropic.APIError);
  assert.equal(caught.status, 402);
  assert.deepEqual([caught.error.error.type, caught.error.error.details.error_code], ['billing_error', 'spend_limit_exceeded']);
  assert.equal(calls, 1);
  assert.equal(gate.upstream.stats().requests, requests);
});

rule('a key that is not good is an authentication error, once', async () => {
  calls = 0;
  const caught = await error(client('fb_test_nobody_k1_x_1y').messages.create(ask('Hi')));
  assert.ok(caught instanceof Anthropic.AuthenticationError);
  assert.equal(calls, 1);
});

// Every rule of the demo upstream, asked over real HTTP. Run: node --test upstream.test.mjs
// Each request carries a deadline, so a rule that hangs fails and does not wait.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

import { DIRECTIVES, STATUSES } from './directives.mjs';
import { startUpstream } from './server.mjs';

const DEADLINE_MS = 10_000;
const KEY = 'sk-demo-upstream';
const OPENAI = { path: '/v1/chat/completions', headers: { authorization: `Bearer ${KEY}` } };
const ANTHROPIC = { path: '/v1/messages', headers: { 'x-api-key': KEY, 'anthropic-version': '2023-06-01' } };
const BOTH = [['openai', OPENAI], ['anthropic', ANTHROPIC]];

let up;
before(async () => { up = await startUpstream(); });
after(() => up.close());

// ---- helpers

/** Open a request; the promise gives the response as soon as its headers are in. */
function open({ method = 'POST', path, headers = {}, body, base = up.url }) {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  const req = request(base + path, { method, headers: { 'content-type': 'application/json', ...headers }, signal });
  const response = new Promise((resolve, reject) => {
    req.on('error', reject);
    req.on('response', resolve);
  });
  response.catch(() => {}); // whoever awaits it still sees the error
  req.end(payload);
  return { req, response };
}

/** The whole answer: status, headers, bytes, text, and whether it was broken off. */
async function call(options) {
  const res = await open(options).response;
  const pieces = [];
  let broken = false;
  try {
    for await (const piece of res) pieces.push(piece);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    broken = true;
  }
  const bytes = Buffer.concat(pieces);
  const text = bytes.toString();
  return { status: res.statusCode, headers: res.headers, bytes, text, pieces, broken };
}

const user = (content) => [{ role: 'user', content }];
const bodyFor = (api, prompt, more) => ({
  model: api === OPENAI ? 'gpt-4o-mini' : 'claude-haiku-4-5',
  ...(api === ANTHROPIC && { max_tokens: 100_000 }),
  messages: user(prompt),
  ...more,
});
const ask = (api, prompt, more) => call({ ...api, body: bodyFor(api, prompt, more) });
const askJson = async (api, prompt, more) => {
  const answer = await ask(api, prompt, more);
  return { ...answer, json: JSON.parse(answer.text) };
};
const stream = (api, prompt, more) => ask(api, prompt, { stream: true, ...more });
const withUsage = { stream_options: { include_usage: true } };

/** Parse SSE text into [{event, data}] with data as JSON where it is JSON. */
function events(text) {
  return text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n').split('\n\n').map((block) => {
    const found = {};
    for (const line of block.split('\n')) {
      const [, field, value] = /^(event|data): (.*)$/.exec(line) ?? [];
      if (field) found[field] = value;
    }
    return found;
  }).filter((found) => found.data !== undefined).map(({ event, data }) => (
    { event, data: data === '[DONE]' ? data : JSON.parse(data) }
  ));
}

const openaiText = (text) => events(text).map(({ data }) => data.choices?.[0]?.delta.content ?? '').join('');
const anthropicText = (text) => events(text).map(({ data }) => data.delta?.text ?? '').join('');
const textOf = (api, text) => (api === OPENAI ? openaiText(text) : anthropicText(text));
const control = async (method, path) => JSON.parse((await call({ method, path: `/control/${path}` })).text);

/** Wait, within the deadline, until the server's state is as expected. */
async function eventually(check) {
  const end = Date.now() + DEADLINE_MS;
  while (!check()) {
    assert.ok(Date.now() < end, `never came true: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// ---- tests

describe('OpenAI format', () => {
  test('a whole answer has every field of the real one', async () => {
    const { status, headers, json } = await askJson(OPENAI, 'hello');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.match(json.id, /^chatcmpl-/);
    assert.equal(json.object, 'chat.completion');
    assert.ok(Math.abs(json.created - Date.now() / 1000) < 60);
    assert.equal(json.model, 'gpt-4o-mini-2024-07-18');
    assert.equal(json.service_tier, 'default');
    assert.equal(typeof json.system_fingerprint, 'string');
    assert.deepEqual(json.choices, [{
      index: 0,
      message: {
        role: 'assistant',
        content: 'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor ',
        refusal: null,
        annotations: [],
      },
      logprobs: null,
      finish_reason: 'stop',
    }]);
    assert.deepEqual(json.usage, {
      prompt_tokens: 5, // ceil(5 / 4) + 3
      completion_tokens: 12,
      total_tokens: 17,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0,
      },
    });
  });

  test('a stream: role, chunks, finish, [DONE], and no usage key unasked', async () => {
    const { headers, text } = await stream(OPENAI, '[[chunks=2]]');
    assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
    const seen = events(text).map(({ data }) => data);
    assert.equal(seen.pop(), '[DONE]');
    assert.ok(text.endsWith('data: [DONE]\n\n'));
    assert.deepEqual(seen.map(({ choices }) => [choices[0].delta, choices[0].finish_reason]), [
      [{ role: 'assistant', content: '', refusal: null }, null],
      [{ content: 'Lorem ' }, null],
      [{ content: 'ipsum ' }, null],
      [{}, 'stop'],
    ]);
    for (const chunk of seen) {
      assert.equal(chunk.object, 'chat.completion.chunk');
      assert.equal(chunk.id, seen[0].id);
      assert.equal('usage' in chunk, false);
    }
  });

  test('include_usage: null on every chunk, then one chunk of usage without choices', async () => {
    const { text } = await stream(OPENAI, 'hello', withUsage);
    const seen = events(text).map(({ data }) => data);
    assert.equal(seen.pop(), '[DONE]');
    const last = seen.pop();
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.total_tokens, 17);
    for (const chunk of seen) assert.equal(chunk.usage, null);
  });

  test('n choices, each with its own index and each counted', async () => {
    const { json } = await askJson(OPENAI, '[[chunks=2]]', { n: 3 });
    assert.deepEqual(json.choices.map(({ index }) => index), [0, 1, 2]);
    assert.equal(json.usage.completion_tokens, 6);
    const { text } = await stream(OPENAI, '[[chunks=2]]', { n: 2, ...withUsage });
    const parts = events(text).flatMap(({ data }) => data.choices ?? []);
    assert.equal(parts.filter(({ index, delta }) => index === 1 && delta.content).length, 2);
    assert.equal(events(text).at(-2).data.usage.completion_tokens, 4);
  });

  test('prompt tokens count the bytes of every text and 3 per message', async () => {
    const messages = [
      { role: 'system', content: 'ä'.repeat(8) },
      { role: 'user', content: [{ type: 'text', text: 'abc' }, { type: 'image_url', image_url: { url: 'x' } }] },
    ];
    const { json } = await askJson(OPENAI, '', { messages });
    assert.equal(json.usage.prompt_tokens, Math.ceil(19 / 4) + 6);
  });

  test('either limit cuts the answer to length', async () => {
    for (const limit of ['max_tokens', 'max_completion_tokens']) {
      const { json } = await askJson(OPENAI, 'hi', { [limit]: 5 });
      assert.equal(json.choices[0].finish_reason, 'length');
      assert.equal(json.usage.completion_tokens, 5);
    }
  });

  test('cached tokens are part of the prompt, reasoning part of the completion', async () => {
    const { json } = await askJson(OPENAI, '[[cached=100 reasoning=7 chunks=4]]');
    const bare = Math.ceil('[[cached=100 reasoning=7 chunks=4]]'.length / 4) + 3;
    assert.equal(json.usage.prompt_tokens, bare + 100);
    assert.equal(json.usage.prompt_tokens_details.cached_tokens, 100);
    assert.equal(json.usage.completion_tokens, 11);
    assert.equal(json.usage.completion_tokens_details.reasoning_tokens, 7);
    assert.equal(json.usage.total_tokens, json.usage.prompt_tokens + 11);
  });

  test('reasoning is paid for first under a limit', async () => {
    const { json } = await askJson(OPENAI, '[[reasoning=7]]', { max_completion_tokens: 9 });
    assert.equal(json.usage.completion_tokens, 9);
    assert.equal(json.choices[0].message.content, 'Lorem ipsum ');
  });

  test('the response headers are those of the API', async () => {
    const { headers } = await askJson(OPENAI, 'hi');
    assert.match(headers['x-request-id'], /^req_/);
    assert.match(headers['openai-processing-ms'], /^\d+$/);
    assert.equal(headers['openai-version'], '2020-10-01');
    assert.ok(headers['x-ratelimit-remaining-requests']);
    assert.ok(headers['x-ratelimit-limit-tokens']);
  });

  test('a missing or wrong key is a 401 in its shape', async () => {
    for (const [authorization, code] of [[undefined, null], ['Bearer nope', 'invalid_api_key']]) {
      const { status, text } = await call({
        path: OPENAI.path, headers: authorization ? { authorization } : {}, body: bodyFor(OPENAI, 'hi'),
      });
      const { error } = JSON.parse(text);
      assert.equal(status, 401);
      assert.deepEqual([error.type, error.param, error.code], ['invalid_request_error', null, code]);
    }
  });

  test('bad requests are refused as the API refuses them', async () => {
    const messages = user('hi');
    const cases = [
      ['{"model"', 400, /could not parse the JSON body/],
      ['[]', 400, /could not parse/],
      [{ messages }, 400, /must provide a model parameter/],
      [{ model: 'gpt-4o' }, 400, /Missing required parameter: 'messages'/],
      [{ model: 'gpt-4o', messages: 'hi' }, 400, /Invalid type for 'messages'/],
      [{ model: 'gpt-4o', messages: [] }, 400, /empty array/],
      [{ model: 'gpt-4o', messages, ...withUsage }, 400, /'stream_options' parameter is only allowed/],
      [{ model: 'gpt-4o', messages, max_tokens: 1, max_completion_tokens: 1 }, 400, /at the same time/],
      [{ model: 'gpt-4o', messages, n: 0 }, 400, /Invalid 'n'/],
      [{ model: 'unknown-model', messages }, 404, /`unknown-model` does not exist/],
    ];
    for (const [body, wanted, message] of cases) {
      const { status, text } = await call({ ...OPENAI, body });
      const { error } = JSON.parse(text);
      assert.equal(status, wanted);
      assert.match(error.message, message);
      assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code']);
    }
  });

  test('tool_call answers with a call, whole and streamed', async () => {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: {} } }];
    const { json } = await askJson(OPENAI, '[[tool_call chunks=3]]', { tools });
    const [choice] = json.choices;
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    assert.equal(choice.message.tool_calls[0].function.name, 'weather');
    assert.deepEqual(JSON.parse(choice.message.tool_calls[0].function.arguments), { text: 'Lorem ipsum dolor ' });

    const { text } = await stream(OPENAI, '[[tool_call chunks=3]]', { tools });
    const calls = events(text).flatMap(({ data }) => data.choices?.[0].delta.tool_calls ?? []);
    assert.match(calls[0].id, /^call_/);
    assert.equal(calls.length, 4);
    assert.deepEqual(JSON.parse(calls.map((part) => part.function.arguments).join('')), { text: 'Lorem ipsum dolor ' });
  });

  test('an error amid a stream comes as data, without [DONE]', async () => {
    const { text, broken } = await stream(OPENAI, '[[error_after=2]]');
    const seen = events(text);
    assert.equal(seen.length, 4); // role, two chunks, the error
    assert.equal(seen.at(-1).data.error.type, 'server_error');
    assert.equal(broken, false);
  });

  test('directives of the other API are refused', async () => {
    const { status, json } = await askJson(OPENAI, '[[cache_write=5]]');
    assert.equal(status, 400);
    assert.match(json.error.message, /'cache_write'/);
  });
});

describe('Anthropic format', () => {
  test('a whole answer has every field of the real one', async () => {
    const { status, json } = await askJson(ANTHROPIC, 'hello', { system: 'abcd' });
    assert.equal(status, 200);
    assert.match(json.id, /^msg_/);
    const { id, ...rest } = json;
    assert.deepEqual(rest, {
      type: 'message',
      role: 'assistant',
      model: 'claude-haiku-4-5-20251001',
      content: [{
        type: 'text',
        text: 'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor ',
      }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 9, // ceil((5 + 4) / 4) + 2 * 3: the system prompt is a message too
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
        output_tokens: 12,
        service_tier: 'standard',
      },
    });
  });

  test('a stream has the named events in order, and the totals at its end', async () => {
    const { headers, text } = await stream(ANTHROPIC, '[[chunks=2 cached=9]]');
    assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
    const seen = events(text);
    assert.deepEqual(seen.map(({ event }) => event), [
      'message_start', 'content_block_start', 'ping', 'content_block_delta', 'content_block_delta',
      'content_block_stop', 'message_delta', 'message_stop',
    ]);
    for (const { event, data } of seen) assert.equal(data.type, event);
    const { message } = seen[0].data;
    assert.deepEqual([message.content, message.stop_reason], [[], null]);
    assert.equal(message.usage.output_tokens, 1);
    assert.equal(message.usage.cache_read_input_tokens, 9);
    const delta = seen.at(-2).data;
    assert.deepEqual(delta.delta, { stop_reason: 'end_turn', stop_sequence: null });
    assert.deepEqual(delta.usage, {
      input_tokens: message.usage.input_tokens,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 9,
      output_tokens: 2,
    });
    assert.equal(anthropicText(text), 'Lorem ipsum ');
  });

  test('cache tokens stand beside the input, reasoning is part of the output', async () => {
    const prompt = '[[cached=5 cache_write=3 cache_write_1h=2 reasoning=4 chunks=1]]';
    const { usage } = (await askJson(ANTHROPIC, prompt)).json;
    assert.equal(usage.input_tokens, Math.ceil(prompt.length / 4) + 3);
    assert.equal(usage.cache_read_input_tokens, 5);
    assert.equal(usage.cache_creation_input_tokens, 5);
    assert.deepEqual(usage.cache_creation, { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 2 });
    assert.equal(usage.output_tokens, 5);
  });

  test('max_tokens cuts the answer', async () => {
    const { json } = await askJson(ANTHROPIC, 'hi', { max_tokens: 5 });
    assert.equal(json.stop_reason, 'max_tokens');
    assert.equal(json.usage.output_tokens, 5);
  });

  test('the response headers are those of the API', async () => {
    const { headers } = await askJson(ANTHROPIC, 'hi');
    assert.match(headers['request-id'], /^req_/);
    for (const kind of ['requests', 'tokens', 'input-tokens', 'output-tokens']) {
      for (const what of ['limit', 'remaining', 'reset']) assert.ok(headers[`anthropic-ratelimit-${kind}-${what}`]);
    }
  });

  test('the key comes as x-api-key or as a bearer token; with both the first counts', async () => {
    const version = { 'anthropic-version': '2026-10-21' };
    const cases = [
      [{ 'x-api-key': KEY }, 200],
      [{ authorization: `Bearer ${KEY}` }, 200],
      [{ 'x-api-key': KEY, authorization: 'Bearer other' }, 200],
      [{ 'x-api-key': 'other', authorization: `Bearer ${KEY}` }, 401],
      [{ authorization: 'Bearer other' }, 401],
      [{}, 401],
    ];
    for (const [headers, wanted] of cases) {
      const { status, text } = await call({
        path: ANTHROPIC.path, headers: { ...version, ...headers }, body: bodyFor(ANTHROPIC, 'hi'),
      });
      assert.equal(status, wanted, JSON.stringify(headers));
      if (wanted === 401) assert.equal(JSON.parse(text).error.type, 'authentication_error');
    }
  });

  test('bad requests are refused as the API refuses them', async () => {
    const good = bodyFor(ANTHROPIC, 'hi');
    const without = (field) => ({ ...good, [field]: undefined });
    const cases = [
      ['{', {}, 400, 'invalid_request_error', /not valid JSON/],
      [without('model'), {}, 400, 'invalid_request_error', /^model: Field required/],
      [without('messages'), {}, 400, 'invalid_request_error', /^messages: Field required/],
      [without('max_tokens'), {}, 400, 'invalid_request_error', /^max_tokens: Field required/],
      [{ ...good, messages: [] }, {}, 400, 'invalid_request_error', /at least one message/],
      [{ ...good, max_tokens: 0 }, {}, 400, 'invalid_request_error', /^max_tokens/],
      [{ ...good, model: 'unknown-x' }, {}, 404, 'not_found_error', /model: unknown-x/],
      [good, { 'anthropic-version': '' }, 400, 'invalid_request_error', /anthropic-version: header is required/],
      [good, { 'anthropic-version': '1999-01-01' }, 400, 'invalid_request_error', /not a valid version/],
      [{ ...good, temperature: 1 }, { 'anthropic-version': '2026-10-21' }, 400, 'invalid_request_error',
        /temperature: Extra inputs/],
    ];
    for (const [body, headers, wanted, type, message] of cases) {
      const answer = await call({ path: ANTHROPIC.path, headers: { ...ANTHROPIC.headers, ...headers }, body });
      const json = JSON.parse(answer.text);
      assert.equal(answer.status, wanted);
      assert.equal(json.type, 'error');
      assert.equal(json.error.type, type);
      assert.match(json.error.message, message);
      assert.equal(json.request_id, answer.headers['request-id']);
    }
    assert.equal((await askJson(ANTHROPIC, 'hi', { temperature: 1 })).status, 200); // fine in 2023-06-01
  });

  test('tool_call answers with a tool_use block, whole, streamed and cut short', async () => {
    const { json } = await askJson(ANTHROPIC, '[[tool_call chunks=2]]', { tools: [{ name: 'weather' }] });
    assert.equal(json.stop_reason, 'tool_use');
    assert.match(json.content[0].id, /^toolu_/);
    assert.deepEqual([json.content[0].name, json.content[0].input], ['weather', { text: 'Lorem ipsum ' }]);

    const { text } = await stream(ANTHROPIC, '[[tool_call chunks=2]]');
    const parts = events(text).filter(({ data }) => data.delta?.type === 'input_json_delta');
    assert.deepEqual(JSON.parse(parts.map(({ data }) => data.delta.partial_json).join('')), { text: 'Lorem ipsum ' });

    const cut = await askJson(ANTHROPIC, '[[tool_call]]', { max_tokens: 2 });
    assert.deepEqual([cut.json.stop_reason, cut.json.content[0].input], ['max_tokens', {}]);
  });

  test('an error amid a stream is an event of its own', async () => {
    const { text } = await stream(ANTHROPIC, '[[error_after=2]]');
    const last = events(text).at(-1);
    assert.equal(last.event, 'error');
    assert.equal(last.data.error.type, 'overloaded_error');
    assert.equal(events(text).length, 6);
  });
});

describe('routes', () => {
  test('the models are listed in either shape', async () => {
    const openai = await call({ method: 'GET', path: '/v1/models', headers: OPENAI.headers });
    assert.equal(JSON.parse(openai.text).object, 'list');
    const anthropic = await call({ method: 'GET', path: '/v1/models', headers: ANTHROPIC.headers });
    assert.equal(JSON.parse(anthropic.text).has_more, false);
    assert.equal((await call({ method: 'GET', path: '/v1/models' })).status, 401);
  });

  test('anything else is a 404 in the shape of the client that asked', async () => {
    const openai = await call({ path: '/v1/embeddings', headers: OPENAI.headers, body: {} });
    assert.deepEqual([openai.status, JSON.parse(openai.text).error.message], [404, 'Invalid URL (POST /v1/embeddings)']);
    const anthropic = await call({ path: '/v1/embeddings', headers: ANTHROPIC.headers, body: {} });
    assert.deepEqual([anthropic.status, JSON.parse(anthropic.text).error.type], [404, 'not_found_error']);
    assert.equal((await call({ ...ANTHROPIC, path: '/v1/messages/batches', body: {} })).status, 404);
    assert.equal((await call({ ...OPENAI, method: 'GET' })).status, 404);
    assert.equal((await call({ method: 'GET', path: '//' })).status, 404);
  });

  test('a query string does not change the route', async () => {
    const answer = await call({ ...ANTHROPIC, path: '/v1/messages?beta=true', body: bodyFor(ANTHROPIC, 'hi') });
    assert.equal(answer.status, 200);
  });

  test('headers a gateway must drop are there to be dropped', async () => {
    for (const [, api] of BOTH) {
      for (const answer of [await ask(api, 'hi'), await stream(api, 'hi'), await ask(api, '[[status=500]]')]) {
        assert.equal(answer.headers.server, 'demo');
        assert.equal(answer.headers['set-cookie'].length, 1);
      }
    }
  });

  test('a body beyond 32 MiB is refused', async () => {
    const answer = await ask(OPENAI, 'x'.repeat(33 * 1024 * 1024)).catch((error) => error);
    // The refusal may reach the client before it has sent all of its body.
    assert.ok(answer.status === 413 || ['EPIPE', 'ECONNRESET'].includes(answer.code), String(answer));
  });
});

describe('directives', () => {
  test('unknown, repeated, lone and out-of-range ones are refused by name', async () => {
    const bad = [
      ['[[colour=red]]', /unknown directive 'colour'/], ['[[constructor]]', /unknown directive 'constructor'/],
      ['[[chunks=1]] [[chunks=2]]', /'chunks' is given twice/], ['[[chunks]]', /'chunks' has a bad value/],
      ['[[chunks=-1]]', /bad value/], ['[[gap_ms=60001]]', /bad value/], ['[[gzip=1]]', /'gzip=1' has a bad value/],
      ['[[status=418]]', /bad value/], ['[[hold=a/b]]', /bad value/], ['[[tier=gold]]', /bad value/],
      ['[[fail_times=1 status=500]]', /'fail_times' needs 'id'/], ['[[id=x]]', /'id' needs 'fail_times'/],
      ['[[chunks=1000000 word_bytes=10000]]', /must be streamed/],
    ];
    for (const [name, api] of BOTH) {
      for (const [prompt, message] of bad) {
        const { status, json } = await askJson(api, prompt);
        assert.equal(status, 400, `${name} ${prompt}`);
        assert.match(json.error.message, message);
        assert.equal(json.error.type, 'invalid_request_error');
      }
    }
  });

  test('only the last user message is read, in strings and in parts', async () => {
    const messages = [
      ...user('[[nonsense]]'),
      { role: 'assistant', content: '[[nonsense]]' },
      { role: 'user', content: [{ type: 'text', text: 'a [[chunks=1]]' }, { type: 'text', text: ' b [[cached=2]]' }] },
    ];
    for (const [, api] of BOTH) {
      const { status, text } = await ask(api, '', { messages });
      assert.equal(status, 200);
      assert.match(text, /"Lorem "/);
    }
  });

  test('the README names every directive', () => {
    const readme = readFileSync(new URL('./README.md', import.meta.url), 'utf8');
    for (const name of Object.keys(DIRECTIVES)) assert.match(readme, new RegExp(`\`${name}(=[^\`]*)?\``), name);
  });

  for (const [name, api] of BOTH) {
    test(`${name}: every status has the provider's error shape`, async () => {
      for (const status of STATUSES) {
        const answer = await askJson(api, `[[status=${status}]]`);
        assert.equal(answer.status, status);
        assert.equal(typeof answer.json.error.message, 'string');
        assert.equal(typeof answer.json.error.type, 'string');
        assert.equal(answer.headers['retry-after'], status === 429 ? '1' : undefined);
      }
    });

    test(`${name}: fail_times fails the first hits of an id only`, async () => {
      const prompt = `[[status=503 fail_times=2 id=${name}-flaky]]`;
      const statuses = [];
      for (let hit = 0; hit < 3; hit += 1) statuses.push((await ask(api, prompt)).status);
      assert.deepEqual(statuses, [503, 503, 200]);
    });

    test(`${name}: word_bytes sets the size of each chunk's text`, async () => {
      const { text } = await stream(api, '[[chunks=3 word_bytes=1000]]');
      assert.equal(textOf(api, text).length, 3000);
    });

    test(`${name}: bytes keeps writing until about that much has left`, async () => {
      const { bytes, text } = await stream(api, '[[bytes=1000000]]');
      assert.ok(bytes.length > 1_000_000 && bytes.length < 1_100_000, String(bytes.length));
      assert.equal(textOf(api, text).length, Math.ceil(1_000_000 / 16_384) * 16_384);
    });

    test(`${name}: big_json pads a whole answer`, async () => {
      const { bytes, status } = await askJson(api, '[[big_json=1000000]]');
      assert.equal(status, 200);
      assert.ok(bytes.length >= 1_000_000 && bytes.length < 1_010_000);
    });

    test(`${name}: first_byte_ms and gap_ms take their time`, async () => {
      const started = performance.now();
      const res = await open({ ...api, body: bodyFor(api, '[[first_byte_ms=60 gap_ms=30 chunks=3]]', { stream: true }) }).response;
      const headersAt = performance.now() - started;
      for await (const _ of res);
      const endedAt = performance.now() - started;
      assert.ok(headersAt >= 59, `headers after ${headersAt} ms`);
      assert.ok(endedAt - headersAt >= 55, `body took ${endedAt - headersAt} ms`);
    });

    test(`${name}: no_usage and null_usage`, async () => {
      assert.equal('usage' in (await askJson(api, '[[no_usage]]')).json, false);
      assert.equal((await askJson(api, '[[null_usage]]')).json.usage, null);
      const more = api === OPENAI ? withUsage : {};
      assert.doesNotMatch((await stream(api, '[[no_usage]]', more)).text, /"usage"/);
      const { text } = await stream(api, '[[null_usage]]', more);
      assert.match(text, /"usage":null/);
      assert.doesNotMatch(text, /"usage":\{/);
    });

    test(`${name}: cut_after breaks the answer off after that many chunks`, async () => {
      for (const chunks of [0, 2]) {
        const { text, broken } = await stream(api, `[[cut_after=${chunks}]]`);
        assert.equal(broken, true);
        assert.equal(textOf(api, text), ['Lorem ', 'ipsum '].slice(0, chunks).join(''));
      }
      const whole = await ask(api, '[[cut_after=1]]');
      assert.equal(whole.broken, true);
      assert.ok(whole.bytes.length > 0);
    });

    test(`${name}: stall_after goes silent with the connection open`, async () => {
      const { req, response } = open({ ...api, body: bodyFor(api, '[[stall_after=1]]', { stream: true }) });
      const res = await response;
      let text = '';
      let ended = false;
      res.on('error', () => {}); // we end it ourselves below
      res.on('data', (piece) => { text += piece; });
      res.on('end', () => { ended = true; });
      await eventually(() => textOf(api, text) === 'Lorem ');
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(textOf(api, text), 'Lorem ');
      assert.equal(ended, false);
      req.destroy();
    });

    test(`${name}: redirect, leak and gzip`, async () => {
      const redirect = await ask(api, '[[redirect]]');
      assert.deepEqual([redirect.status, redirect.headers.location], [307, 'http://127.0.0.1:1/']);

      const leak = await askJson(api, '[[leak]]');
      assert.equal(leak.status, 400);
      assert.ok(leak.json.error.message.includes(KEY));

      const headers = { ...api.headers, 'accept-encoding': 'identity' };
      for (const streamed of [false, true]) {
        const zipped = await call({ ...api, headers, body: bodyFor(api, '[[gzip]]', { stream: streamed }) });
        assert.equal(zipped.headers['content-encoding'], 'gzip');
        assert.match(gunzipSync(zipped.bytes).toString(), /Lorem/);
      }
    });

    test(`${name}: gzip sends each chunk as it comes, also before a cut`, async () => {
      const { bytes, broken } = await stream(api, '[[gzip cut_after=2]]');
      assert.equal(broken, true);
      const text = gunzipSync(bytes, { finishFlush: 2 }).toString(); // Z_SYNC_FLUSH: the end is missing
      assert.equal(textOf(api, text), 'Lorem ipsum ');
    });

    test(`${name}: crlf, bom and comments change the lines and not the events`, async () => {
      const plain = events((await stream(api, 'hi')).text).length;
      const { bytes, text } = await stream(api, '[[crlf bom comments]]');
      assert.deepEqual([...bytes.subarray(0, 3)], [0xef, 0xbb, 0xbf]);
      assert.doesNotMatch(text, /[^\r]\n/);
      assert.match(text, /^: /m);
      assert.equal(events(text).length, plain);
    });

    test(`${name}: split writes pieces of that size, through characters too`, async () => {
      const { pieces, text } = await stream(api, '[[split=3 utf8 chunks=6]]');
      assert.equal(textOf(api, text), 'dólór ägypten 流れ — 🚌 жетон ');
      assert.ok(pieces.length > text.length / 3 / 4, `${pieces.length} pieces`);
      assert.ok(pieces.some((piece) => piece.length <= 3));
    });

    test(`${name}: no_done and no_final_blank change the end`, async () => {
      const end = api === OPENAI ? 'data: [DONE]\n\n' : 'event: message_stop\ndata: {"type":"message_stop"}\n\n';
      assert.ok((await stream(api, 'hi')).text.endsWith(end));
      const noDone = (await stream(api, '[[no_done]]')).text;
      assert.ok(!noDone.includes(end) && noDone.endsWith('}\n\n'));
      const noBlank = (await stream(api, '[[no_final_blank]]')).text;
      assert.ok(noBlank.endsWith(end.slice(0, -1)) && !noBlank.endsWith('\n\n'));
    });

    test(`${name}: decoy text looks like an end and a usage report`, async () => {
      const { text } = await stream(api, '[[decoy chunks=2]]');
      const said = textOf(api, text);
      assert.ok(said.includes('data: [DONE]') && said.includes('"usage":{"prompt_tokens":1}'));
      assert.ok(!events(text).slice(0, -1).some(({ data }) => data === '[DONE]'));
    });

    test(`${name}: tier is told in the reply`, async () => {
      const { json } = await askJson(api, '[[tier=priority]]');
      assert.equal(api === OPENAI ? json.service_tier : json.usage.service_tier, 'priority');
      const flex = await askJson(api, '[[tier=flex]]');
      assert.equal(api === OPENAI ? flex.json.service_tier : flex.json.usage.service_tier, api === OPENAI ? 'flex' : 'batch');
    });

    test(`${name}: lockstep sends the next chunk only after an ack`, async () => {
      const id = `${name}-step`;
      const res = await open({ ...api, body: bodyFor(api, `[[lockstep=${id} chunks=3]]`, { stream: true }) }).response;
      let text = '';
      res.on('data', (piece) => { text += piece; });
      const ended = new Promise((resolve) => res.on('end', resolve));
      await eventually(() => textOf(api, text) === 'Lorem ');
      assert.deepEqual(await control('GET', `lockstep/${id}`), { sent: 1, acked: 0 });
      assert.deepEqual(await control('POST', `ack/${id}`), { sent: 1, acked: 1 });
      await eventually(() => textOf(api, text) === 'Lorem ipsum ');
      up.ack(id);
      await ended;
      assert.equal(textOf(api, text), 'Lorem ipsum dolor ');
      assert.deepEqual(up.lockstep(id), { sent: 3, acked: 2 });
    });

    test(`${name}: hold withholds everything until the release, then holds no more`, async () => {
      const id = `${name}-hold`;
      let answered = false;
      const pending = ask(api, `[[hold=${id}]]`).then((answer) => { answered = true; return answer; });
      await eventually(() => up.stats().waiting.includes(id));
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(answered, false);
      assert.deepEqual(await control('POST', `release/${id}`), { released: 1 });
      assert.equal((await pending).status, 200);
      assert.equal((await ask(api, `[[hold=${id}]]`)).status, 200);
      assert.deepEqual(up.stats().waiting, []);
    });
  }
});

describe('control', () => {
  test('stats count what came and how it ended, and keep the last request', async () => {
    await control('POST', 'reset');
    await ask(OPENAI, 'first');
    await ask(ANTHROPIC, '[[status=500]]');
    await stream(OPENAI, '[[cut_after=1]]');
    const { req, response } = open({ ...OPENAI, headers: { ...OPENAI.headers, 'X-Trace': 'T' }, body: bodyFor(OPENAI, '[[stall_after=0]]', { stream: true }) });
    (await response).on('error', () => {}).resume();
    assert.equal((await control('GET', 'stats')).open, 1);
    req.destroy();
    await eventually(() => up.stats().open === 0);
    const { last, ...numbers } = await control('GET', 'stats');
    assert.deepEqual(numbers, {
      requests: 4, open: 0, aborted: 1, completed: 2, cut: 1,
      by_path: { '/v1/chat/completions': 3, '/v1/messages': 1 }, waiting: [],
    });
    assert.equal(last.path, '/v1/chat/completions');
    assert.equal(last.headers['x-trace'], 'T');
    assert.equal(last.body, JSON.stringify(bodyFor(OPENAI, '[[stall_after=0]]', { stream: true })));
    assert.deepEqual(up.stats().requests, 4);
  });

  test('a client that leaves while held is counted as aborted', async () => {
    up.reset();
    const { req, response } = open({ ...OPENAI, body: bodyFor(OPENAI, '[[hold=gone]]') });
    await eventually(() => up.stats().waiting.length === 1);
    req.destroy();
    await assert.rejects(response);
    await eventually(() => up.stats().aborted === 1);
    assert.deepEqual(up.stats().waiting, []);
  });

  test('reset forgets all, and breaks off what was waiting', async () => {
    const held = open({ ...OPENAI, body: bodyFor(OPENAI, '[[hold=forgotten]]') }).response;
    await eventually(() => up.stats().waiting.includes('forgotten'));
    assert.deepEqual(up.reset(), { ok: true });
    await assert.rejects(held);
    const { requests, open: stillOpen, last } = up.stats();
    assert.deepEqual([requests, stillOpen, last], [0, 0, null]);
  });

  test('unknown control routes and bad ids are 404', async () => {
    for (const [method, path] of [['GET', 'nothing'], ['POST', 'ack/'], ['POST', 'ack/a/b'], ['POST', 'ack/%20'], ['POST', 'stats']]) {
      assert.equal((await call({ method, path: `/control/${path}` })).status, 404, path);
    }
  });

  test('a slow reader stops the writing', async () => {
    up.reset();
    const { req, response } = open({ ...OPENAI, body: bodyFor(OPENAI, '[[bytes=200000000 lockstep=slow]]', { stream: true }) });
    for (let ack = 0; ack < 20_000; ack += 1) up.ack('slow');
    const res = await response;
    res.on('error', () => {});
    res.pause();
    let before = -1;
    await eventually(() => { // settled: two looks in a row see the same count
      const { sent } = up.lockstep('slow');
      const settled = sent === before && sent > 1;
      before = sent;
      return settled;
    });
    assert.ok(up.lockstep('slow').sent < 5_000, 'the socket held the writer back');
    req.destroy();
  });
});

describe('life', () => {
  test('close() destroys what is open and ends', async () => {
    const own = await startUpstream({ key: 'k' });
    const { response } = open({
      base: own.url, path: OPENAI.path, headers: { authorization: 'Bearer k' },
      body: bodyFor(OPENAI, '[[stall_after=1]]', { stream: true }),
    });
    const res = await response;
    const gone = new Promise((resolve) => res.on('error', resolve));
    res.resume();
    await own.close();
    await gone;
    await own.close(); // a second time does no harm
  });

  test('a port that is taken is a rejection', async () => {
    await assert.rejects(startUpstream({ port: up.port }), { code: 'EADDRINUSE' });
  });

  const program = fileURLToPath(new URL('./server.mjs', import.meta.url));
  const run = (...args) => {
    const child = spawn(process.execPath, [program, ...args], { timeout: DEADLINE_MS });
    const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    return { child, ended };
  };

  test('the program tells where it listens and stops on SIGTERM and SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      const { child, ended } = run('--port', '0', '--key', 'own-key', '--gap-ms', '20');
      const line = await new Promise((resolve) => child.stdout.once('data', (data) => resolve(String(data))));
      const { listening } = JSON.parse(line);
      assert.match(listening, /^http:\/\/127\.0\.0\.1:\d+$/);
      const started = performance.now();
      const answer = await call({
        base: listening, path: OPENAI.path, headers: { authorization: 'Bearer own-key' },
        body: bodyFor(OPENAI, '[[chunks=3]]', { stream: true }),
      });
      assert.equal(answer.status, 200);
      assert.ok(performance.now() - started >= 38);
      child.kill(signal);
      assert.deepEqual(await ended, { code: 0, signal: null });
    }
  });

  test('--help explains, and a bad argument is refused', async () => {
    const help = run('--help');
    let text = '';
    help.child.stdout.on('data', (data) => { text += data; });
    assert.equal((await help.ended).code, 0);
    assert.match(text, /--gap-ms/);
    for (const args of [['--port', 'x'], ['--nonsense']]) assert.equal((await run(...args).ended).code, 1);
  });
});

// An answer that ends without its usage is charged what its text is in tokens: never zero, never
// less than was observed, never more than was held for.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { built, quantity, requestId, sleep } from './gate.mjs';
import { CLIENT, golden, send, startProviders } from './providers.mjs';

const say = [{ role: 'user', content: 'Tell me about the trams of the harbour line.' }];
const contents = [{ role: 'user', parts: [{ text: 'Trams?' }] }];
const SSE = { 'content-type': 'text/event-stream' };
const GEMINI = { contents, generationConfig: { maxOutputTokens: 64 } };
const CONVERSE = { messages: [{ role: 'user', content: [{ text: 'Trams?' }] }], inferenceConfig: { maxTokens: 64 } };

const chat = { path: '/v1/chat/completions', body: { model: 'gpt-5.1', max_tokens: 64, messages: say, stream: true, stream_options: { include_usage: true } } };
const responses = { path: '/v1/responses', body: { model: 'gpt-5.1', input: 'Trams?', max_output_tokens: 64, stream: true } };
const anthropic = { path: '/v1/messages', client: CLIENT.in('x-api-key'), headers: { 'anthropic-version': '2023-06-01' }, body: { model: 'claude-haiku-4-5', max_tokens: 64, messages: say, stream: true } };
const as = (each, body) => ({ ...each, body: { ...each.body, ...body } });

/**
 * A stream of each provider's, from tests/golden/meter/cut.jsonl. `tokens`: of the text that came,
 * as tiktoken 0.14.0 has it, where the model's vocabulary is public; `words`: fewest there can be.
 */
const CUT = {
  'OpenAI chat': { golden: 'openai-chat', ...chat, tokens: 21 },
  'OpenAI chat, the finish reason seen': { golden: 'openai-chat-finish-seen', ...chat, tokens: 21 },
  'OpenAI chat, tool arguments': { golden: 'openai-chat-tools', ...chat, tokens: 8 },
  'OpenAI chat, the usage taken out': { golden: 'openai-chat', ...as(chat, { stream_options: undefined }), tokens: 21 },
  'OpenAI chat, two tokens allowed': { golden: 'openai-chat-one-token-limit', ...as(chat, { max_tokens: 2 }), tokens: 2 },
  'OpenAI completions': { golden: 'openai-completions', path: '/v1/completions', body: { model: 'gpt-3.5-turbo-instruct', prompt: 'Trams', max_tokens: 64, stream: true }, words: 5 },
  'OpenAI responses': { golden: 'openai-responses', ...responses, tokens: 21 },
  'OpenAI responses, the text repeated at its end': { golden: 'openai-responses-text-done', ...responses, tokens: 21 },
  'Anthropic': { golden: 'anthropic', ...anthropic, words: 16 },
  'Anthropic thinking': { golden: 'anthropic-thinking', ...as(anthropic, { max_tokens: 2048, thinking: { type: 'enabled', budget_tokens: 1024 } }), words: 6 },
  'Anthropic tool': { golden: 'anthropic-tool', ...anthropic, words: 3 },
  'Gemini events': { golden: 'gemini-sse', path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', client: CLIENT.in('x-goog-api-key'), body: GEMINI, words: 16 },
  'Gemini events, no usage yet': { golden: 'gemini-sse-no-usage-yet', path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', client: CLIENT.in('x-goog-api-key'), body: GEMINI, words: 3 },
  'Gemini list': { golden: 'gemini-array', path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent', client: CLIENT.in('x-goog-api-key'), body: GEMINI, words: 16 },
  'Gemini, its key in the query': { golden: 'gemini-sse-no-usage-yet', path: '/v1beta/models/gemini-2.0-flash:streamGenerateContent?key=KEY&alt=sse', client: CLIENT.nowhere, body: GEMINI, words: 3 },
  'Vertex': { golden: 'vertex-gemini', path: '/v1/projects/acme/locations/us-central1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse', body: GEMINI, words: 16 },
  'Bedrock Converse': { golden: 'bedrock-converse', path: '/model/amazon.nova-lite-v1%3A0/converse-stream', body: CONVERSE, words: 16 },
  'Bedrock Converse, the stop seen': { golden: 'bedrock-converse-stop-seen', path: '/model/amazon.nova-lite-v1%3A0/converse-stream', body: CONVERSE, words: 16 },
  'Azure': { golden: 'azure-chat', path: '/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21', client: CLIENT.in('api-key'), body: { max_tokens: 64, messages: say, stream: true, stream_options: { include_usage: true } }, tokens: 21 },
  'Cohere': { golden: 'cohere', path: '/v2/chat', body: { model: 'command-a-03-2025', messages: say, max_tokens: 64, stream: true }, words: 16 },
  'Ollama': { golden: 'ollama-chat', path: '/api/chat', body: { model: 'llama3.2:3b', messages: say, options: { num_predict: 64 } }, words: 16 },
  'whoever copies OpenAI': { golden: 'vllm', ...as(chat, { model: 'older-chat', stream_options: undefined }), words: 16 },
  'DeepSeek\'s reasoning': { golden: 'deepseek-reasoning', ...as(chat, { model: 'older-chat', stream_options: undefined }), words: 6 },
};

const most = (body) => body.max_tokens ?? body.max_output_tokens ?? 64;

/** Sends a request, and leaves once so many bytes have come. */
function leaveAfter(setup, each, bytes) {
  const { path, client = CLIENT.bearer, body, headers = {} } = each;
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const request = http.request(setup.gate.url + path.replace('KEY', setup.key), {
      method: 'POST', agent: false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...client(setup.key), ...headers },
    });
    request.on('error', reject);
    request.on('response', (answer) => {
      let length = 0;
      answer.on('error', () => {});
      answer.on('data', (part) => {
        length += part.length;
        if (length < bytes) return;
        request.socket.resetAndDestroy(); // a mere FIN would show at the next write only
        resolve({ headers: answer.headers });
      });
    });
    request.end(text);
  });
}

/** The one record of an answer that ended without usage, checked for what holds for all of them. */
async function charged(setup, answer, each) {
  const { cost, records } = await setup.gate.bill(setup.key, answer);
  assert.equal(records.length, 1);
  const [record] = records;
  const output = Number(quantity(record, 'output_total'));
  assert.ok(Number(cost) > 0, 'never free');
  assert.ok(output > 0 && output <= most(each.body), `${output} of ${most(each.body)}`);
  assert.ok(Number(cost) <= Number(requestHeld(answer)), 'never above what was held');
  if (each.tokens !== undefined) assert.equal(output, each.tokens);
  if (each.words !== undefined) assert.ok(output >= each.words, `${output} for ${each.words}`);
  const { provenance } = record.quantities.find(({ meter }) => meter === 'output_total');
  if (each.tokens !== undefined) assert.equal(provenance, 'counted');
  return { record, output };
}

const requestHeld = ({ headers }) => headers['x-farebox-held'];

let setup;
before(async () => { setup = await startProviders(); });
after(() => setup?.stop());
const rule = (name, run) => test(name, { timeout: 40_000 }, run);

describe('a stream that breaks off before its usage', () => {
  for (const [name, each] of Object.entries(CUT)) {
    rule(`cut by the upstream: ${name}`, async () => {
      setup.upstream.answer = { ...golden(`cut/${each.golden}`), then: 'cut' };
      const answer = await send(setup, each, setup.key);
      assert.equal(answer.status, 200, answer.body.toString());
      await charged(setup, answer, each);
    });

    rule(`left by the client: ${name}`, async () => {
      const answer = golden(`cut/${each.golden}`);
      setup.upstream.answer = { ...answer, then: 'wait' };
      const { gone } = setup.upstream;
      const left = await leaveAfter(setup, each, answer.body.length);
      const { record } = await charged(setup, left, each);
      assert.ok(['cancelled', 'complete'].includes(record.outcome), record.outcome);
      while (setup.upstream.gone === gone) await sleep(20); // the test's time bounds it
    });
  }
});

/** A chat stream of these deltas, without its usage. */
function stream(deltas, { model = 'gpt-5.1-2025-11-13', finish = true } = {}) {
  const chunk = (choice) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model, choices: [{ logprobs: null, finish_reason: null, ...choice }], usage: null })}\n\n`;
  const end = finish ? `${chunk({ index: 0, delta: {}, finish_reason: 'stop' })}data: [DONE]\n\n` : '';
  return { headers: SSE, body: Buffer.from(deltas.map(chunk).join('') + end) };
}

/** A text in fewer pieces than it has tokens, as a model might write it. */
const pieces = (text) => text.match(/[^]{1,5}/gu);

/** Texts and their tokens as tiktoken 0.14.0 counts them in o200k_base. */
const KNOWN = {
  'Straßenbahn № 7 fährt "pünktlich"\n\tum 08:15 — 東京の路面電車 🚋🚋': 30,
  'def next_tram(stop: str) -> int:\n    return len(stop) * 42  # données': 22,
  'First, antidisestablishmentarianism: 1234567 is not 12,345.67.': 22,
  '{"stop":"Harbour, platform four","at":"08:15"}': 15,
  '{"line":[1,2,3],"näme":"Ünïcode"}': 17,
};
const [GERMAN, CODE, WHY, STOP, LINE] = Object.keys(KNOWN);
const content = (text, index = 0) => pieces(text).map((piece) => ({ index, delta: { content: piece } }));
const reasoning = (text, index = 0) => pieces(text).map((piece) => ({ index, delta: { reasoning_content: piece } }));
const call = (text, inner, index = 0) => pieces(text).map((piece) => ({ index, delta: { tool_calls: [{ index: inner, function: { arguments: piece } }] } }));
/** One of each in turn. */
const interleaved = (...lists) => Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1))).flat();
const sum = (...texts) => texts.reduce((all, text) => all + KNOWN[text], 0);

/** Streams in which usage never comes, though they end well; and how many tokens they hold. */
const WRITTEN = {
  'prose': [content(GERMAN), sum(GERMAN)],
  'code': [content(CODE), sum(CODE)],
  'reasoning, then the answer': [[...reasoning(WHY), ...content(CODE)], sum(WHY, CODE)],
  'arguments of two calls, one after the other': [[...call(STOP, 0), ...call(LINE, 1)], sum(STOP, LINE)],
  'arguments of two calls, in turns': [interleaved(call(STOP, 0), call(LINE, 1)), sum(STOP, LINE)],
  'three choices, in turns': [interleaved(content(GERMAN, 0), content(CODE, 1), content(WHY, 2)), sum(GERMAN, CODE, WHY)],
  'six choices, in turns': [interleaved(...[GERMAN, CODE, WHY, STOP, LINE, CODE].map((text, index) => content(text, index))), sum(GERMAN, CODE, WHY, STOP, LINE, CODE)],
  'an answer with a refusal after it': [[...content(WHY), ...pieces(CODE).map((piece) => ({ index: 0, delta: { refusal: piece } }))], sum(WHY, CODE)],
};

describe('a stream whose provider reports no usage', () => {
  const each = as(chat, { max_tokens: 500 });
  for (const [name, [deltas, tokens]] of Object.entries(WRITTEN)) {
    rule(`is charged exactly its text's tokens: ${name}`, async () => {
      for (const extra of [each, as(each, { stream_options: undefined })]) {
        setup.upstream.answer = stream(deltas);
        const answer = await send(setup, extra, setup.key);
        const { record } = await charged(setup, answer, { ...extra, tokens });
        assert.ok(record.flags.includes('counted'), record.flags);
      }
    });
  }

  rule('a whole answer without usage is counted too', async () => {
    const message = { role: 'assistant', content: GERMAN, tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: STOP } }] };
    const body = JSON.stringify({ id: 'c', object: 'chat.completion', model: 'gpt-5.1', choices: [{ index: 0, message, finish_reason: 'stop' }] });
    setup.upstream.answer = { headers: { 'content-type': 'application/json' }, body };
    const whole = as(each, { stream: undefined, stream_options: undefined });
    const answer = await send(setup, whole, setup.key);
    await charged(setup, answer, { ...whole, tokens: sum(GERMAN, STOP) });
    assert.ok(Number(answer.headers['x-farebox-cost']) > 0, 'and its cost is told with it');
  });

  rule('however long the text, no more is charged than was held', async () => {
    setup.upstream.answer = stream(Array.from({ length: 4_000 }, () => ({ index: 0, delta: { content: ' tram'.repeat(10) } })));
    const long = as(each, { max_tokens: 8_000 });
    const { output } = await charged(setup, await send(setup, long, setup.key), long);
    assert.equal(output, 8_000);
  });
});

test('the reported usage stands as it is, whatever the text would be counted as', { timeout: 40_000 }, async () => {
  const usage = 'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5.1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\ndata: [DONE]\n\n';
  const { headers, body } = stream(content(GERMAN), { finish: false });
  const finish = `data: ${JSON.stringify({ id: 'c', model: 'gpt-5.1', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null })}\n\n`;
  setup.upstream.answer = { headers, body: Buffer.concat([body, Buffer.from(finish + usage)]) };
  const answer = await send(setup, chat, setup.key);
  const { records: [record] } = await setup.gate.bill(setup.key, answer);
  assert.deepEqual([quantity(record, 'output_total'), record.flags], ['2', []]);
});

/** The built Worker with other tokenisers: `wasm(bytes)` answers the module's bytes, or null for none. */
function deployedWith(wasm) {
  return built().flatMap((module) => {
    if (!/(o200k|cl100k)\.wasm$/.test(module.path)) return [module];
    const contents = wasm(readFileSync(module.path));
    return contents === null ? [] : [{ ...module, contents }];
  });
}

/** A module whose function `name` does nothing but trap. */
function trapping(bytes, name) {
  const out = Buffer.from(bytes);
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = out[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  let [imported, index] = [0, -1];
  while (at < out.length) {
    const [section, end] = [out[at++], number() + at];
    if (section === 2) {
      for (let left = number(); left > 0; left -= 1) {
        for (const _ of 'mn') { const length = number(); at += length; }
        const kind = out[at++];
        assert.ok(kind === 0 || kind === 1, 'functions and tables are imported');
        if (kind === 0) imported += 1;
        else at += 1;
        if (number() & kind) number();
        if (kind === 1) number();
      }
    } else if (section === 7) {
      for (let left = number(); left > 0; left -= 1) {
        const length = number();
        const named = out.toString('latin1', at, at += length) === name;
        const [kind, where] = [out[at++], number()];
        if (named && kind === 0) index = where;
      }
    } else if (section === 10) {
      for (let left = number(), each = imported; left > 0; left -= 1, each += 1) {
        const over = number() + at;
        if (each === index) {
          for (let locals = number(); locals > 0; locals -= 1, at += 1) number();
          out.fill(0x00, at, over - 1); // unreachable
          return out;
        }
        at = over;
      }
    }
    at = end;
  }
  throw new Error(`no function ${name}`);
}

describe('a tokeniser that fails', () => {
  const deltas = Array.from({ length: 5 }, () => ({ index: 0, delta: { content: ' the tram has gone' } }));
  const BROKEN = {
    'is not deployed': () => null,
    'is no tokeniser': () => Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), // an empty module
    'traps': (bytes) => trapping(bytes, 'count'),
  };
  for (const [name, wasm] of Object.entries(BROKEN)) {
    rule(`${name}: the settlement is made by events and words, for every answer`, async () => {
      const broken = await startProviders({ modules: deployedWith(wasm) });
      try {
        for (let n = 0; n < 3; n += 1) {
          broken.upstream.answer = stream(deltas);
          const began = performance.now();
          const answer = await send(broken, chat, broken.key);
          const { output } = await charged(broken, answer, { ...chat, words: 20 });
          assert.equal(output, 20, 'a token for each word that begins');
          assert.ok(performance.now() - began < 10_000);
        }
        assert.equal((await broken.gate.idle('acme')).spend.held, '0');
        assert.match(broken.gate.logs.join('\n'), /text not counted/);
        assert.ok(!broken.gate.logs.join('\n').includes('tram'), 'no content in the log');
      } finally {
        await broken.stop();
      }
    });
  }
});

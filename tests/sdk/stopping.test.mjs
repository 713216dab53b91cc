// A stream that is stopped at the limit, and an answer that was shortened, end in the official SDKs
// as any answer that got as long as it may.

import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { say, sleep, startGate } from '../edge/gate.mjs';

const rule = (name, run) => test(name, { timeout: 30_000 }, run);
const POLICY = {
  all: { part: { models: ['gpt-4o-mini', 'claude-haiku-4-5', 'gemini-2.5-flash'], ahead: 50, when: 'always' } },
  customers: { shorter: { clamp: { at_least: 5 } } },
};

let gate;
before(async () => { gate = await startGate({ vars: { FAREBOX_STOPPING: JSON.stringify(POLICY) } }); });
after(() => gate?.stop());

/** The built-in book with a model of Gemini's, at gpt-4o-mini's prices. */
const book = JSON.parse(readFileSync(new URL('../../books/default.json', import.meta.url)));
const { aliases: _, ...mini } = book.models.find((model) => model.model === 'gpt-4o-mini');
book.models.push({ ...mini, provider: 'gemini', model: 'gemini-2.5-flash' });

const LONG = 'hi [[chunks=3000 gap_ms=2]]';
const openai = (apiKey, at = gate) => new OpenAI({ baseURL: `${at.url}/v1`, apiKey, maxRetries: 0 });
const anthropic = (apiKey) => new Anthropic({ baseURL: gate.url, apiKey, maxRetries: 0 });

rule('OpenAI: a stopped chat finishes with length, with its usage where it was asked for', async () => {
  for (const [name, options] of [['chat', undefined], ['chatusage', { include_usage: true }]]) {
    const client = openai(await gate.customer(name, '0.0003'));
    const stream = await client.chat.completions.create({ model: 'gpt-4o-mini', max_tokens: 10_000, stream: true, stream_options: options, ...say(LONG) });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const reasons = chunks.flatMap(({ choices }) => choices).map(({ finish_reason: reason }) => reason).filter(Boolean);
    assert.deepEqual(reasons, ['length']);
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    if (options) assert.ok(chunks.at(-1).usage.completion_tokens > 10);
    else assert.ok(chunks.every(({ usage }) => !usage));
  }
});

rule('OpenAI: the stream helper gathers the answer so far', async () => {
  const client = openai(await gate.customer('helper', '0.0003'));
  const completion = await client.chat.completions.stream({ model: 'gpt-4o-mini', max_tokens: 10_000, ...say(LONG) }).finalChatCompletion();
  assert.equal(completion.choices[0].finish_reason, 'length');
  assert.match(completion.choices[0].message.content, /^Lorem ipsum/);
});

rule('Anthropic: a stopped message has the stop reason max_tokens', async () => {
  const client = anthropic(await gate.customer('message', '0.003'));
  const message = await client.messages.stream({ model: 'claude-haiku-4-5', max_tokens: 10_000, ...say(LONG) }).finalMessage();
  assert.equal(message.stop_reason, 'max_tokens');
  assert.match(message.content[0].text, /^Lorem ipsum/);
  assert.ok(message.usage.output_tokens > 10);
});

rule('a shortened request ends at its new length', async () => {
  const key = await gate.customer('shorter', '0.0001');
  const { data, response } = await openai(key).chat.completions.create({ model: 'gpt-4o-mini', max_tokens: 10_000, ...say('hi [[chunks=400]]') }).withResponse();
  const [, length] = /^max_tokens=(\d+)$/.exec(response.headers.get('x-farebox-clamped'));
  assert.deepEqual([data.choices[0].finish_reason, data.usage.completion_tokens], ['length', Number(length)]);
});

/** A gate in front of an upstream that says `pieces` of an answer without end. */
async function endless({ head, piece, model, provider }, run) {
  const server = http.createServer(async (request, response) => {
    for await (const part of request) void part;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(head);
    for (let n = 0; n < 3_000 && !response.destroyed; n += 1) {
      response.write(piece(n));
      await sleep(2);
    }
    response.destroy();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const auth = provider === 'gemini' ? { header: { name: 'x-goog-api-key' } } : 'bearer';
  const at = await startGate({
    upstream: { url, stats: () => ({}), close: async () => {} },
    vars: { FAREBOX_STOPPING: JSON.stringify(POLICY), FAREBOX_BOOK: JSON.stringify(book), FAREBOX_UPSTREAMS: JSON.stringify({ [provider]: { base_url: url, auth, secret: 'OPENAI_API_KEY' } }) },
  });
  try {
    await run(at, model);
  } finally {
    await at.stop();
    server.closeAllConnections();
    server.close();
  }
}

rule('OpenAI: a stopped response is incomplete for max_output_tokens, with the text so far', async () => {
  const event = (type, rest) => `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`;
  const response = { id: 'resp_1', object: 'response', created_at: 1, model: 'gpt-4o-mini', status: 'in_progress', output: [], usage: null, incomplete_details: null };
  const item = { id: 'msg_1', type: 'message', role: 'assistant', status: 'in_progress', content: [] };
  await endless({
    provider: 'openai',
    model: 'gpt-4o-mini',
    head: event('response.created', { sequence_number: 0, response })
      + event('response.output_item.added', { sequence_number: 1, output_index: 0, item })
      + event('response.content_part.added', { sequence_number: 2, output_index: 0, content_index: 0, item_id: 'msg_1', part: { type: 'output_text', text: '', annotations: [] } }),
    piece: (n) => event('response.output_text.delta', { sequence_number: 3 + n, output_index: 0, content_index: 0, item_id: 'msg_1', delta: 'word ' }),
  }, async (at, model) => {
    const client = openai(await at.customer('responses', '0.0003'), at);
    const events = [];
    for await (const each of await client.responses.create({ model, input: 'hi', stream: true, max_output_tokens: 10_000 })) events.push(each);
    const last = events.at(-1);
    assert.deepEqual([last.type, last.response.status, last.response.incomplete_details.reason], ['response.incomplete', 'incomplete', 'max_output_tokens']);
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta).join('');
    assert.ok(deltas.length > 50);
    assert.equal(last.response.output[0].content[0].text, deltas);
    const final = await client.responses.stream({ model, input: 'hi', max_output_tokens: 10_000 }).finalResponse().catch((error) => error);
    assert.ok(final.status === 'incomplete' || final.status === 402, String(final));
  });
});

rule('Gemini: a stopped stream finishes with MAX_TOKENS', async () => {
  await endless({
    provider: 'gemini',
    model: 'gemini-2.5-flash',
    head: '',
    piece: () => `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: 'word ' }], role: 'model' }, index: 0 }], modelVersion: 'gemini-2.5-flash', responseId: 'r1' })}\r\n\r\n`,
  }, async (at, model) => {
    const apiKey = await at.customer('gemini', '0.0003');
    const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: at.url } });
    const chunks = [];
    for await (const chunk of await client.models.generateContentStream({ model, contents: 'hi', config: { maxOutputTokens: 10_000 } })) chunks.push(chunk);
    assert.ok(chunks.length > 10);
    assert.equal(chunks.at(-1).candidates[0].finishReason, 'MAX_TOKENS');
    assert.ok(chunks.at(-1).usageMetadata.candidatesTokenCount > 5);
  });
});

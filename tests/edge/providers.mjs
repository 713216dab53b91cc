// Every provider behind one gate: an upstream that answers by script and keeps what it was sent, a
// book that sells a model of each, and the checks that hold for every one of them.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { quantity, refusal, secrets, startGate } from './gate.mjs';

const TYPES = {
  json: 'application/json; charset=UTF-8',
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
  'json-array': 'application/json; charset=UTF-8',
  'aws-eventstream': 'application/vnd.amazon.eventstream',
};

/** A recorded answer, by its id in tests/golden/meter: `{body, headers}`. */
export function golden(id) {
  const file = new URL(`../golden/meter/${id.split('/')[0]}.jsonl`, import.meta.url);
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const { input } = lines.map((line) => JSON.parse(line)).find((each) => each.input.id === id);
  const headers = { 'content-type': TYPES[input.transport], ...input.response_headers };
  return { body: Buffer.from(input.body, input.body_encoding ?? 'utf8'), headers };
}

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const SERVICE_ACCOUNT = {
  publicKey,
  email: 'gate@acme.iam.gserviceaccount.com',
  keyId: 'kid-1',
  token: 'ya29.a-token-for-an-hour',
  pem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
};
export const AWS = { id: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', session: 'session-token-example', region: 'eu-west-1' };

/** One key for each provider; none like another, so that a mix-up shows. */
const KEYS = Object.fromEntries(
  ['OPENAI', 'ANTHROPIC', 'GEMINI', 'QUERY', 'AZURE', 'COHERE', 'MISTRAL', 'OLLAMA', 'ELEVENLABS', 'DEEPGRAM', 'OLDER']
    .map((name) => [`${name}_API_KEY`, `operators-own-${name.toLowerCase()}-key`]),
);

/** What an operator writes into FAREBOX_UPSTREAMS. */
function upstreams(url) {
  const entry = (name, auth, secret, more = {}) => [name, { base_url: `${url}/${name}`, auth, secret, ...more }];
  const header = (name, prefix) => ({ header: { name, ...(prefix ? { prefix } : {}) } });
  return Object.fromEntries([
    entry('openai', 'bearer', 'OPENAI_API_KEY'),
    entry('anthropic', 'x-api-key', 'ANTHROPIC_API_KEY'),
    entry('gemini', header('x-goog-api-key'), 'GEMINI_API_KEY'),
    entry('query', { query: { name: 'key' } }, 'QUERY_API_KEY'),
    entry('vertex', 'google', 'GOOGLE_KEY_FILE', { path: '/v1/projects/acme/locations/us-central1/publishers/google/models/{model}:{verb}' }),
    entry('claude-on-vertex', 'google', 'GOOGLE_KEY_FILE', { path: '/v1/projects/acme/locations/us-east5/publishers/anthropic/models/{model}:{verb}', stored_inputs: 'allow' }),
    entry('bedrock', { sigv4: { region: AWS.region, service: 'bedrock' } }, 'AWS_KEY'),
    entry('azure', header('api-key'), 'AZURE_API_KEY'),
    entry('cohere', 'bearer', 'COHERE_API_KEY'),
    entry('mistral', 'bearer', 'MISTRAL_API_KEY'),
    entry('ollama', 'bearer', 'OLLAMA_API_KEY'),
    entry('elevenlabs', header('xi-api-key'), 'ELEVENLABS_API_KEY'),
    entry('deepgram', header('authorization', 'Token '), 'DEEPGRAM_API_KEY'),
    entry('older', 'bearer', 'OLDER_API_KEY', { include_usage: false, path: '/api/{tail}' }),
  ]);
}

/** What each upstream must have been sent as a credential, and where. */
export const CREDENTIAL = {
  openai: ({ headers }) => [headers.authorization, `Bearer ${KEYS.OPENAI_API_KEY}`],
  anthropic: ({ headers }) => [headers['x-api-key'], KEYS.ANTHROPIC_API_KEY],
  gemini: ({ headers }) => [headers['x-goog-api-key'], KEYS.GEMINI_API_KEY],
  query: ({ path }) => [new URL(path, 'http://x').searchParams.getAll('key').join(), KEYS.QUERY_API_KEY],
  vertex: ({ headers }) => [headers.authorization, `Bearer ${SERVICE_ACCOUNT.token}`],
  'claude-on-vertex': ({ headers }) => [headers.authorization, `Bearer ${SERVICE_ACCOUNT.token}`],
  bedrock: ({ headers }) => [headers.authorization.split('/')[0], `AWS4-HMAC-SHA256 Credential=${AWS.id}`],
  azure: ({ headers }) => [headers['api-key'], KEYS.AZURE_API_KEY],
  cohere: ({ headers }) => [headers.authorization, `Bearer ${KEYS.COHERE_API_KEY}`],
  mistral: ({ headers }) => [headers.authorization, `Bearer ${KEYS.MISTRAL_API_KEY}`],
  ollama: ({ headers }) => [headers.authorization, `Bearer ${KEYS.OLLAMA_API_KEY}`],
  elevenlabs: ({ headers }) => [headers['xi-api-key'], KEYS.ELEVENLABS_API_KEY],
  deepgram: ({ headers }) => [headers.authorization, `Token ${KEYS.DEEPGRAM_API_KEY}`],
  older: ({ headers }) => [headers.authorization, `Bearer ${KEYS.OLDER_API_KEY}`],
};

/** Rates of tokens are for a million, all others for one. */
function model(provider, name, rates, more = {}) {
  const tokens = /^(input|output|cache|image_in|image_out|audio|text|characters)/;
  const rate = ([meter, amount]) => [meter, { amount, per: tokens.test(meter) ? '1000000' : '1' }];
  return { provider, model: name, rates: Object.fromEntries(Object.entries(rates).map(rate)), ...more };
}

const CHAT = { input_uncached: '1', cache_read: '0.1', cache_write: '1.25', output_total: '10' };
const LONG = { context_window: '200000', max_output_tokens: '8192' };
export const BOOK = {
  format: 'farebox-book-2', version: 'providers', currency: 'USD', effective_from: '2026-01-01T00:00:00Z',
  models: [
    model('openai', 'gpt-5.1', CHAT, LONG),
    model('openai', 'gpt-3.5-turbo-instruct', CHAT, LONG),
    model('openai', 'text-embedding-3-small', { input_uncached: '1' }),
    model('openai', 'omni-moderation-latest', { input_uncached: '1' }),
    model('openai', 'gpt-image-1', { input_uncached: '5', image_in: '10', output_total: '40', image_out: '40' }, { part_tokens_max: { image: '7000', image_output: '7000' }, max_output_tokens: '7000' }),
    model('openai', 'tts-1', { characters: '15' }),
    model('openai', 'gpt-4o-transcribe', { input_uncached: '2.5', audio_in: '6', output_total: '10' }, { part_tokens_max: { audio: '20000' }, max_output_tokens: '4000' }),
    model('openai', 'whisper-1', { seconds: '0.0001' }),
    model('anthropic', 'claude-haiku-4-5', CHAT, LONG),
    model('gemini', 'gemini-2.5-flash', CHAT, LONG),
    model('gemini', 'gemini-embedding-001', { input_uncached: '1' }),
    model('query', 'gemini-2.0-flash', CHAT, LONG),
    model('vertex', 'gemini-2.5-pro', CHAT, LONG),
    model('claude-on-vertex', 'claude-sonnet-4-5@20250929', CHAT, { ...LONG, part_tokens_max: { file: '3000' } }),
    model('bedrock', 'amazon.nova-lite-v1:0', CHAT, LONG),
    model('bedrock', 'anthropic.claude-sonnet-4-5-20250929-v1:0', CHAT, LONG),
    model('bedrock', 'mistral.mistral-7b-instruct-v0:2', CHAT, LONG),
    model('azure', 'my-deployment', CHAT, LONG),
    model('cohere', 'command-a-03-2025', CHAT, LONG),
    model('cohere', 'rerank-v3.5', { search_units: '0.002' }),
    model('mistral', 'mistral-ocr-latest', { pages: '0.001' }, { part_tokens_max: { pages: '100' } }),
    model('ollama', 'llama3.2:3b', CHAT, LONG),
    model('elevenlabs', 'eleven_flash_v2_5', { characters: '50' }),
    model('deepgram', 'nova-3', { seconds: '0.00007' }),
    model('older', 'older-chat', CHAT, LONG),
  ],
};

/**
 * An upstream that gives the answer set last to whoever asks, and tokens to a service account. What
 * it does after the answer's body: ends it, or by `then` breaks it off ('cut') or waits ('wait').
 */
async function scripted() {
  const state = { seen: [], tokens: [], tokenStatus: 200, answer: null, gone: 0 };
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const { method, url: path, headers } = request;
      const exchange = { method, path, headers, body: Buffer.concat(parts) };
      if (path === '/token') {
        state.tokens.push(exchange);
        response.writeHead(state.tokenStatus, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ access_token: SERVICE_ACCOUNT.token, expires_in: 3599, token_type: 'Bearer' }));
        return;
      }
      state.seen.push(exchange);
      const { status = 200, headers: own, body, then } = typeof state.answer === 'function' ? state.answer(exchange) : state.answer;
      response.writeHead(status, own);
      if (then === undefined) response.end(body);
      else response.write(body);
      if (then === 'cut') setTimeout(() => response.destroy(), 300); // what was written has gone out by then
      response.on('close', () => { state.gone += 1; });
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.address().port}`,
    stats: () => ({ requests: state.seen.length }),
    close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  });
}

/** A gate in front of every provider, a customer who can pay and one whose limit is spent. */
export async function startProviders(options = {}) {
  const upstream = await scripted();
  const keyFile = {
    type: 'service_account', private_key_id: SERVICE_ACCOUNT.keyId, private_key: SERVICE_ACCOUNT.pem,
    client_email: SERVICE_ACCOUNT.email, token_uri: `${upstream.url}/token`,
  };
  const secretVars = {
    ...secrets(), ...KEYS, GOOGLE_KEY_FILE: JSON.stringify(keyFile), AWS_KEY: `${AWS.id}:${AWS.secret}:${AWS.session}`,
  };
  const vars = { FAREBOX_UPSTREAMS: JSON.stringify(upstreams(upstream.url)), FAREBOX_BOOK: JSON.stringify(BOOK) };
  const gate = await startGate({ vars, secretVars, upstream, ...options });
  const key = await gate.customer('acme', '1000');
  const poor = await spent(gate, 'poor');
  return { gate, upstream, key, poor, stop: async () => { await gate.stop(); await upstream.close(); } };
}

/** The key of a customer whose limit is spent to the last: its one answer used all of it. */
async function spent(gate, name) {
  const key = await gate.customer(name, '1000');
  const usage = { prompt_tokens: 0, completion_tokens: 100_000_000, total_tokens: 100_000_000 };
  gate.upstream.answer = { headers: { 'content-type': TYPES.json }, body: JSON.stringify({ choices: [{ finish_reason: 'stop' }], usage }) };
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ model: 'gpt-5.1', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] });
  assert.equal((await gate.raw('/v1/chat/completions', { headers, body })).status, 200);
  await gate.idle(name);
  return key;
}

/** How a client of each API names itself. */
export const CLIENT = {
  bearer: (key) => ({ authorization: `Bearer ${key}` }),
  token: (key) => ({ authorization: `Token ${key}` }),
  in: (name) => (key) => ({ [name]: key }),
  nowhere: () => ({}),
};

/** A form and its content type, as an SDK would send them. */
export function form(fields, files) {
  const boundary = 'fb-boundary-7MA4YWxk';
  const part = (head, value) => [Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`), Buffer.from(value), Buffer.from('\r\n')];
  const body = Buffer.concat([
    ...Object.entries(fields).flatMap(([name, value]) => part(`name="${name}"`, value)),
    ...Object.entries(files).flatMap(([name, value]) => part(`name="${name}"; filename="${name}.bin"\r\nContent-Type: application/octet-stream`, value)),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
  return { body, type: `multipart/form-data; boundary=${boundary}` };
}

/** Sends a case's request with this key. */
export function send({ gate }, each, key) {
  const { path, client = CLIENT.bearer, body, type = 'application/json', headers = {} } = each;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const url = path.replace('KEY', key);
  return gate.raw(url, { headers: { 'content-type': type, ...client(key), ...headers }, body: bytes }).then((answer) => ({ ...answer, sent: bytes }));
}

/**
 * One case from end to end: forwarded as it came but for the credential, answered as it came,
 * one record with these quantities and this amount, nothing held afterwards; and at a spent limit a
 * 402 in that API's own shape that the upstream does not hear of.
 */
export async function check(setup, each) {
  const { gate, upstream, key, poor } = setup;
  const { golden: id, provider, to, family, amount, meters, free = false } = each;
  const expected = each.answer ?? golden(id);
  upstream.answer = expected;
  const hits = upstream.seen.length;
  const answer = await send(setup, each, key);
  assert.equal(answer.status, 200, answer.body.toString());
  assert.deepEqual(answer.body, expected.body, 'the client got the upstream\'s bytes');
  assert.equal(answer.headers['content-type'], expected.headers['content-type']);

  assert.equal(upstream.seen.length, hits + 1);
  const seen = upstream.seen.at(-1);
  assert.equal(`${seen.method} ${seen.path.replace(/([?&])key=operators[^&]*/, '$1key=OPERATOR')}`, `POST /${provider}${to ?? each.path}`);
  assert.deepEqual(seen.body, answer.sent, 'the upstream got the client\'s bytes');
  const [had, should] = CREDENTIAL[provider](seen);
  assert.equal(had, should);
  const text = JSON.stringify([seen.path, seen.headers]);
  assert.ok(!text.includes(key) && !text.includes(key.split('_')[4]), text);

  assert.equal(Number(answer.headers['x-farebox-held']) > 0, !free, 'held before it was forwarded');
  const { cost, records } = await gate.bill(key, answer);
  assert.deepEqual([records.length, cost], [1, amount]);
  for (const [meter, value] of Object.entries(meters)) assert.equal(quantity(records[0], meter), value, meter);
  assert.equal((await gate.idle('acme')).spend.held, '0');

  const before = upstream.seen.length;
  const refused = await send(setup, each, poor);
  if (free) {
    assert.equal(refused.status, 200, 'what is free is served at a spent limit, too');
    return { answer, seen, record: records[0] };
  }
  const { status, code, details } = await refusal(refused, family);
  assert.deepEqual([status, code, details.remaining, upstream.seen.length], [402, 'spend_limit_exceeded', '0', before]);
  return { answer, seen, record: records[0] };
}


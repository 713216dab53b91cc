// Writes the corpora that fuzzing starts from: the golden fixtures, each in the form of its target
// (see src/lib.rs). Written anew each time; what a run finds beside them stays.
// seed.mjs [FOLDER]: fuzz/corpus where none is said.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const here = new URL('.', import.meta.url);
const root = process.argv[2] ? pathToFileURL(`${process.argv[2]}/`) : new URL('corpus/', here);
const golden = new URL('../tests/golden/meter/', here);
const PROVIDERS = ['openai', 'xai', 'bedrock', 'gemini'];

function write(target, ...parts) {
  const bytes = Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(part))));
  const folder = new URL(`${target}/`, root);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`seed-${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`, folder), bytes);
}

/** The option byte: provider in its upper bits, then the target's own. */
const options = (provider, own) => [Math.max(PROVIDERS.indexOf(provider), 0) * 64 + own, 7];

/** The JSON values inside a stream. */
const values = (body) => body.toString('latin1').match(/\{.*\}/g) ?? [];

function answer({ provider, transport, body: text, body_encoding: encoding }) {
  const body = Buffer.from(text, encoding ?? 'utf8');
  const target = { sse: 'sse', ndjson: 'lines', 'ws-text-frames': 'lines', 'aws-eventstream': 'event_stream', json: 'json', 'json-array': 'json' }[transport];
  if (!target) return;
  const session = transport === 'ws-text-frames' ? 4 : 0;
  write(target, Buffer.from(options(provider, session)), body);
  if (transport === 'sse') {
    // The same events as frames of an event stream, wrapped and bare; the first letter names the event.
    for (const letter of ['p', 'A']) write('event_stream', Buffer.from(options('bedrock', 4)), values(body).map((value) => letter + value).join('\n'));
  }
}

for (const name of readdirSync(golden).filter((each) => each.endsWith('.jsonl'))) {
  for (const line of readFileSync(new URL(name, golden), 'utf8').split('\n').filter(Boolean)) answer(JSON.parse(line).input);
}

/** Requests: one of each API, at the place of its path in src/requests.rs. */
const message = { role: 'user', content: [{ type: 'text', text: 'hi' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] };
const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }, { type: 'web_search' }];
const bodies = [
  [0, { model: 'm', messages: [message], max_completion_tokens: 9, n: 2, stream: true, stream_options: { include_usage: false }, tools, service_tier: 'flex', user: 'u' }],
  [0, { model: 'm', messages: [message], stream_options: null, modalities: ['text', 'audio'], audio: { voice: 'x' } }],
  [1, { model: 'm', input: [message], previous_response_id: 'r', background: true, max_output_tokens: 5 }],
  [2, { model: 'm', prompt: ['a', 'b'], best_of: 3, suffix: 'x' }],
  [3, { model: 'm', input: ['a', 'b'] }], [4, { input: 'a' }], [5, { model: 'm', prompt: 'p', n: 2, size: '1024x1024', quality: 'hd' }],
  [6, { model: 'm', input: 'speak' }], [7, { model: 'm', url: 'https://x' }], [8, { model: 'm', query: 'q', documents: ['a', { text: 'b' }] }], [9, { model: 'm', document: {} }],
  [10, { model: 'm', max_tokens: 9, system: 's', messages: [message], metadata: { user_id: 'u' }, thinking: { type: 'enabled' } }], [11, { model: 'm', messages: [message] }],
  [12, { contents: [{ parts: [{ text: 'hi' }, { inlineData: { mimeType: 'audio/wav', data: 'AAAA' } }, { fileData: { fileUri: 'gs://b/o' } }] }], generationConfig: { maxOutputTokens: 3, candidateCount: 2 }, cachedContent: 'c' }],
  [13, { generateContentRequest: { contents: [] } }], [14, { instances: [{ content: 'a' }] }], [15, { anthropic_version: 'vertex-2023-10-16', max_tokens: 5, messages: [message] }],
  [16, { messages: [{ role: 'user', content: [{ text: 'hi' }, { image: { format: 'png', source: { s3Location: { uri: 's3://b/o' } } } }] }], inferenceConfig: { maxTokens: 5 }, toolConfig: { tools: [{ toolSpec: {} }] } }],
  [17, { prompt: 'p', max_gen_len: 5 }], [18, { model: 'm', messages: [message], connectors: [{ id: 'web-search' }] }], [19, { model: 'm', messages: [message], options: { num_predict: 5 }, stream: false }],
  [20, { audio_url: 'https://x', speech_model: 'm' }], [21, { version: 'm', input: { prompt: 'p' } }], [22, { messages: [message], model: 'other' }], [23, { text: 't', model_id: 'm' }],
];
for (const [path, body] of bodies) write('request', Buffer.from([path]), JSON.stringify(body));

const part = (head, value) => `--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n${value}\r\n`;
write('form', Buffer.from([0]), `${part('name="model"', 'm')}${part('name="prompt"', 'p')}${part('name="n"', '2')}${part('name="image"; filename="a.png"', 'PNG')}--b--\r\n`);
write('form', Buffer.from([1]), `${part('name="model"', 'm')}${part('name="file"; filename="a.wav"\r\nContent-Type: audio/wav', 'RIFF')}${part('name="response_format"', 'json')}--b--\r\n`);
write('form', Buffer.from([2]), 'model1PNG\r\n--b--\r\n');
for (const query of ['model=m&api-version=1&key=k', 'fields=a&%66ields=b&$alt=sse', 'mod%65l=x%2Fy+z&flag&bad=%zz%4', 'callback=https://x', '/v1beta/models/m:generateContent', '/model/a%3Ab/converse', '/v1/predictions/p1', '/openai/deployments/d/chat/completions']) write('query', query);

// Each provider's own path, on the real runtime: forwarded, authenticated, held, metered, settled.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { quantity } from './gate.mjs';
import { CLIENT, check, form, golden, startProviders } from './providers.mjs';

const say = [{ role: 'user', content: 'When is the next tram?' }];
const tokens = (input, output) => ({ input_total: String(input), output_total: String(output) });
const SOUND = Buffer.from(Array.from({ length: 2_000 }, (_, n) => n % 256));
const PICTURE = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), SOUND]);

const openai = { provider: 'openai', family: 'openai' };
const edit = form({ model: 'gpt-image-1', prompt: 'a tram at night', n: '1' }, { image: PICTURE });
const spoken = form({ model: 'gpt-4o-transcribe' }, { file: SOUND });
const spokenSeconds = form({ model: 'whisper-1', response_format: 'verbose_json' }, { file: SOUND });
const speech = { model: 'tts-1', voice: 'alloy', input: 'Next stop: Harbour.' };

const gemini = { provider: 'gemini', family: 'google', client: CLIENT.in('x-goog-api-key') };
const contents = [{ role: 'user', parts: [{ text: 'When is the next tram?' }] }];
const short = { contents, generationConfig: { maxOutputTokens: 2_000 } };

const vertex = { provider: 'vertex', family: 'google' };
const vertexPath = '/v1/projects/acme/locations/us-central1/publishers/google/models/gemini-2.5-pro';

const bedrock = { provider: 'bedrock', family: 'bedrock' };
const converse = { messages: [{ role: 'user', content: [{ text: 'When is the next tram?' }] }], inferenceConfig: { maxTokens: 500 } };

const messages = { anthropic_version: 'vertex-2023-10-16', max_tokens: 64, messages: say };
const claude = { provider: 'claude-on-vertex', family: 'google' };
const claudePath = '/v1/projects/acme/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929';
const bedrockClaude = '/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0';

const cohere = { provider: 'cohere', family: 'plain' };
const plain = { family: 'plain' };

const CASES = {
  'OpenAI responses': {
    ...openai, path: '/v1/responses', body: { model: 'gpt-5.1', input: 'Hi', max_output_tokens: 300 },
    golden: 'openai_responses/plain', meters: tokens(39, 84), amount: '0.000879',
  },
  'OpenAI responses, streamed': {
    ...openai, path: '/v1/responses', body: { model: 'gpt-5.1', input: 'Hi', max_output_tokens: 300, stream: true },
    golden: 'openai_responses/plain-stream', meters: tokens(39, 84), amount: '0.000879',
  },
  'OpenAI completions': {
    ...openai, path: '/v1/completions', body: { model: 'gpt-3.5-turbo-instruct', prompt: 'Stand clear,', max_tokens: 16 },
    golden: 'openai_other/completions', meters: tokens(6, 5), amount: '0.000056',
  },
  'OpenAI embeddings': {
    ...openai, path: '/v1/embeddings', body: { model: 'text-embedding-3-small', input: 'the next tram' },
    golden: 'openai_other/embeddings', meters: { input_total: '9' }, amount: '0.000009',
  },
  'OpenAI moderations, free': {
    ...openai, path: '/v1/moderations', body: { input: 'a tram' },
    golden: 'openai_other/moderations', meters: { requests: '1' }, amount: '0', free: true,
  },
  'OpenAI images': {
    ...openai, path: '/v1/images/generations', body: { model: 'gpt-image-1', prompt: 'a tram', n: 1 },
    golden: 'openai_other/images', meters: { ...tokens(81, 4160), image_out: '4160' }, amount: '0.166805',
  },
  'OpenAI image edits, a form': {
    ...openai, path: '/v1/images/edits', ...edit,
    golden: 'openai_other/images-edit', meters: { ...tokens(402, 1056), image_in: '388' }, amount: '0.04619',
  },
  'OpenAI speech, by the request\'s characters': {
    ...openai, path: '/v1/audio/speech', body: speech,
    golden: 'speech/openai-tts', meters: { characters: '19' }, amount: '0.000285',
  },
  'OpenAI transcription, by tokens': {
    ...openai, path: '/v1/audio/transcriptions', ...spoken,
    golden: 'speech/openai-transcription-tokens', meters: { ...tokens(29, 11), audio_in: '24' }, amount: '0.0002665',
  },
  'OpenAI transcription, by seconds': {
    ...openai, path: '/v1/audio/transcriptions', ...spokenSeconds,
    golden: 'speech/openai-transcription-duration', meters: { seconds: '8' }, amount: '0.0008',
  },
  'Anthropic count_tokens, free': {
    provider: 'anthropic', family: 'anthropic', client: CLIENT.in('x-api-key'), headers: { 'anthropic-version': '2023-06-01' },
    path: '/v1/messages/count_tokens', body: { model: 'claude-haiku-4-5', messages: say },
    golden: 'anthropic/count-tokens', meters: { counted_tokens: '2113' }, amount: '0', free: true,
  },
  'Gemini generateContent, thoughts counted': {
    ...gemini, path: '/v1beta/models/gemini-2.5-flash:generateContent', body: short,
    golden: 'gemini/thoughts', meters: { ...tokens(52, 711), reasoning: '640' }, amount: '0.007162',
  },
  'Gemini streamGenerateContent as events': {
    ...gemini, path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', body: short,
    golden: 'gemini/cached-stream', meters: { ...tokens(15020, 70), cache_read: '14336' }, amount: '0.0028176',
  },
  'Gemini streamGenerateContent as one list': {
    ...gemini, path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent', body: short,
    golden: 'gemini/plain-array', meters: tokens(14, 27), amount: '0.000284',
  },
  'Gemini embedContent': {
    ...gemini, path: '/v1beta/models/gemini-embedding-001:embedContent', body: { model: 'models/gemini-embedding-001', content: { parts: [{ text: 'the next tram' }] } },
    golden: 'gemini/embed', meters: { input_total: '6' }, amount: '0.000006',
  },
  'Gemini countTokens, free': {
    ...gemini, path: '/v1beta/models/gemini-2.5-flash:countTokens', body: { contents },
    golden: 'gemini/count-tokens', meters: { counted_tokens: '31' }, amount: '0', free: true,
  },
  'Gemini with the key in the query, at both ends': {
    ...gemini, provider: 'query', client: CLIENT.nowhere, path: '/v1beta/models/gemini-2.0-flash:streamGenerateContent?key=KEY&alt=sse', body: short,
    to: '/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse&key=OPERATOR',
    golden: 'gemini/plain-stream', meters: tokens(14, 27), amount: '0.000284',
  },
  'Vertex by Gemini\'s path': {
    ...vertex, client: CLIENT.in('x-goog-api-key'), path: '/v1beta/models/gemini-2.5-pro:generateContent', to: `${vertexPath}:generateContent`, body: short,
    golden: 'vertex/gemini-thoughts', meters: { ...tokens(14, 117), reasoning: '90' }, amount: '0.001184',
  },
  'Vertex by its own path, streamed': {
    ...vertex, path: `${vertexPath}:streamGenerateContent?alt=sse`, body: short,
    golden: 'vertex/gemini-thoughts-stream', meters: { ...tokens(14, 117), reasoning: '90' }, amount: '0.001184',
  },
  'Bedrock Converse': {
    ...bedrock, path: '/model/amazon.nova-lite-v1%3A0/converse', body: converse,
    golden: 'bedrock/converse-cache-read', meters: { ...tokens(3512, 20), cache_read: '3000' }, amount: '0.001012',
  },
  'Bedrock Converse, a binary stream': {
    ...bedrock, path: '/model/amazon.nova-lite-v1:0/converse-stream', body: converse,
    golden: 'bedrock/converse-cache-read-stream', meters: { ...tokens(3512, 20), cache_read: '3000' }, amount: '0.001012',
  },
  'Claude on Vertex, rawPredict': {
    ...claude, path: `${claudePath}:rawPredict`, to: `${claudePath.replace('@', '%40')}:rawPredict`, body: messages,
    golden: 'vertex/claude', meters: { ...tokens(4812, 80), cache_read: '4100', cache_write_1h: '250' }, amount: '0.002097',
  },
  'Claude on Vertex, streamRawPredict': {
    ...claude, path: `${claudePath}:streamRawPredict`, to: `${claudePath.replace('@', '%40')}:streamRawPredict`, body: { ...messages, stream: true },
    golden: 'vertex/claude-stream', meters: { ...tokens(4812, 80), cache_read: '4100', cache_write_1h: '250' }, amount: '0.002097',
  },
  'Bedrock InvokeModel, a binary stream whose metrics repeat its usage': {
    ...bedrock, path: `${bedrockClaude}/invoke-with-response-stream`, body: { ...messages, anthropic_version: 'bedrock-2023-05-31' },
    golden: 'bedrock/invoke-claude-stream', meters: { ...tokens(4812, 80), cache_read: '4100', cache_write_1h: '250' }, amount: '0.002097',
  },
  'Bedrock InvokeModel, a binary stream of Nova': {
    ...bedrock, path: '/model/amazon.nova-lite-v1%3A0/invoke-with-response-stream', body: converse,
    golden: 'bedrock/invoke-nova-stream', meters: tokens(31, 70), amount: '0.000731',
  },
  'Bedrock InvokeModel, usage in headers alone': {
    ...bedrock, path: '/model/mistral.mistral-7b-instruct-v0%3A2/invoke', body: { prompt: '<s>[INST] Hi [/INST]', max_tokens: 50 },
    golden: 'bedrock/invoke-mistral-headers-only', meters: tokens(15, 4), amount: '0.000055',
  },
  'Azure by deployment': {
    provider: 'azure', family: 'openai', client: CLIENT.in('api-key'), path: '/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21', body: { max_tokens: 100, messages: say },
    golden: 'azure/chat', meters: tokens(57, 12), amount: '0.000177',
  },
  'Cohere chat': {
    ...cohere, path: '/v2/chat', body: { model: 'command-a-03-2025', messages: say, max_tokens: 100 },
    golden: 'cohere/chat', meters: tokens(58, 17), amount: '0.000228',
  },
  'Cohere rerank': {
    ...cohere, path: '/v2/rerank', body: { model: 'rerank-v3.5', query: 'tram', documents: ['bus', 'tram'] },
    golden: 'rerank/cohere-v2', meters: { search_units: '1' }, amount: '0.002',
  },
  'Mistral OCR, by pages': {
    provider: 'mistral', family: 'openai', path: '/v1/ocr', body: { model: 'mistral-ocr-latest', document: { type: 'document_url', document_url: 'https://example.com/timetable.pdf' } },
    golden: 'mistral/ocr', meters: { pages: '2' }, amount: '0.002',
  },
  'Ollama chat, a stream unasked': {
    ...plain, provider: 'ollama', path: '/api/chat', body: { model: 'llama3.2:3b', messages: say, options: { num_predict: 100 } },
    golden: 'ollama/chat-stream', meters: tokens(28, 17), amount: '0.000198',
  },
  'ElevenLabs speech, by its header': {
    ...plain, provider: 'elevenlabs', client: CLIENT.in('xi-api-key'), path: '/v1/text-to-speech/21m00?output_format=mp3_44100_128', body: { text: 'Next stop: Harbour.', model_id: 'eleven_flash_v2_5' },
    golden: 'speech/elevenlabs-flash', meters: { characters: '10' }, amount: '0.0005',
  },
  'Deepgram listen, sound as it is': {
    ...plain, provider: 'deepgram', client: CLIENT.token, path: '/v1/listen?model=nova-3&smart_format=true', body: SOUND, type: 'audio/wav',
    golden: 'speech/deepgram', meters: { seconds: '19.0931' }, amount: '0.001336517',
  },
};

let setup;
before(async () => { setup = await startProviders(); });
after(() => setup?.stop());

for (const [name, each] of Object.entries(CASES)) {
  test(name, { timeout: 30_000 }, () => check(setup, each));
}

test('a stream of Claude on Vertex costs what the same answer whole does', { timeout: 30_000 }, async () => {
  const { 'Claude on Vertex, rawPredict': whole, 'Claude on Vertex, streamRawPredict': stream } = CASES;
  await check(setup, whole);
  await check(setup, { ...stream, meters: whole.meters, amount: whole.amount });
});

// Each streams its text and then nothing: the client has all of it and leaves before the usage.
const CUT = {
  'OpenAI chat': { golden: 'cut/openai-chat', path: '/v1/chat/completions', body: { model: 'gpt-5.1', max_tokens: 64, messages: say, stream: true, stream_options: { include_usage: true } } },
  'OpenAI responses': { golden: 'cut/openai-responses', path: '/v1/responses', body: { model: 'gpt-5.1', max_output_tokens: 64, input: 'Hi', stream: true } },
  'Anthropic': { golden: 'cut/anthropic', path: '/v1/messages', body: { model: 'claude-haiku-4-5', max_tokens: 64, messages: say, stream: true } },
  'Gemini': { golden: 'cut/gemini-sse', path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', body: { contents, generationConfig: { maxOutputTokens: 64 } } },
  'Claude on Vertex': { golden: 'cut/vertex-claude', path: `${claudePath}:streamRawPredict`, body: { ...messages, stream: true } },
  'Bedrock Converse': { golden: 'cut/bedrock-converse', path: '/model/amazon.nova-lite-v1:0/converse-stream', body: { ...converse, inferenceConfig: { maxTokens: 64 } } },
  'Claude on Bedrock': { golden: 'cut/bedrock-invoke-claude', path: `${bedrockClaude}/invoke-with-response-stream`, body: { ...messages, anthropic_version: 'bedrock-2023-05-31' } },
  'Nova on Bedrock': { golden: 'cut/bedrock-invoke-nova', path: '/model/amazon.nova-lite-v1%3A0/invoke-with-response-stream', body: { ...converse, inferenceConfig: { maxTokens: 64 } } },
  'Cohere': { golden: 'cut/cohere', path: '/v2/chat', body: { model: 'command-a-03-2025', messages: say, max_tokens: 64, stream: true } },
  'Ollama': { golden: 'cut/ollama-chat', path: '/api/chat', body: { model: 'llama3.2:3b', messages: say, options: { num_predict: 64 } } },
};

/** Reads an answer to the last byte that comes, and resets the connection. */
const leaveAfter = (url, { headers, body, bytes }) => new Promise((resolve, reject) => {
  const request = http.request(url, { method: 'POST', headers, agent: false }, (answer) => {
    let seen = 0;
    answer.on('error', () => {});
    answer.on('data', (piece) => {
      seen += piece.length;
      if (seen < bytes) return;
      request.socket.resetAndDestroy();
      resolve(answer);
    });
  });
  request.on('error', reject);
  request.end(body);
});

for (const [name, { golden: id, path, body }] of Object.entries(CUT)) {
  test(`${name}: a client that leaves before the usage pays for what it saw, and no more than it asked for`, { timeout: 30_000 }, async () => {
    const { gate, upstream, key } = setup;
    const answer = golden(id);
    upstream.answer = { ...answer, then: 'wait' };
    const gone = upstream.gone;
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const left = await leaveAfter(gate.url + path, { headers, body: JSON.stringify(body), bytes: answer.body.length });
    const { cost, records } = await gate.bill(key, left, 20_000);
    assert.equal(records.length, 1);
    assert.equal(records[0].outcome, 'cancelled');
    const output = Number(quantity(records[0], 'output_total'));
    assert.ok(output >= 5 && output <= 64, `${output} tokens of a sentence`);
    assert.ok(Number(cost) >= output * 0.00001, `${cost} for ${output}`);
    assert.equal((await gate.idle('acme')).spend.held, '0');
    assert.ok(upstream.gone > gone, 'the upstream was told');
  });
}

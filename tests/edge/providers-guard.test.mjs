// What stands between the operator's credentials and everybody else, and what no client can talk
// its way around: signatures as the clouds check them, paths, models named twice, queries.

import assert from 'node:assert/strict';
import { createHash, createHmac, verify } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { quantity, refusal, secrets, startGate } from './gate.mjs';
import { AWS, BOOK, CLIENT, SERVICE_ACCOUNT, golden, send, startProviders } from './providers.mjs';

const rule = (name, run) => test(name, { timeout: 30_000 }, run);
const contents = [{ role: 'user', parts: [{ text: 'hi' }] }];
const messages = [{ role: 'user', content: 'hi' }];
const converse = { messages: [{ role: 'user', content: [{ text: 'hi' }] }], inferenceConfig: { maxTokens: 50 } };
const vertexCall = { path: '/v1beta/models/gemini-2.5-pro:generateContent', client: CLIENT.in('x-goog-api-key'), body: { contents, generationConfig: { maxOutputTokens: 500 } } };

let setup, gate, upstream, key;
before(async () => { setup = await startProviders(); ({ gate, upstream, key } = setup); });
after(() => setup?.stop());

/** Sends what must not reach the upstream, and says why it was refused. */
async function turnedAway(each, family) {
  const hits = upstream.seen.length;
  const { status, code, message } = await refusal(await send(setup, each, key), family);
  assert.equal(upstream.seen.length, hits, `${each.path} reached the upstream`);
  return [status, code, message];
}

rule('without a token for Google nothing is sent, and nothing charged', async () => {
  upstream.tokenStatus = 400;
  const hits = upstream.seen.length;
  const answer = await send(setup, vertexCall, key);
  const { status, code } = await refusal(answer, 'google');
  assert.deepEqual([status, code, upstream.seen.length], [502, 'upstream_unreachable', hits]);
  assert.equal((await gate.bill(key, answer)).cost, '0');
  assert.equal((await gate.idle('acme')).spend.held, '0');
  Object.assign(upstream, { tokenStatus: 200, tokens: [] });
});

rule('Google gets an assertion that its own key opens, once for many requests', async () => {
  upstream.answer = golden('vertex/gemini-thoughts');
  for (let n = 0; n < 2; n += 1) assert.equal((await send(setup, vertexCall, key)).status, 200);
  assert.equal(upstream.tokens.length, 1, 'the token is kept');
  const [{ method, headers, body }] = upstream.tokens;
  assert.deepEqual([method, headers['content-type'].split(';')[0]], ['POST', 'application/x-www-form-urlencoded']);
  const sent = new URLSearchParams(body.toString());
  assert.deepEqual([...sent.keys()], ['grant_type', 'assertion']);
  assert.equal(sent.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
  const [head, claims, signature] = sent.get('assertion').split('.');
  assert.ok(verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), SERVICE_ACCOUNT.publicKey, Buffer.from(signature, 'base64url')));
  const read = (part) => JSON.parse(Buffer.from(part, 'base64url'));
  assert.deepEqual(read(head), { alg: 'RS256', typ: 'JWT', kid: SERVICE_ACCOUNT.keyId });
  const { iat, exp, ...rest } = read(claims);
  assert.deepEqual(rest, { iss: SERVICE_ACCOUNT.email, aud: `${upstream.url}/token`, scope: 'https://www.googleapis.com/auth/cloud-platform' });
  assert.equal(exp - iat, 3600);
  assert.ok(Math.abs(iat - Date.now() / 1000) < 60);
});

/** Signature Version 4 by the steps that AWS documents, on what the upstream was sent. */
function signature({ method, path, headers, body }) {
  const [, date, region, service, signed] = /Credential=[^/]+\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+),/.exec(headers.authorization);
  const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest();
  const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
  const [pathname, query = ''] = path.split('?');
  const canonical = [
    method,
    pathname.split('/').map(encode).join('/'), // encoded twice: it is encoded as sent
    query.split('&').filter(Boolean).map((pair) => pair.split('=').map((part) => encode(decodeURIComponent(part))).join('=')).sort().join('&'),
    ...signed.split(';').map((name) => `${name}:${headers[name].trim().replace(/ +/g, ' ')}`),
    '', signed, sha(body),
  ].join('\n');
  const scope = `${date}/${region}/${service}/aws4_request`;
  const key = [date, region, service, 'aws4_request'].reduce(hmac, `AWS4${AWS.secret}`);
  return { signed: signed.split(';'), value: hmac(key, ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha(canonical)].join('\n')).toString('hex'), scope };
}

rule('AWS gets a signature that its own steps arrive at, over what no proxy on the way rewrites', async () => {
  upstream.answer = golden('bedrock/converse-plain');
  for (const path of ['/model/amazon.nova-lite-v1%3A0/converse', '/model/amazon.nova-lite-v1:0/converse', '/model/amazon.nova-lite-v1:0/converse?b=2&a=x%20y%2B']) {
    assert.equal((await send(setup, { path, body: converse }, key)).status, 200);
    const seen = upstream.seen.at(-1);
    const { signed, value, scope } = signature(seen);
    assert.ok(seen.headers.authorization.endsWith(`Signature=${value}`), path);
    assert.ok(scope.endsWith(`/${AWS.region}/bedrock/aws4_request`));
    assert.deepEqual(signed, ['host', 'x-amz-date', 'x-amz-security-token']);
    assert.equal(seen.headers['x-amz-security-token'], AWS.session);
  }
});

rule('S20, S50: no secret of the operator reaches a client, a record or the log, though the upstream repeats it', async () => {
  const secret = [AWS.secret, AWS.session, SERVICE_ACCOUNT.pem, SERVICE_ACCOUNT.pem.split('\n')[1], SERVICE_ACCOUNT.token, ...Object.values(gate.secretVars)];
  upstream.answer = ({ path, headers }) => ({ status: 403, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ message: `not allowed: ${path} ${JSON.stringify(headers)}` }) });
  const calls = [
    vertexCall,
    { path: '/model/amazon.nova-lite-v1:0/converse', body: converse },
    { path: '/v1beta/models/gemini-2.0-flash:generateContent', client: CLIENT.in('x-goog-api-key'), body: { contents } },
    { path: '/v1/listen?model=nova-3', client: CLIENT.token, type: 'audio/wav', body: Buffer.alloc(100) },
    { path: '/openai/deployments/my-deployment/chat/completions', client: CLIENT.in('api-key'), body: { messages } },
  ];
  const texts = [];
  for (const call of calls) {
    const answer = await send(setup, call, key);
    assert.equal(answer.status, 403);
    assert.match(answer.body.toString(), /not allowed/);
    const { cost, records } = await gate.bill(key, answer);
    assert.equal(cost, '0', 'what the upstream refuses is free');
    texts.push(answer.body.toString(), JSON.stringify(answer.headers), JSON.stringify(records));
  }
  texts.push(gate.logs.join('\n'), (await gate.archive('acme')).join('\n'));
  for (const text of texts) for (const each of secret) assert.ok(!text.includes(each), `${each.slice(0, 12)}… in ${text.slice(0, 400)}`);
});

rule('an upstream that does not take stream_options is not asked for usage, and its stream is counted', async () => {
  const piece = (text, reason = null) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: text === null ? {} : { content: text }, finish_reason: reason }] })}\n\n`;
  const body = Buffer.from(`${piece('The')}${piece(' next')}${piece(' tram')}${piece(null, 'stop')}data: [DONE]\n\n`);
  upstream.answer = { headers: { 'content-type': 'text/event-stream' }, body };
  const answer = await send(setup, { path: '/v1/chat/completions', body: { model: 'older-chat', stream: true, max_tokens: 50, messages } }, key);
  assert.deepEqual([answer.status, answer.body], [200, body]);
  const seen = upstream.seen.at(-1);
  assert.deepEqual([seen.path, seen.body], ['/older/api/chat/completions', answer.sent]);
  const { records: [record] } = await gate.bill(key, answer);
  assert.equal(quantity(record, 'output_total'), '3');
  assert.equal(record.quantities.find(({ meter }) => meter === 'output_total').provenance, 'counted');
  assert.ok(Number(quantity(record, 'input_total') ?? quantity(record, 'input_uncached')) > 0, JSON.stringify(record.quantities));
});

rule('a model that is not sold is refused in that API\'s words, wherever it is named', async () => {
  for (const [family, each] of [
    ['google', { path: '/v1beta/models/gemini-9:generateContent', body: { contents } }],
    ['google', { path: '/v1/projects/p/locations/l/publishers/google/models/gemini-9:generateContent', body: { contents } }],
    ['bedrock', { path: '/model/amazon.nova-9/converse', body: converse }],
    ['openai', { path: '/openai/deployments/none/chat/completions', body: { messages } }],
    ['plain', { path: '/v2/chat', body: { model: 'command-z', messages } }],
    ['plain', { path: '/v1/listen?model=nova-9', type: 'audio/wav', body: Buffer.alloc(100) }],
    ['openai', { path: '/v1/embeddings', body: { model: 'text-embedding-9', input: 'x' } }],
  ]) assert.deepEqual((await turnedAway(each, family)).slice(0, 2), [400, 'model_not_priced'], each.path);
});

rule('S36: two names for the model leave open which is priced and which served: refused', async () => {
  const listen = { type: 'audio/wav', body: Buffer.alloc(100) };
  for (const [family, each] of [
    ['google', { path: '/v1beta/models/gemini-2.5-flash:generateContent', body: { model: 'gemini-2.5-pro', contents } }],
    ['google', { path: '/v1beta/models/gemini-2.5-flash:generateContent?model=gemini-2.5-pro', body: { contents } }],
    ['bedrock', { path: '/model/amazon.nova-lite-v1:0/converse', body: { modelId: 'x', model: 'other', ...converse } }],
    ['plain', { path: '/v1/listen?model=nova-3&model=nova-2', ...listen }],
    ['plain', { path: '/v1/listen?model=nova-3&mod%65l=nova-2', ...listen }],
    ['plain', { path: '/v1/text-to-speech/21m00', body: { text: 'hi', model: 'eleven_flash_v2_5', model_id: 'eleven_v3' } }],
  ]) assert.deepEqual((await turnedAway(each, family)).slice(0, 2), [400, 'invalid_request'], each.path);
});

rule('a query that would hide the usage, or send the answer elsewhere, is refused', async () => {
  const path = '/v1beta/models/gemini-2.5-flash:generateContent';
  const listen = '/v1/listen?model=nova-3';
  for (const [family, at, query] of [
    ['google', path, '?fields=candidates'], ['google', path, '?%66ields=candidates'], ['google', path, '?$fields=candidates'], ['google', path, '?alt=proto'],
    ['google', path, '?alt=media'], ['google', path, '?callback=x'], ['plain', listen, '&callback=https://example.com'],
  ]) {
    const each = at === path ? { path: at + query, body: { contents } } : { path: at + query, type: 'audio/wav', body: Buffer.alloc(100) };
    assert.deepEqual((await turnedAway(each, family)).slice(0, 2), [400, 'invalid_request'], each.path);
  }
});

rule('S51: a client\'s key in the query does not go on, however its name is spelt', async () => {
  upstream.answer = golden('gemini/plain');
  for (const query of ['key=KEY', 'k%65y=KEY', 'api_key=KEY', 'access%5Ftoken=KEY']) {
    const answer = await send(setup, { path: `/v1beta/models/gemini-2.5-flash:generateContent?prettyPrint=true&${query}`, client: CLIENT.in('x-goog-api-key'), headers: { 'x-goog-fieldmask': 'candidates' }, body: { contents } }, key);
    assert.equal(answer.status, 200, answer.body.toString());
    assert.equal(upstream.seen.at(-1).headers['x-goog-fieldmask'], undefined, 'a header that would hide the usage');
    assert.equal(upstream.seen.at(-1).path, '/gemini/v1beta/models/gemini-2.5-flash:generateContent?prettyPrint=true');
  }
});

rule('input from a bucket, which the operator\'s account would read, is refused unless the entry allows it', async () => {
  const file = (fileUri) => ({ contents: [{ role: 'user', parts: [{ fileData: { mimeType: 'application/pdf', fileUri } }] }], generationConfig: { maxOutputTokens: 5 } });
  const document = { name: 'd', format: 'pdf', source: { s3Location: { uri: 's3://bucket/x' } } };
  for (const [family, each] of [
    ['google', { ...vertexCall, body: file('gs://bucket/x.pdf') }],
    ['google', { ...vertexCall, body: file('https://generativelanguage.googleapis.com/v1beta/files/x') }],
    ['bedrock', { path: '/model/amazon.nova-lite-v1:0/converse', body: { ...converse, messages: [{ role: 'user', content: [{ document }] }] } }],
  ]) {
    const [status, code, message] = await turnedAway(each, family);
    assert.deepEqual([status, code], [400, 'invalid_request']);
    assert.match(message, /gateway's rights/);
  }
  upstream.answer = golden('anthropic/plain');
  const source = { type: 'url', url: 'gs://bucket/x.pdf' };
  const allowed = { path: '/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict', body: { anthropic_version: 'vertex-2023-10-16', max_tokens: 50, messages: [{ role: 'user', content: [{ type: 'document', source }] }] } };
  assert.equal((await send(setup, allowed, key)).status, 200);
});

rule('a record says when another model served than was asked for', async () => {
  for (const [model, flags] of [['gpt-5.1-2025-11-13', []], ['gpt-4.1-mini', ['served_other']]]) {
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    upstream.answer = { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model, choices: [{ finish_reason: 'stop' }], usage }) };
    const answer = await send(setup, { path: '/v1/chat/completions', body: { model: 'gpt-5.1', max_tokens: 9, messages } }, key);
    const { cost, records: [record] } = await gate.bill(key, answer);
    assert.deepEqual([cost, record.served_model, record.flags ?? []], ['0.000011', model, flags]);
  }
});

rule('an entry whose path leaves open what was asked for, or whose project, serves nobody', async () => {
  for (const [entry, why] of [
    [{ auth: 'bearer', path: '/v1/chat/completions' }, /path must hold \{path\}/],
    [{ auth: 'google', path: '{path}' }, /path must name your project/],
  ]) {
    const vars = { FAREBOX_UPSTREAMS: JSON.stringify({ openai: { base_url: upstream.url, secret: 'OPENAI_API_KEY', ...entry } }), FAREBOX_BOOK: JSON.stringify(BOOK) };
    const odd = await startGate({ vars, secretVars: secrets(), upstream });
    try {
      const headers = { 'content-type': 'application/json', authorization: 'Bearer fb_test_acme_k1_x_1y' };
      const answer = await odd.raw('/v1/chat/completions', { headers, body: JSON.stringify({ model: 'gpt-5.1', messages }) });
      const { status, code } = await refusal(answer, 'openai');
      assert.deepEqual([status, code], [503, 'misconfigured']);
      assert.match(odd.logs.join('\n'), why);
    } finally {
      await odd.stop();
    }
  }
});

/** A path as it is: no client library tidies it up. */
const bare = (path) => new Promise((resolve, reject) => {
  const { port, hostname } = new URL(gate.url);
  const body = JSON.stringify({ ...converse, contents, model: undefined });
  const socket = net.connect(port, hostname);
  let text = '';
  socket.on('data', (part) => { text += part; });
  socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])));
  socket.on('error', reject);
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
});

rule('S31: a path that climbs, hides a slash or a dot, or calls another verb never reaches the upstream', async () => {
  const hits = upstream.seen.length;
  for (const path of [
    '/model/../admin/converse', '/model/%2e%2e/converse', '/model/..%2f..%2fadmin/converse', '/model/amazon.nova-lite-v1:0%2f..%2fx/converse', '/model/a%5cb/converse',
    '/model/amazon.nova-lite-v1:0/../../x/converse', '/model/amazon.nova-lite-v1:0/invoke-async', '/model/amazon.nova-lite-v1:0;x/converse', '/model//amazon.nova-lite-v1:0/converse',
    '/v1beta/models/gemini-2.5-flash:deleteModel', '/v1beta/models/gemini-2.5-flash%3AgenerateContent', '/v1beta/models/..%2fgemini-2.5-flash:generateContent',
    '/v1beta/models/gemini-2.5-flash%2f..%2fx:generateContent', '/v1beta/models/../tunedModels/x:generateContent', '/v1beta/files', '/openai/deployments/my-deployment%2f..%2fx/chat/completions',
    '/openai/deployments/../x/chat/completions', '/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:setIamPolicy', '/v1/text-to-speech/..%2f..%2fhistory',
    '/v1/chat/completions%00', '/v1/chat%2fcompletions', '\\\\v1\\\\responses',
  ]) {
    const status = await bare(path);
    assert.ok([400, 404].includes(status), `${path}: ${status}`);
    assert.equal(upstream.seen.length, hits, `${path} reached ${upstream.seen.at(-1)?.path}`);
  }
});

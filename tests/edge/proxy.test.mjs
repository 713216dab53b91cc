// The gate is invisible: bytes pass untouched, credentials are swapped, headers go by lists, and
// what the upstream refuses is passed on and costs nothing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startUpstream } from '../../examples/upstream/server.mjs';
import { quantity, refusal, requestId, say, startGate, wiretap } from './gate.mjs';

const UPSTREAM_KEY = 'sk-demo-upstream';
const rule = (name, run) => test(name, { timeout: 60_000 }, run);

let demo, tap, gate, key;
before(async () => {
  demo = await startUpstream();
  tap = await wiretap(demo.url);
  gate = await startGate({ upstream: { ...demo, url: tap.url } });
  key = await gate.customer('acme', '100');
});
after(async () => {
  await gate?.stop();
  await tap?.close();
  await demo?.close();
});

const OPENAI = { path: '/v1/chat/completions', family: 'openai', model: 'gpt-4o-mini', auth: () => ({ authorization: `Bearer ${key}` }) };
const ANTHROPIC = {
  path: '/v1/messages', family: 'anthropic', model: 'claude-haiku-4-5',
  auth: () => ({ 'x-api-key': key, 'anthropic-version': '2023-06-01' }),
};
const APIS = [OPENAI, ANTHROPIC];

const send = (api, body, { headers = {}, ...init } = {}) => gate.raw(api.path, {
  headers: { 'content-type': 'application/json', ...api.auth(), ...headers }, body, ...init,
});
const ask = (api, text, extra = {}) => JSON.stringify({ model: api.model, max_tokens: 200, ...say(text), ...extra });

rule('odd but valid JSON reaches the upstream byte for byte', async () => {
  for (const api of APIS) {
    const fields = `"model" :\t"${api.model}","max_tokens": 5 ,"messages":[ {"role":"user","content":"h\\u00e9llo \\ud83d\\ude8c \\/ \\b é 🚌 \u2028"} ]`;
    const bodies = [
      `\r\n\t { ${fields} }  \n\n`,
      `{${fields},"metadata":{"a":[ ],"b":{ },"c":-0,"d":1.50e+02,"e":null,"\\u0066":"","z":"\\u0000"}}`,
      `{${fields},"stop":null,"stream"  :  false}`,
      `{${fields},"metadata":{"long":"${'ß🚌"'.replace('"', '\\"').repeat(100_000)}"}}`,
    ];
    for (const body of bodies) {
      const answer = await send(api, body);
      assert.equal(answer.status, 200, answer.body.toString());
      assert.ok(tap.last().sent.equals(Buffer.from(body)), `${api.family}: ${body.slice(0, 200)}`);
    }
    const parts = [...bodies[1]].map((letter) => Buffer.from(letter));
    assert.equal((await send(api, parts, {})).status, 200, 'a body of unstated length');
    assert.ok(tap.last().sent.equals(Buffer.from(bodies[1])));
  }
});

rule('a stream whose usage was asked for is asked for byte for byte, too', async () => {
  const spaced = ' {"stream": true, "stream_options" : { "include_usage" :true } , "model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}\n';
  await send(OPENAI, spaced);
  assert.equal(tap.last().sent.toString(), spaced);
  const anthropic = spaced.replace('gpt-4o-mini', 'claude-haiku-4-5');
  await send(ANTHROPIC, anthropic);
  assert.equal(tap.last().sent.toString(), anthropic);
});

rule('where usage is asked for on the client\'s behalf, every other byte stays', async () => {
  const fields = '"model":"gpt-4o-mini" ,\t"max_tokens":9,"messages":[{"role":"user","content":"\\u00e9 🚌"}] ,"stream":true';
  await send(OPENAI, `{${fields}}\n`);
  assert.equal(tap.last().sent.toString(), `{"stream_options":{"include_usage":true},${fields}}\n`);
});

rule('F24, F25, F26, F28, F30, F31, S46: the answer\'s bytes reach the client as they came, dressed in any way', async () => {
  const dresses = ['', 'crlf', 'bom', 'comments', 'crlf comments bom', 'split=1 chunks=3', 'split=7', 'utf8', 'utf8 split=1 chunks=4',
    'decoy', 'decoy split=3', 'no_done', 'no_final_blank', 'tool_call', 'chunks=0', 'chunks=500', 'gzip'];
  const ways = [
    [OPENAI, {}], [OPENAI, { stream: true, stream_options: { include_usage: true } }],
    [ANTHROPIC, {}], [ANTHROPIC, { stream: true }],
  ];
  const bills = [];
  for (const dress of dresses) {
    for (const [api, extra] of ways) {
      const answer = await send(api, ask(api, `hi [[${dress}]]`, extra));
      const came = tap.last().came;
      assert.equal(answer.status, 200, answer.body.toString());
      assert.ok(answer.complete);
      assert.ok(answer.body.equals(dress === 'gzip' ? gunzipSync(came) : came), `[[${dress}]] ${api.family} ${JSON.stringify(extra)}`);
      bills.push(gate.bill(key, answer));
    }
  }
  for (const { records } of await Promise.all(bills)) {
    assert.deepEqual([records.length, records[0].class, records[0].outcome], [1, 'settled', 'complete']);
  }
});

/** A stream without the event that carries only usage: what a client gets that did not ask for it. */
function withoutUsage(bytes) {
  const events = bytes.toString('latin1').split(/(?<=\r?\n\r?\n)/);
  return Buffer.from(events.filter((event) => !event.includes('"choices":[],"usage":{')).join(''), 'latin1');
}

rule('F21, R13: a client that did not ask for usage gets all bytes but the usage chunk, and is metered', async () => {
  for (const dress of ['', 'crlf', 'bom', 'comments', 'split=1 chunks=3', 'utf8 split=5', 'decoy', 'no_done', 'tool_call', 'chunks=500']) {
    const answer = await send(OPENAI, ask(OPENAI, `hi [[${dress}]]`, { stream: true }));
    const { came, sent } = tap.last();
    assert.ok(JSON.parse(sent).stream_options.include_usage);
    const want = withoutUsage(came);
    assert.ok(want.length < came.length);
    assert.ok(answer.body.equals(want), `[[${dress}]]\n${answer.body}\n---\n${want}`);
    const { records: [record] } = await gate.bill(key, answer);
    assert.equal(record.outcome, 'complete', dress);
    assert.equal(record.quantities.find(({ meter }) => meter === 'output_total').provenance, 'reported');
  }
});

rule('the usage chunk is kept where it was asked for, and taken out where it was not or refused', async () => {
  const cases = [
    [{ include_usage: true }, true], [{ include_usage: false }, false], [{}, false],
    [undefined, false], [{ include_usage: null }, false],
  ];
  for (const [stream_options, kept] of cases) {
    const answer = await send(OPENAI, ask(OPENAI, 'hi [[chunks=4]]', { stream: true, stream_options }));
    const shown = JSON.stringify(stream_options);
    assert.equal(answer.status, 200, `${shown}: ${answer.body}`);
    assert.equal(answer.body.includes('"choices":[],"usage":{'), kept, shown);
    assert.ok(answer.body.toString().endsWith('data: [DONE]\n\n'));
    const { records: [record] } = await gate.bill(key, answer);
    assert.deepEqual([record.outcome, quantity(record, 'output_total')], ['complete', '4'], shown);
    assert.deepEqual(record.flags, [], `${shown}: the usage was reported`);
  }
});

rule('stream_options of null is the same as none: the usage is asked for, and no key is sent twice', async () => {
  const answer = await send(OPENAI, ask(OPENAI, 'hi [[chunks=4]]', { stream: true, stream_options: null }));
  const sent = tap.last().sent.toString();
  assert.equal(sent.split('"stream_options"').length - 1, 1, sent);
  const { records: [record] } = await gate.bill(key, answer);
  assert.deepEqual([record.outcome, quantity(record, 'output_total')], ['complete', '4']);
});

rule('other stream options survive the one that is added', async () => {
  await send(OPENAI, ask(OPENAI, 'hi', { stream: true, stream_options: { include_usage: false, include_obfuscation: false } }));
  assert.deepEqual(JSON.parse(tap.last().sent).stream_options, { include_usage: true, include_obfuscation: false });
});

rule('the client\'s key never reaches the upstream, and the upstream\'s never the client', async () => {
  for (const api of APIS) {
    for (const extra of [{}, { stream: true }]) {
      const answer = await send(api, ask(api, 'hi', extra));
      const { headers, sent } = tap.last();
      assert.equal(headers[api === OPENAI ? 'authorization' : 'x-api-key'], api === OPENAI ? `Bearer ${UPSTREAM_KEY}` : UPSTREAM_KEY);
      assert.equal(headers[api === OPENAI ? 'x-api-key' : 'authorization'], undefined);
      const [, customer, keyId, secret] = key.split('_').slice(1);
      for (const part of [key, secret]) assert.ok(!(JSON.stringify(headers) + sent).includes(part), `${customer} ${keyId}`);
      assert.ok(!(JSON.stringify(answer.rawHeaders) + answer.body).includes(UPSTREAM_KEY));
    }
  }
});

rule('S20: an upstream that quotes its key in an error is scrubbed', async () => {
  for (const api of APIS) {
    const answer = await send(api, ask(api, 'hi [[leak]]'));
    assert.equal(answer.status, 400);
    assert.ok(tap.last().came.includes(UPSTREAM_KEY), 'the upstream did leak');
    assert.ok(!answer.body.includes(UPSTREAM_KEY), answer.body.toString());
    assert.match(answer.body.toString(), /redacted/);
  }
});

rule('S16, S29: request headers pass by an allow-list', async () => {
  const allowed = { 'content-type': 'application/json; charset=utf-8', accept: 'text/x-own', 'user-agent': 'own/1.0', 'anthropic-version': '2023-06-01', 'anthropic-beta': 'a,b', 'openai-beta': 'c' };
  const refused = {
    cookie: 'a=canary', 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'evil', 'x-forwarded-proto': 'https', 'x-real-ip': '203.0.113.9',
    forwarded: 'for=203.0.113.9', 'cf-connecting-ip': '203.0.113.9', 'true-client-ip': '203.0.113.9', 'x-farebox-customer': 'bigco', 'x-farebox-request-id': 'canary',
    'x-farebox-cost': '0', 'openai-organization': 'org-canary', 'openai-project': 'canary', 'proxy-authorization': 'Basic canary', te: 'trailers',
    referer: 'canary', origin: 'canary', 'x-stainless-lang': 'js', 'x-http-method-override': 'DELETE', 'x-original-url': '/canary', 'accept-language': 'xx', 'accept-encoding': 'br',
  };
  const transport = ['host', 'connection', 'content-length', 'transfer-encoding', 'cf-worker']; // the last by the platform
  for (const api of APIS) {
    await send(api, ask(api, 'hi'), { headers: { ...allowed, ...refused } });
    const { headers } = tap.last();
    for (const [name, value] of Object.entries(allowed)) assert.equal(headers[name], value);
    const extra = Object.keys(headers).filter((name) => !(name in allowed) && !transport.includes(name));
    assert.deepEqual(extra.sort(), ['accept-encoding', api === OPENAI ? 'authorization' : 'x-api-key']);
    assert.equal(headers['accept-encoding'], 'identity');
    assert.ok(!JSON.stringify(headers).includes('canary'));
  }
});

rule('S20: response headers pass by an allow-list', async () => {
  const own = ['x-farebox-request-id', 'x-farebox-held', 'x-farebox-cost', 'ratelimit', 'ratelimit-policy'];
  const passed = {
    openai: ['content-type', 'x-request-id', 'openai-processing-ms', 'openai-version', 'retry-after', 'cache-control'],
    anthropic: ['content-type', 'request-id', 'retry-after', 'cache-control'],
  };
  const transport = ['transfer-encoding', 'content-length', 'connection', 'date', 'keep-alive'];
  for (const api of APIS) {
    for (const [text, extra] of [['hi', {}], ['hi', { stream: true }], ['hi [[status=429]]', {}]]) {
      const answer = await send(api, ask(api, text, extra));
      const names = Object.keys(answer.headers).filter((name) => !transport.includes(name) && !own.includes(name));
      assert.deepEqual(names.filter((name) => !passed[api.family].includes(name)), []);
      assert.ok(names.includes(api === OPENAI ? 'x-request-id' : 'request-id'), 'the provider\'s own request id passes');
    }
  }
});

rule('S18: a redirect is not followed, and costs nothing', async () => {
  for (const api of APIS) {
    const hits = gate.hits();
    const answer = await send(api, ask(api, 'hi [[redirect]]'));
    const { status, code } = await refusal(answer, api.family);
    assert.deepEqual([status, code, gate.hits() - hits], [502, 'upstream_redirect', 1]);
    assert.equal(answer.headers.location, undefined);
    const { cost, records: [record] } = await gate.bill(key, answer);
    assert.deepEqual([cost, record.class, record.error_class], ['0', 'voided', 'upstream_redirect']);
  }
});

rule('F7, F8, F9: an upstream\'s refusal passes as it is, is voided, and leaves nothing held', async () => {
  for (const api of APIS) {
    for (const status of [400, 401, 403, 404, 413, 429, 500, 503, 529]) {
      for (const stream of [false, true]) {
        const answer = await send(api, ask(api, `hi [[status=${status}]]`, { stream }));
        assert.equal(answer.status, status);
        assert.ok(answer.body.equals(tap.last().came));
        assert.equal(answer.headers['retry-after'], status === 429 ? '1' : undefined);
        const { cost, records } = await gate.bill(key, answer);
        assert.equal(records.length, 1);
        const [{ class: kind, amount, upstream_status, error_class }] = records;
        assert.deepEqual([cost, kind, amount, upstream_status, error_class], ['0', 'voided', '0', status, 'upstream_error']);
      }
    }
  }
  assert.equal((await gate.idle('acme')).spend.held, '0');
});

rule('the cost header is the amount on the record, and the sum of its lines', async () => {
  for (const api of APIS) {
    for (const text of ['hi', 'hi [[cached=1000]]', 'hi [[reasoning=20 chunks=30]]', 'hi [[chunks=1 utf8]]']) {
      const answer = await send(api, ask(api, text));
      const { cost, records: [record] } = await gate.bill(key, answer);
      assert.equal(answer.headers['x-farebox-cost'], cost);
      assert.equal(record.amount, cost);
      assert.equal(record.held, answer.headers['x-farebox-held']);
      const nano = (text) => BigInt(Math.round(Number(text) * 1e12)); // small numbers: exact enough to compare
      assert.equal(record.lines.reduce((sum, { amount }) => sum + nano(amount), 0n), nano(cost));
    }
  }
});

rule('a price is exact: known usage at known rates', async () => {
  // 5 + 1000 cached tokens in, 32 out, of gpt-4o-mini: 0.15, 0.075 and 0.60 USD for a million.
  const text = 'Say hi [[chunks=2 reasoning=30 cached=1000]]';
  const prompt = Math.ceil(text.length / 4) + 3;
  const answer = await send(OPENAI, ask(OPENAI, text));
  const micro = prompt * 15 + 1000 * 7.5 + 32 * 60; // hundredths of a millionth
  assert.equal(Number(answer.headers['x-farebox-cost']), micro / 1e8);
});

rule('S4: a key is taken from either header on either API, and one key in both is one key', async () => {
  for (const api of APIS) {
    const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' };
    for (const auth of [
      { authorization: `Bearer ${key}` }, { authorization: `bearer ${key}` }, { authorization: `BEARER  ${key}` },
      { 'x-api-key': key }, { 'x-api-key': key, authorization: `Bearer ${key}` },
    ]) {
      const answer = await gate.raw(api.path, { headers: { ...headers, ...auth }, body: ask(api, 'hi') });
      assert.equal(answer.status, 200, `${JSON.stringify(Object.keys(auth))} ${answer.body}`);
    }
  }
});

rule('S4: two different credentials are refused before anything is held', async () => {
  const other = await gate.customer('other', '100');
  const hits = gate.hits();
  for (const api of APIS) {
    const answer = await send(api, ask(api, 'hi'), { headers: { authorization: `Bearer ${key}`, 'x-api-key': other } });
    const { status, code } = await refusal(answer, api.family);
    assert.deepEqual([status, code], [400, 'invalid_request']);
  }
  assert.equal(gate.hits(), hits);
});

rule('F6: an upstream that cannot be reached is a 502 in the API\'s own shape and costs nothing', async () => {
  const nowhere = await startGate({ upstream: { url: 'http://127.0.0.1:1', close() {}, stats: demo.stats } });
  try {
    const own = await nowhere.customer('acme', '1');
    for (const [family, answer] of [['openai', await nowhere.chat(own, {})], ['anthropic', await nowhere.messages(own, {})]]) {
      const { status, code } = await refusal(answer, family);
      assert.deepEqual([status, code], [502, 'upstream_unreachable']);
      const { records: [record] } = await nowhere.bill(own, answer);
      assert.deepEqual([record.class, record.amount, record.error_class], ['voided', '0', 'upstream_unreachable']);
    }
    assert.equal((await nowhere.idle('acme')).spend.settled, '0');
  } finally {
    await nowhere.stop();
  }
});

rule('every request has its own id', async () => {
  const ids = [];
  for (let n = 0; n < 20; n += 1) ids.push(requestId(await gate.raw('/v1/nowhere')));
  assert.equal(new Set(ids).size, 20);
});

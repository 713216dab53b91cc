// Where a request goes, and what may come back: the upstream is the operator's word alone, and no
// answer, however made, fills the memory or passes for free. Numbered as in docs/faults.md.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { mintKey, quantity, refusal, requestId, say, secrets, startGate } from './gate.mjs';
import { completion, piece, scripted, STREAM, whole } from './scripted.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const MIB = 1024 * 1024;

let upstream, stranger, gate, key;
before(async () => {
  upstream = await scripted();
  stranger = await scripted();
  stranger.answer = (socket) => socket.end(whole(completion()));
  gate = await startGate({ upstream });
  key = await gate.customer('acme', '1000');
});
after(async () => {
  await gate?.stop();
  await upstream?.close();
  await stranger?.close();
});

const ask = (extra = {}, headers = {}) => gate.raw('/v1/chat/completions', {
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 50, ...say('one two'), ...extra }), timeoutMs: 45_000,
});

rule('S15, S16: no field and no header of a client\'s names the upstream', async () => {
  upstream.answer = (socket) => socket.end(whole(completion()));
  const { url } = stranger;
  const host = new URL(url).host;
  const bodies = ['api_base', 'base_url', 'api_key', 'organization', 'custom_llm_provider', 'extra_headers', 'url'].map((field) => ({ [field]: url }));
  const names = ['x-portkey-custom-host', 'x-litellm-api-base', 'helicone-target-url', 'helicone-openai-api-base', 'x-forwarded-host', 'x-original-host', 'x-host', 'forwarded', 'x-upstream', 'x-target-url', 'x-base-url'];
  for (const [extra, headers] of [...bodies.map((body) => [body, {}]), ...names.map((name) => [{}, { [name]: name === 'forwarded' ? `host=${host}` : url }])]) {
    const hits = upstream.hits;
    assert.equal((await ask(extra, headers)).status, 200);
    assert.equal(upstream.hits, hits + 1);
    const { head } = upstream.requests.at(-1);
    assert.ok(!head.includes(host), head);
    assert.match(head, /authorization: Bearer sk-demo-upstream/i);
  }
  assert.equal(stranger.hits, 0);
});

/** A gate with this as its upstreams, asked once. */
async function configured(entry, { vars = {}, secretVars = secrets() } = {}) {
  const upstreams = JSON.stringify({ openai: { auth: 'bearer', secret: 'OPENAI_API_KEY', ...entry } });
  const odd = await startGate({ upstream, secretVars, vars: { FAREBOX_UPSTREAMS: upstreams, ...vars } });
  try {
    const answer = await odd.chat(mintKey(secretVars.FAREBOX_KEY_SECRETS, 'acme', 'k1').key, {});
    return { ...await refusal(answer, 'openai'), logs: odd.logs.join('\n') };
  } finally {
    await odd.stop();
  }
}

rule('S17: an upstream that is no plain https address serves nobody, and the log says why', async () => {
  const { hits } = upstream;
  for (const base_url of [
    'http://api.example.com', 'http://169.254.169.254', 'http://127.1:80', 'http://[::1]:80', 'https://user@api.example.com', 'https://api.example.com@169.254.169.254',
    'https://api.example.com?x=', 'https://api.example.com#', 'https://', 'https:// api.example.com', 'file:///etc/passwd', 'ftp://x', '//api.example.com', 'api.example.com', '', 'javascript:1',
  ]) {
    const { status, code, text, logs } = await configured({ base_url });
    assert.deepEqual([status, code], [503, 'misconfigured'], base_url);
    assert.match(logs, /upstream openai: base_url must be https:/);
    assert.ok(base_url.length < 9 || !text.includes(base_url), 'the client is not told the address');
  }
  // What is allowed in development is not allowed in production.
  assert.equal((await configured({ base_url: upstream.url }, { vars: { FAREBOX_ENV: 'production' } })).code, 'misconfigured');
  assert.equal(upstream.hits, hits);
}, 120_000);

rule('S7: settings without their secrets, or with ones of no length, serve nobody', async () => {
  for (const name of ['FAREBOX_KEY_SECRETS', 'FAREBOX_RECORD_SECRETS', 'FAREBOX_SESSION_SECRETS']) {
    for (const value of ['', '1:', '1:00', 'secret', '1:' + '0'.repeat(10)]) {
      const good = secrets();
      const odd = await startGate({ upstream, secretVars: { ...good, [name]: value } });
      try {
        const answer = await odd.chat(mintKey(good.FAREBOX_KEY_SECRETS, 'acme', 'k1').key, {});
        const { status, code } = await refusal(answer, 'openai');
        assert.deepEqual([status, code], [503, 'misconfigured'], `${name}=${value}`);
        assert.match(odd.logs.join('\n'), new RegExp(name));
      } finally {
        await odd.stop();
      }
    }
  }
  const short = await startGate({ upstream, secretVars: { ...secrets(), FAREBOX_ADMIN_TOKEN: 'short' } });
  try {
    const answer = await short.raw('/v1/farebox/admin/customers/acme', { method: 'GET', headers: { authorization: 'Bearer short' } });
    assert.equal((await refusal(answer, 'own')).status, 503);
  } finally {
    await short.stop();
  }
}, 180_000);

rule('S19: a gate that is its own upstream is told so after one round, and nothing is charged', async () => {
  // An alias of the gate: whatever comes goes back in.
  let target = null;
  let rounds = 0;
  const alias = http.createServer((request, response) => {
    rounds += 1;
    const onward = http.request(target + request.url, { method: request.method, headers: { ...request.headers, host: 'alias' } }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise((listening) => alias.listen(0, '127.0.0.1', listening));
  const secretVars = secrets();
  const inner = mintKey(secretVars.FAREBOX_KEY_SECRETS, 'inner', 'k1');
  const own = await startGate({
    upstream: { url: `http://127.0.0.1:${alias.address().port}`, close() {} }, secretVars: { ...secretVars, OPENAI_API_KEY: inner.key },
  });
  target = own.url;
  try {
    const as = await own.customer('outer', '1');
    await own.admin('PUT', 'customers/inner', { currency: 'USD', limits: [] });
    await own.admin('PUT', 'customers/inner/keys/k1', { secret_sha256: inner.secretSha256 });
    const answer = await own.chat(as, {});
    const { error } = await answer.json();
    assert.deepEqual([answer.status, error.code, answer.headers.get('x-should-retry'), rounds], [508, 'loop_detected', 'false', 1]);
    const { spend, requests: [row] } = await own.until('outer', (status) => status.head.seq === 1, 'no record');
    assert.deepEqual([row.outcome, spend.held, spend.settled], ['voided', '0', '0']);
    assert.equal((await own.status('inner')).head.seq, 0);
  } finally {
    await own.stop();
    alias.close();
  }
});

/** Reads and forgets an answer, as fast as it comes; how many bytes it had. */
async function swallow(extra) {
  const answer = await gate.fetch('/v1/chat/completions', {
    method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, timeoutMs: 50_000,
    body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 50, ...say('one two'), ...extra }),
  });
  let length = 0;
  try {
    for await (const part of answer.body) length += part.length;
  } catch { /* cut: what came counts */ }
  return { answer, length };
}

async function growth(run) {
  const base = gate.rss();
  let peak = base;
  const looking = setInterval(() => { peak = Math.max(peak, gate.rss()); }, 20);
  const result = await run().finally(() => clearInterval(looking));
  return { ...result, grown: peak - base };
}

rule('S43: an answer that unpacks to a thousand times its length passes, is charged, and fills no memory', async () => {
  const zeros = Buffer.alloc(200 * MIB);
  const bombs = [['gzip', gzipSync(zeros)], ['br', brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } })]];
  for (const [coding, packed] of bombs) {
    for (const type of ['application/json', 'text/event-stream']) {
      const lines = [`content-type: ${type}`, `content-encoding: ${coding}`, `content-length: ${packed.length}`, 'connection: close'];
      upstream.answer = (socket) => socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\n\r\n`), packed]));
      const { answer, length, grown } = await growth(() => swallow({ stream: type !== 'application/json', stream_options: type === 'application/json' ? undefined : { include_usage: true } }));
      assert.match(upstream.requests.at(-1).head, /accept-encoding: identity/i, 'nobody asked for it');
      assert.ok(grown < 160 * MIB, `${coding} ${type}: ${(grown / MIB).toFixed(0)} MiB more`);
      assert.equal(length, zeros.length, `${coding} ${type}: all of it came`);
      const { cost, records: [record] } = await gate.bill(key, answer, 20_000);
      assert.ok(record.class === 'settled' && Number(cost) > 0, `${coding} ${type}`);
      await answer.body?.cancel().catch(() => {});
    }
  }
  assert.equal((await gate.idle('acme')).spend.held, '0');
}, 240_000);

rule('S45: a line of a hundred megabytes passes as it comes, is charged, and is never held whole', async () => {
  const line = Buffer.alloc(MIB, 'x');
  upstream.answer = async (socket) => {
    socket.write(STREAM + piece('one') + 'data: {"choices":[{"index":0,"delta":{"content":"');
    for (let n = 0; n < 100; n += 1) if (!socket.write(line)) await new Promise((resolve) => socket.once('drain', resolve));
    socket.end();
  };
  const { answer, length, grown } = await growth(() => swallow({ stream: true, stream_options: { include_usage: true } }));
  assert.ok(length > 100 * MIB, `${length} bytes came`);
  assert.ok(grown < 100 * MIB, `${(grown / MIB).toFixed(0)} MiB more`);
  const { cost, records: [record] } = await gate.bill(key, answer, 20_000);
  assert.ok(record.class === 'settled' && Number(cost) > 0 && Number(quantity(record, 'output_total')) > 0);
  assert.ok(requestId(answer));
}, 120_000);

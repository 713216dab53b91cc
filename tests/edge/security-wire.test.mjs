// HTTP as attackers write it, byte for byte: one request is one request, it is routed by one reading
// of its address, and no header reaches what it should not. Numbered as in docs/faults.md.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { say, startGate, wiretap } from './gate.mjs';
import { startUpstream } from '../../examples/upstream/server.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const BODY = JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 5, ...say('hi') });
const CHUNKED = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
const LENGTH = `content-length: ${BODY.length}`;
const POST = 'POST /v1/chat/completions HTTP/1.1';
const rate = (amount) => ({ amount, per: '1000000' });
const BOOK = JSON.stringify({
  format: 'farebox-book-2', version: 'wire', currency: 'USD', effective_from: '2026-01-01T00:00:00Z',
  models: [
    { provider: 'openai', model: 'gpt-4o-mini', context_window: '128000', max_output_tokens: '16384', rates: { input_uncached: rate('0.15'), output_total: rate('0.6') } },
    { provider: 'openai', model: 'whisper-1', rates: { seconds: { amount: '0.0001', per: '1' } } },
  ],
});

let demo, tap, gate, key, auth;
before(async () => {
  demo = await startUpstream();
  tap = await wiretap(demo.url);
  gate = await startGate({ upstream: { ...demo, url: tap.url }, vars: { FAREBOX_BOOK: BOOK } });
  key = await gate.customer('acme', '10');
  auth = `authorization: Bearer ${key}`;
});
after(async () => {
  await gate?.stop();
  await tap?.close();
  await demo?.close();
});

/** Sends lines and a body as they are; answers every status that came back before the end, and the text. */
function send(lines, body = BODY) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(new URL(gate.url).port, '127.0.0.1');
    let text = '';
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ statuses: [...text.matchAll(/HTTP\/1\.[01] (\d+)/g)].map(([, status]) => Number(status)), text });
    };
    // A connection that is kept open has said all it will.
    const timer = setTimeout(() => (text === '' ? reject(new Error(`no answer to ${lines[0]}`)) : done()), 5_000);
    const whole = () => {
      const [head, rest] = text.split(/\r\n\r\n(.*)/s);
      const length = /content-length: (\d+)/i.exec(head)?.[1];
      if (length !== undefined ? rest?.length >= Number(length) : /\r\n0\r\n\r\n$/.test(rest ?? '')) setTimeout(done, 100);
    };
    socket.on('data', (part) => { text += part.toString('latin1'); whole(); });
    socket.on('close', done);
    socket.on('error', done);
    socket.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  });
}

/** Runs it; answers its statuses and how often the upstream was asked. */
async function asked(lines, body) {
  const hits = tap.exchanges.length;
  const { statuses, text } = await send(lines, body);
  return { statuses, text, hits: tap.exchanges.length - hits };
}

/** Refused, by whomever, and nobody upstream the wiser. */
async function refused(what, lines, body, wanted = [400]) {
  const { statuses, hits, text } = await asked(lines, body);
  assert.ok(statuses.length === 1 && wanted.includes(statuses[0]), `${what}: ${statuses} ${text.slice(0, 300)}`);
  assert.equal(hits, 0, what);
}

rule('S3: a Host that is no host, or two of them, reaches no upstream; where it reads as part of the address, that one is authorised too', async () => {
  for (const host of ['a b', 'a%2fb', '']) await refused(`host ${host}`, [POST, `host: ${host}`, auth, LENGTH], BODY, [400, 500]);
  // To the runtime these belong to the address: what it makes of both is the one that is routed.
  for (const host of ['a?b', 'a#b', 'a/b', 'a\\b', 'a?key=x', 'x/v1/farebox/health?']) {
    await refused(`host ${host}`, [POST, `host: ${host}`, auth, LENGTH], BODY, [404, 405]);
  }
  await refused('the operator\'s path', [POST, 'host: x/v1/farebox/admin/customers/acme?', auth, LENGTH], BODY, [403]);
  await refused('two hosts', [POST, 'host: x', 'host: y', auth, LENGTH], BODY, [400, 500]);
  await refused('no host', [POST, auth, LENGTH]);
  for (const host of ['x', 'x:8787', '[::1]:80', 'a-b.c_d.example', 'user:password@x']) {
    assert.deepEqual((await asked([POST, `host: ${host}`, auth, LENGTH])).statuses, [200], host);
  }
});

rule('S5: two Authorization headers are no key, even where one of them is', async () => {
  for (const other of [auth, 'authorization: Bearer nobody', 'authorization: Basic eDp5']) {
    await refused(other, [POST, 'host: x', other, auth, LENGTH], BODY, [400, 401]);
    await refused(other, [POST, 'host: x', auth, other, LENGTH], BODY, [400, 401]);
  }
});

rule('S22: a length beside chunks smuggles nothing: one request, one answer', async () => {
  const hidden = `GET /v1/farebox/health HTTP/1.1\r\nhost: x\r\n\r\n`;
  const { statuses, hits } = await asked([POST, 'host: x', auth, 'content-length: 4', 'transfer-encoding: chunked'], CHUNKED + hidden);
  assert.ok(statuses.length === 1 && [200, 400].includes(statuses[0]), `${statuses}`);
  assert.equal(hits, statuses[0] === 200 ? 1 : 0);
});

rule('S23, S24: a length or a coding that could be read in two ways is refused', async () => {
  for (const line of ['content-length: 5, 5', 'content-length: +5', 'content-length: -1', 'content-length: 0x5', 'content-length: 99999999999999999999']) {
    await refused(line, [POST, 'host: x', auth, line]);
  }
  await refused('two lengths', [POST, 'host: x', auth, 'content-length: 4', LENGTH]);
  await refused('no coding', [POST, 'host: x', auth, 'transfer-encoding: xchunked'], CHUNKED);
  // The same twice over is the same, and what ends in chunks is chunked.
  assert.deepEqual((await asked([POST, 'host: x', auth, LENGTH, LENGTH])).statuses, [200]);
  assert.deepEqual((await asked([POST, 'host: x', auth, 'transfer-encoding: identity, chunked'], CHUNKED)).statuses, [200]);
});

rule('S25: headers that are folded, spaced before their colon or hold a NUL are refused', async () => {
  for (const line of ['x-a: b\r\n c', 'x-a : b', 'x-a: \0', 'x-a\0: b', ': b', 'x a: b']) await refused(JSON.stringify(line), [POST, 'host: x', auth, line, LENGTH]);
});

rule('S26, S27: hop-by-hop headers stay here, and naming others among them takes nothing away', async () => {
  const { statuses, hits } = await asked([
    POST, 'host: x', auth, 'connection: authorization, upgrade, content-type, x-farebox-request-id', 'upgrade: h2c', 'http2-settings: AAMAAABkAARAAAAAAAIAAAAA',
    'te: trailers', 'trailer: x-a', 'keep-alive: timeout=9', 'proxy-connection: keep-alive', 'proxy-authorization: Basic canary', 'content-type: application/json', LENGTH,
  ]);
  assert.deepEqual([statuses, hits], [[200], 1]);
  const { headers } = tap.last();
  assert.equal(headers.authorization, 'Bearer sk-demo-upstream');
  assert.equal(headers['content-type'], 'application/json');
  for (const name of ['upgrade', 'http2-settings', 'te', 'trailer', 'keep-alive', 'proxy-connection', 'proxy-authorization']) assert.equal(headers[name], undefined, name);
  assert.doesNotMatch(headers.connection ?? '', /upgrade|authorization/i);
});

rule('S28: what is reflected cannot make a header of its own', async () => {
  const model = 'x\r\nset-cookie: canary=1\r\n\r\n<html>';
  for (const text of [JSON.stringify({ model, max_tokens: 5, ...say('hi') }), BODY.replace('{', '{"user":"a\\r\\nset-cookie: canary=1","')]) {
    const { text: answer } = await send([POST, 'host: x', auth, 'idempotency-key: \x01\x7f\xe9', 'x-farebox-request-id: canary', `content-length: ${text.length}`], text);
    const [head] = answer.split('\r\n\r\n');
    assert.doesNotMatch(head, /canary|set-cookie/i);
    assert.match(head, /^HTTP\/1\.1 (200|400)/);
  }
});

rule('S30: an address of 64 KB is refused, and a header of 200 KB goes nowhere', async () => {
  await refused('long address', [`POST /v1/chat/completions?${'x'.repeat(65_536)} HTTP/1.1`, 'host: x', auth, LENGTH], BODY, [414]);
  const { statuses, hits } = await asked([POST, 'host: x', auth, `x-a: ${'canary'.repeat(35_000)}`, LENGTH]);
  assert.ok([200, 400, 431].includes(statuses[0]));
  if (hits > 0) assert.ok(!JSON.stringify(tap.last().headers).includes('canary'));
});

rule('S31: an address is read once, whatever its form: routed, authorised and sent on as the same path', async () => {
  for (const path of ['/v1/x/../chat/completions', 'http://elsewhere.example/v1/chat/completions', '/v1/./chat/completions']) {
    const { statuses, hits } = await asked([`POST ${path} HTTP/1.1`, 'host: x', auth, LENGTH]);
    assert.deepEqual([statuses, hits], [[200], 1], path);
    assert.equal(tap.last().path, '/v1/chat/completions');
  }
  const admin = 'v1/farebox/admin/customers/acme';
  for (const path of [`/${admin}`, `http://x/${admin}`, `/v1/chat/completions/../../../${admin}`, `/v1/chat/completions/../../farebox/admin/customers/acme`]) {
    const { statuses } = await asked([`GET ${path} HTTP/1.1`, 'host: x', auth], '');
    assert.deepEqual(statuses, [403], path);
  }
  for (const path of [`//${admin}`, '/v1%2ffarebox/admin/customers/acme', '/v1/farebox%2fadmin/customers/acme', '/v1/chat/completions;x', '//v1/chat/completions', '/v1/%63hat/completions']) {
    const { statuses, hits } = await asked([`POST ${path} HTTP/1.1`, 'host: x', auth, LENGTH]);
    assert.ok(statuses[0] >= 400 && hits === 0, `${path}: ${statuses}`);
  }
});

rule('S40: a multipart body without a plain boundary, or full of what looks like one, is refused for that, at once', async () => {
  const form = (type, body) => ['POST /v1/audio/transcriptions HTTP/1.1', 'host: x', auth, `content-type: ${type}`, `content-length: ${Buffer.byteLength(body)}`];
  const part = (boundary, head, value) => `--${boundary}\r\ncontent-disposition: form-data; ${head}\r\n\r\n${value}\r\n`;
  const good = (boundary) => `${part(boundary, 'name="model"', 'whisper-1')}${part(boundary, 'name="file"; filename="a.wav"', 'sound')}--${boundary}--\r\n`;
  // What is refused below is refused for its boundary alone.
  for (const boundary of ['x', 'b'.repeat(70)]) {
    const type = `multipart/form-data; boundary=${boundary}`;
    const { statuses, hits } = await asked(form(type, good(boundary)), good(boundary));
    assert.deepEqual([statuses.length, hits], [1, 1], `a good form goes on: ${statuses}`);
  }
  const bad = async (type, body, says) => {
    const began = performance.now();
    const { statuses, hits, text } = await asked(form(type, body), body);
    const what = `${type.slice(0, 60)} ${body.slice(0, 20)}: ${text.slice(-300)}`;
    assert.deepEqual([statuses, hits], [[400], 0], what);
    assert.match(text, says, what);
    assert.ok(performance.now() - began < 2_000, what);
  };
  const notAForm = /not valid JSON/;
  await bad('multipart/form-data', good('x'), notAForm);
  await bad('multipart/form-data; boundary=', good(''), notAForm);
  await bad(`multipart/form-data; boundary=${'b'.repeat(71)}`, good('b'.repeat(71)), notAForm);
  await bad('multipart/form-data; boundary="a;b"', good('a;b'), notAForm);
  await bad('multipart/form-data; boundary=x; boundary=y', good('x'), notAForm);
  const noMatch = /do not match its boundary/;
  await bad('multipart/form-data; boundary=y', good('x'), noMatch);
  for (const body of ['-'.repeat(1_048_576), `--x\r\n${'\r\n--'.repeat(250_000)}`, good('x').repeat(10_000)]) {
    await bad('multipart/form-data; boundary=x', body, noMatch);
  }
  await bad('multipart/form-data; boundary=x', '--x\r\n'.repeat(200_000), /has no headers/);
  await bad('multipart/form-data; boundary=x', `${part('x', 'name="a[]"', '1').repeat(20_000)}--x--\r\n`, /more than \d+ parts/);
});

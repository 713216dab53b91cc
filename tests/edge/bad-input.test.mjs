// Whatever is sent: the right status in that API's own shape, the upstream untouched, nothing held,
// and no content in the log.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { refusal, requestId, say, startGate } from './gate.mjs';

const rule = (name, run, timeout = 60_000) => test(name, { timeout }, run);
const CANARY = 'canary-prompt-7f3a';
const MIB = 1024 * 1024;

let gate, key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', '100');
});
after(() => gate?.stop());

const APIS = {
  openai: { path: '/v1/chat/completions', model: 'gpt-4o-mini', bad: 'invalid_request_error' },
  anthropic: { path: '/v1/messages', model: 'claude-haiku-4-5', bad: 'invalid_request_error' },
};
const EACH = Object.entries(APIS);
const auth = (token = key) => ({ authorization: `Bearer ${token}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' });
const post = (path, body, headers = auth()) => gate.raw(path, { headers, body });

/** Runs `send`, and checks that neither the upstream nor the ledger noticed. */
async function untouched(send) {
  const [hits, before] = [gate.hits(), await gate.status('acme')];
  const result = await send();
  const { head, spend } = await gate.status('acme');
  assert.deepEqual({ hits: gate.hits(), head, spend }, { hits, head: before.head, spend: before.spend });
  return result;
}

async function refused(family, body, wanted, what) {
  const { status, code, kind, param, text } = await refusal(await post(APIS[family].path, body), family);
  assert.deepEqual([status, code], wanted, `${what ?? String(body).slice(0, 120)}: ${text}`);
  assert.ok(!text.includes(CANARY), text);
  return { kind, param };
}

rule('S32, S34, S35, S42: what is not one clear JSON object is a 400 that never reaches the upstream', async () => {
  const messages = `"messages":[{"role":"user","content":"${CANARY}"}]`;
  await untouched(async () => {
    for (const [family, { model, bad }] of EACH) {
      const base = `"model":"${model}","max_tokens":9,${messages}`;
      const bodies = [
        '', ' ', 'null', 'true', '0', '""', `"${CANARY}"`, '[]', `[{${base}}]`, '{', '}', '{}', `{${base}`, `{${base},}`, `{${base}}}`, `{${base}} x`, `{${base}}{}`,
        `{'model':'${model}',${messages}}`, `{${base},/* c */"x":1}`, `{${base},"x":NaN}`, `{${base},"x":Infinity}`, `{${base},"x":01}`, `{${base},"x":.5}`, `{${base},"x":+1}`,
        `{${base},"x":0x10}`, `{${base},"x":"\n"}`, `{${base},"x":"\u0000"}`, `{${base},"x":"\\ud800"}`, `{${base},"x":"\\x41"}`, `{${base},"x":tru}`, `\uFEFF{${base}}`,
        `{${base},"max_tokens":100000}`, `{${base},"max_tok\\u0065ns":100000}`, `{${base},"\\u006dodel":"gpt-4o"}`, `{${base},"metadata":{"a":1,"\\u0061":2}}`,
        `{"model":"${model}","max_tokens":9,"messages":[{"role":"user","content":"a","content":"${CANARY}"}]}`, `{${base},"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
        `{${base},"x":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`, `{${base},"stream":true,"stream":false}`,
      ];
      for (const body of bodies) {
        const { kind } = await refused(family, body, [400, 'invalid_request']);
        assert.equal(kind, bad);
      }
      for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xc0, 0xaf]]) {
        const body = Buffer.concat([Buffer.from(`{${base},"x":"`), Buffer.from(bytes), Buffer.from('"}')]);
        await refused(family, body, [400, 'invalid_request'], `bytes ${bytes}`);
      }
    }
  });
});

rule('S28, S33: a field of the wrong kind is a 400 that names it', async () => {
  const wrong = {
    model: [undefined, null, '', 5, {}, ['gpt-4o-mini'], 'x'.repeat(257), 'gpt\u0000-4o', 'gpt\n4o'],
    messages: [undefined, null, 'hi', {}, 5],
    max_tokens: [0, -1, 1.5, '5', true, [], {}, 1e30, Number.MIN_VALUE],
    stream: ['yes', 1, 0, {}, []],
    n: [0, -1, 1.5, '2', true],
    service_tier: [5, {}, 'x'.repeat(33)],
  };
  await untouched(async () => {
    for (const [family, { model }] of EACH) {
      for (const [field, values] of Object.entries(wrong)) {
        for (const value of values) {
          const body = JSON.stringify({ model, max_tokens: 9, ...say(CANARY), [field]: value });
          const { param } = await refused(family, body, [400, 'invalid_request']);
          if (family === 'openai') assert.equal(param, field, body);
        }
      }
      const text = `{"model":"${model}","messages":[],"max_tokens":`;
      for (const odd of ['1e3', '1.0', '18446744073709551616', '-0', '1E1', '9'.repeat(400)]) await refused(family, `${text}${odd}}`, [400, 'invalid_request']);
    }
    for (const options of [true, 'x', [], 5, { include_usage: 'yes' }, { include_usage: 1 }]) {
      await refused('openai', JSON.stringify({ model: 'gpt-4o-mini', stream: true, ...say('hi'), stream_options: options }), [400, 'invalid_request']);
    }
    await refused('anthropic', JSON.stringify({ model: 'claude-haiku-4-5', ...say('hi') }), [400, 'invalid_request'], 'max_tokens is required there');
  });
});

rule('S36: what the price book does not sell is refused by name, not forwarded', async () => {
  await untouched(async () => {
    for (const [family, { model }] of EACH) {
      for (const unknown of ['gpt-9', 'x', `${model} `, model.toUpperCase(), `${model}\u200b`, "' OR 1=1 --", '../../etc/passwd', '__proto__', 'constructor', `${model}-latest`]) {
        await refused(family, JSON.stringify({ model: unknown, max_tokens: 9, ...say(CANARY) }), [400, 'model_not_priced']);
      }
      await refused(family, JSON.stringify({ model, max_tokens: 9, ...say('hi'), service_tier: 'priority' }), [400, 'feature_not_priced']);
      await refused(family, JSON.stringify({ model, max_tokens: 9, ...say('hi'), tools: [{ type: 'web_search_20250305', name: 'web_search' }] }), [400, 'feature_not_priced']);
    }
    for (const extra of [{ modalities: ['text', 'audio'] }, { web_search_options: {} }, { audio: { voice: 'x' } }]) {
      await refused('openai', JSON.stringify({ model: 'gpt-4o-mini', ...say('hi'), ...extra }), [400, 'feature_not_priced']);
    }
    const endless = { max_tokens: Number.MAX_SAFE_INTEGER, n: Number.MAX_SAFE_INTEGER };
    const { status, code } = await refusal(await post('/v1/chat/completions', JSON.stringify({ model: 'gpt-4o-mini', ...say('hi'), ...endless })), 'openai');
    assert.ok([400, 402].includes(status), `${status} ${code}`);
  });
});

rule('a model of one provider is not sent to another\'s route unnoticed', async () => {
  // Priced by the book and sent to the upstream that the book names, in the wrong shape: that
  // upstream refuses it, and the refusal costs nothing.
  const answer = await post('/v1/messages', JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 5, ...say('hi') }));
  assert.ok(answer.status >= 400 || (await gate.bill(key, answer)).records.length === 1);
});

rule('S41: a body over 16 MiB is a 413, whether or not its length is stated, and one under it is served', async () => {
  const body = (size, model) => {
    const [head, tail] = JSON.stringify({ model, max_tokens: 9, ...say(`${CANARY}#`) }).split('#');
    return head + 'x'.repeat(size - head.length - tail.length) + tail;
  };
  for (const [family, { path, model }] of EACH) {
    await untouched(async () => {
      for (const large of [body(20 * MIB, model), body(16 * MIB + 1, model), body(20 * MIB, model).match(/.{1,1000000}/gs)]) {
        const { status, code } = await refusal(await post(path, large), family);
        assert.deepEqual([status, code], [413, 'request_too_large']);
      }
    });
    assert.equal((await post(path, body(16 * MIB, model))).status, 200);
    assert.equal((await post(path, body(2 * MIB, model).match(/.{1,100000}/gs))).status, 200);
  }
});

rule('S39: a compressed body is a 415 that says so', async () => {
  await untouched(async () => {
    for (const [family, { path, model }] of EACH) {
      for (const encoding of ['gzip', 'GZIP', 'br', 'deflate', 'zstd', 'gzip, identity', 'x']) {
        const answer = await post(path, JSON.stringify({ model, max_tokens: 9, ...say('hi') }), { ...auth(), 'content-encoding': encoding });
        const { status, code } = await refusal(answer, family);
        assert.deepEqual([status, code], [415, 'unsupported_encoding']);
      }
    }
  });
  assert.equal((await post('/v1/chat/completions', JSON.stringify({ model: 'gpt-4o-mini', ...say('hi') }), { ...auth(), 'content-encoding': 'identity' })).status, 200);
});

rule('S31: other methods are a 405 and other paths a 404, in the shape of the API asked', async () => {
  await untouched(async () => {
    for (const [family, { path }] of EACH) {
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const answer = await gate.raw(path, { method, headers: auth() });
        const { status, code } = await refusal(answer, family);
        assert.deepEqual([status, code], [405, 'method_not_allowed']);
      }
      assert.equal((await gate.raw(path, { method: 'HEAD', headers: auth() })).status, 405);
    }
    const paths = {
      openai: ['/v1/', '/v1/models', '/v1/chat/completions/x', '/v1/engines', '/v1/uploads', '/v1/CHAT/completions', '/v1/chat%2Fcompletions', "/v1/'", '/v1/%00', '/v1/fareboxx'],
      anthropic: ['/v1/messages/batches/b/x', '/v1/messages/count_tokens/x'],
      own: ['/v1/farebox/', '/v1/farebox/x', '/v1/farebox/spend/x', '/v1/farebox/requests', '/v1/farebox/ADMIN/x'],
    };
    for (const [family, list] of Object.entries(paths)) {
      for (const path of list) {
        const { status, code } = await refusal(await post(path, JSON.stringify({ model: 'gpt-4o-mini', ...say(CANARY) })), family);
        assert.deepEqual([status, code], [404, 'not_found'], path);
      }
    }
  });
});

rule('a slash at the end or a query does not change the route; the query goes on, but for keys', async () => {
  for (const [, { path, model }] of EACH) {
    const answer = await post(`${path}?beta=true&api_key=${CANARY}&key=${CANARY}`, JSON.stringify({ model, max_tokens: 9, ...say('hi') }));
    assert.equal(answer.status, 200);
    assert.equal(gate.upstream.stats().last.path, `${path}?beta=true`);
    assert.equal((await post(`${path}/`, JSON.stringify({ model, max_tokens: 9, ...say('hi') }))).status, 200);
    assert.equal(gate.upstream.stats().last.path, path);
  }
});

rule('S1, S6: odd tokens are turned away on every route, each in its own words', async () => {
  const { token } = await gate.admin('POST', 'customers/acme/sessions', {});
  const odd = [undefined, '', 'x'.repeat(7_000), "'; DROP TABLE keys; --", 'fb_test_acme_k1', '../admin', 'é', 'null', 'Bearer', gate.secretVars.FAREBOX_ADMIN_TOKEN];
  await untouched(async () => {
    for (const value of odd) {
      const headers = value === undefined ? {} : { authorization: `Bearer ${value}` };
      for (const [family, path, method] of [
        ['openai', '/v1/chat/completions', 'POST'], ['anthropic', '/v1/messages', 'POST'], ['own', '/v1/farebox/spend', 'GET'], ['own', '/v1/farebox/book', 'GET'],
        ['own', '/v1/farebox/quote', 'POST'], ['own', '/v1/farebox/requests/00000000-0000-7000-8000-000000000000', 'GET'],
      ]) {
        const { status, code } = await refusal(await gate.raw(path, { method, headers, body: method === 'POST' ? '{}' : '' }), family);
        assert.deepEqual([status, code], [401, 'invalid_key'], `${path} ${String(value).slice(0, 40)}`);
      }
    }
    for (const value of [...odd.slice(0, -1), key, token, gate.secretVars.FAREBOX_ADMIN_TOKEN.slice(1), `${gate.secretVars.FAREBOX_ADMIN_TOKEN}x`]) {
      const headers = value === undefined ? {} : { authorization: `Bearer ${value}`, 'x-api-key': gate.secretVars.FAREBOX_ADMIN_TOKEN };
      const { status, code } = await refusal(await gate.raw('/v1/farebox/admin/customers/acme', { method: 'GET', headers }), 'own');
      assert.deepEqual([status, code], [403, 'forbidden'], String(value).slice(0, 40));
    }
  });
});

rule('S25: a header that is no header at all does not get through', async () => {
  for (const line of [`authorization: Bearer ${key}\0`, 'authorization: Bearer \0', `x-api-key: ${'x'.repeat(200_000)}`, `authorization: Bearer a\r\n b`]) {
    await untouched(() => new Promise((resolve, reject) => {
      const socket = net.connect(new URL(gate.url).port, '127.0.0.1');
      let text = '';
      const done = (run) => (value) => { socket.destroy(); run(value); };
      setTimeout(done(reject), 8_000, new Error('no answer and no end')).unref();
      socket.on('data', (part) => { text += part; if (/^HTTP\/1\.1 \d+/.test(text)) done(resolve)(); });
      socket.on('close', done(resolve));
      socket.on('error', done(resolve));
      socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n${line}\r\ncontent-length: 2\r\n\r\n{}`);
    }).then(() => {}));
  }
  assert.equal((await gate.chat(key, {})).status, 200);
});

rule('the operator\'s API refuses what it cannot mean, and changes nothing by it', async () => {
  const token = { authorization: `Bearer ${gate.secretVars.FAREBOX_ADMIN_TOKEN}` };
  const limit = { id: 'main', window: 'month', kind: 'hard', limit: '1' };
  const bad = [
    '', '[]', '{}', '{"currency":"USD"}', { currency: 'usd', limits: [] }, { currency: '', limits: [] }, { currency: 'EURO', limits: [] }, { currency: 'EUR', limits: [] },
    { currency: 'USD', limits: [{ ...limit, limit: '-1' }] }, { currency: 'USD', limits: [{ ...limit, limit: '1e3' }] }, { currency: 'USD', limits: [{ ...limit, limit: '' }] },
    { currency: 'USD', limits: [{ ...limit, limit: '9'.repeat(40) }] }, { currency: 'USD', limits: [{ ...limit, window: 'fortnight' }] }, { currency: 'USD', limits: [{ ...limit, kind: 'firm' }] },
    { currency: 'USD', limits: [limit, limit] }, { currency: 'USD', limits: [{ ...limit, id: 'Main' }] }, { currency: 'USD', limits: [{ ...limit, extra: 1 }] }, { currency: 'USD', limits: [], extra: 1 },
    { currency: 'USD', limits: Array.from({ length: 5_000 }, (_, n) => ({ ...limit, id: `l${n}` })) },
  ];
  await untouched(async () => {
    const { limits } = await gate.status('acme');
    for (const body of bad) {
      const answer = await gate.raw('/v1/farebox/admin/customers/acme', { method: 'PUT', headers: token, body: typeof body === 'string' ? body : JSON.stringify(body) });
      const { status, code } = await refusal(answer, 'own');
      assert.deepEqual([status, code], [400, 'invalid_request'], JSON.stringify(body).slice(0, 100));
    }
    for (const path of ['customers/ACME', 'customers/a.b', "customers/'", 'customers/%00', `customers/${'a'.repeat(33)}`, 'customers/acme/keys/K1', 'customers/%2e%2e%2fx']) {
      const { status } = await refusal(await gate.raw(`/v1/farebox/admin/${path}`, { method: 'PUT', headers: token, body: '{"currency":"USD","limits":[]}' }), 'own');
      assert.ok([400, 404].includes(status), path);
    }
    for (const body of ['{}', '{"secret_sha256":"x"}', `{"secret_sha256":"${'A'.repeat(64)}"}`]) {
      assert.equal((await refusal(await gate.raw('/v1/farebox/admin/customers/acme/keys/k2', { method: 'PUT', headers: token, body }), 'own')).status, 400);
    }
    assert.equal((await refusal(await gate.raw('/v1/farebox/admin/customers/acme/keys/nokey', { method: 'DELETE', headers: token }), 'own')).status, 400);
    assert.equal((await refusal(await gate.raw('/v1/farebox/requests/x', { method: 'GET', headers: auth() }), 'own')).status, 400);
    assert.deepEqual((await gate.status('acme')).limits, limits);
  });
});

rule('S7: without an admin token in the configuration there is no operator\'s API', async () => {
  const { FAREBOX_ADMIN_TOKEN, ...secretVars } = gate.secretVars;
  const bare = await startGate({ secretVars, upstream: gate.upstream });
  try {
    const answers = [];
    for (const headers of [{}, { authorization: `Bearer ${FAREBOX_ADMIN_TOKEN}` }, { authorization: 'Bearer ' }, { authorization: 'Bearer undefined' }]) {
      const { status, code, text, id } = await refusal(await bare.raw('/v1/farebox/admin/customers/acme', { method: 'GET', headers }), 'own');
      assert.deepEqual([status, code], [404, 'not_found']);
      answers.push(text.replaceAll(id, 'ID'));
    }
    const nothing = await bare.raw('/v1/farebox/nothing', { method: 'GET' });
    answers.push((await refusal(nothing, 'own')).text.replaceAll(requestId(nothing), 'ID'));
    assert.equal(new Set(answers).size, 1, 'not to be told from a path that never was');
  } finally {
    await bare.stop();
  }
});

rule('a crash cannot be asked for where it is not allowed', async () => {
  const answer = await post('/v1/chat/completions', JSON.stringify({ model: 'gpt-4o-mini', ...say('hi') }), { ...auth(), 'x-farebox-crash': '1' });
  assert.equal(answer.status, 200);
});

rule('S50: no content and no credential is in the log after all of this', async () => {
  const log = gate.logs.join('\n');
  for (const secret of [CANARY, key, key.split('_')[4], ...Object.values(gate.secretVars)]) assert.ok(!log.includes(secret), log.slice(0, 2_000));
});

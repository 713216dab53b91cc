// Starts a real gate for tests: the built Worker on workerd (through Miniflare, which brings R2,
// Durable Objects and assets), in front of the demo upstream. Everything on 127.0.0.1, free ports.

import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Miniflare, convertV4MiniflareOptions } from 'miniflare';
import { startUpstream } from '../../examples/upstream/server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The Worker under test; another build of it where the variable names its folder. */
const worker = process.env.FAREBOX_TEST_WORKER ?? join(root, 'build/worker');
const hex = (bytes) => randomBytes(bytes).toString('hex');
export const COMPATIBILITY = {
  compatibilityDate: '2026-11-01',
  compatibilityFlags: ['enable_request_signal', 'global_fetch_strictly_public'],
};

/** Fresh secrets for one gate. */
export function secrets() {
  const ring = () => `1:${hex(32)}`;
  return {
    FAREBOX_KEY_SECRETS: ring(),
    FAREBOX_RECORD_SECRETS: ring(),
    FAREBOX_SESSION_SECRETS: ring(),
    FAREBOX_ADMIN_TOKEN: hex(32),
    OPENAI_API_KEY: 'sk-demo-upstream',
    ANTHROPIC_API_KEY: 'sk-demo-upstream',
  };
}

/** The settings of a gate in front of `upstreamUrl`. */
export function settings(upstreamUrl, extra = {}) {
  const entry = (auth, secret) => ({ base_url: upstreamUrl, auth, secret });
  return {
    FAREBOX_ENV: 'dev',
    FAREBOX_UPSTREAMS: JSON.stringify({
      openai: entry('bearer', 'OPENAI_API_KEY'),
      anthropic: entry('x-api-key', 'ANTHROPIC_API_KEY'),
    }),
    FAREBOX_OUTBOX_DELAY_SECONDS: '0.2',
    ...extra,
  };
}

/** Mints an API key the way the engine does; written again here so that the format is pinned. */
export function mintKey(keySecrets, customer, keyId, { mode = 'test' } = {}) {
  const secret = randomBytes(20).toString('hex').slice(0, 32);
  const [number, hexSecret] = keySecrets.split(',').at(-1).split(':');
  const mac = createHmac('sha256', Buffer.from(hexSecret, 'hex'));
  for (const part of ['farebox-key-v1', mode, customer, keyId, secret]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(part));
    mac.update(length).update(part);
  }
  const key = `fb_${mode}_${customer}_${keyId}_${secret}_${number}${base32(mac.digest())}`;
  return { key, keyId, secretSha256: createHash('sha256').update(secret).digest('hex') };
}

function base32(bytes) {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  return bits.match(/.{1,5}/g).map((five) => letters[parseInt(five.padEnd(5, '0'), 2)]).join('');
}

/** The built Worker as it is deployed: its entry first, then every Wasm beside it. */
export function built() {
  const wasm = readdirSync(worker).filter((name) => name.endsWith('.wasm'));
  return [
    { type: 'ESModule', path: join(worker, 'index.js') },
    ...wasm.map((name) => ({ type: 'CompiledWasm', path: join(worker, name) })),
  ];
}

/** A gate, its upstream, and what tests need to steer and look at both. */
export async function startGate({ vars = {}, persist = null, secretVars = secrets(), upstream = null, database = true, modules = built(), wrapper = null } = {}) {
  const ownUpstream = upstream === null;
  upstream ??= await startUpstream({ port: 0 });
  const folder = persist ?? mkdtempSync(join(tmpdir(), 'farebox-test-'));
  const logs = [];
  const others = new Set(runtimes());
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    host: '127.0.0.1',
    port: 0,
    rootPath: root,
    modules: [
      // The text of a module that stands in front of the Worker.
      ...(wrapper === null ? [] : [{ type: 'ESModule', path: join(worker, 'wrapper.js'), contents: wrapper }]),
      ...modules,
    ],
    modulesRoot: worker,
    ...COMPATIBILITY,
    bindings: { ...settings(upstream.url, vars), ...secretVars },
    durableObjects: { LEDGER: { className: 'LedgerObject', useSQLite: true } },
    r2Buckets: { RECORDS: 'farebox-records' },
    d1Databases: database ? { DB: 'farebox' } : {},
    resourcePersistencePath: folder,
    assets: {
      directory: join(root, 'www'),
      routerConfig: { static_routing: { user_worker: ['/v1/*'] }, has_user_worker: true },
    },
    handleStructuredLogs: ({ message }) => logs.push(message),
  }));
  const url = (await miniflare.ready).origin;
  const [pid] = runtimes().filter((each) => !others.has(each));
  return new Gate({ miniflare, upstream, ownUpstream, url, pid, folder, keepFolder: persist !== null, secretVars, logs });
}

/** The process ids of every workerd that this process started; gates start one at a time. */
function runtimes() {
  const children = [];
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${entry}/stat`, 'utf8'));
      if (name === 'workerd' && Number(rest.split(' ')[1]) === process.pid) children.push(Number(entry));
    } catch { /* it ended while we looked */ }
  }
  return children;
}

class Gate {
  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Every test request has a deadline: this platform fails by hanging. */
  fetch(path, { timeoutMs = 20_000, signal, ...init } = {}) {
    const deadline = AbortSignal.timeout(timeoutMs);
    return fetch(this.url + path, { ...init, signal: signal ? AbortSignal.any([signal, deadline]) : deadline });
  }

  async admin(method, path, body) {
    const response = await this.fetch(`/v1/farebox/admin/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.secretVars.FAREBOX_ADMIN_TOKEN}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Creates a customer with one hard limit (a decimal string; null for none) and a key. */
  async customer(name, limit, { window = 'month', extraLimits = [] } = {}) {
    const limits = limit === null ? [] : [{ id: 'main', window, kind: 'hard', limit }];
    await this.admin('PUT', `customers/${name}`, { currency: 'USD', limits: [...limits, ...extraLimits] });
    const { key, keyId, secretSha256 } = mintKey(this.secretVars.FAREBOX_KEY_SECRETS, name, 'k1');
    await this.admin('PUT', `customers/${name}/keys/${keyId}`, { secret_sha256: secretSha256 });
    return key;
  }

  status(name) {
    return this.admin('GET', `customers/${name}`);
  }

  /** Polls until `check(status)` is true; the last status otherwise ends in the error. */
  async until(name, check, what, timeoutMs = 10_000) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const status = await this.status(name);
      if (check(status)) return status;
      if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(status.spend)} ${JSON.stringify(status.requests.slice(0, 3))}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Waits until nothing is held. */
  idle(name, timeoutMs) {
    return this.until(name, (status) => status.spend.open === 0, 'still held', timeoutMs);
  }

  chat(key, body, init = {}) {
    return this.fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...init.headers },
      body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'Say hi' }], ...body }),
      ...(init.signal ? { signal: init.signal } : {}),
    });
  }

  messages(key, body, init = {}) {
    return this.fetch('/v1/messages', {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json', 'anthropic-version': '2023-06-01', ...init.headers },
      body: JSON.stringify({ model: 'claude-haiku-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'Say hi' }], ...body }),
      ...(init.signal ? { signal: init.signal } : {}),
    });
  }

  /** One exchange with the gate, byte for byte; see [`raw`]. */
  raw(path, options) {
    return raw(this.url + path, options);
  }

  /** What was charged for an answer: `{cost, records}`, waiting until the record is written. */
  async bill(key, answer, timeoutMs = 10_000) {
    const id = requestId(answer);
    const end = Date.now() + timeoutMs;
    for (;;) {
      const response = await this.fetch(`/v1/farebox/requests/${id}`, { headers: { authorization: `Bearer ${key}` } });
      const text = await response.text();
      if (response.ok) {
        const { cost, records } = JSON.parse(text);
        return { cost, records: records.map(({ record }) => record) };
      }
      if (response.status !== 404 || Date.now() > end) throw new Error(`no bill for ${id}: ${response.status} ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  /** How many requests have reached the upstream. */
  hits() {
    return this.upstream.stats().requests;
  }

  /** Resident memory of the runtime's process, in bytes. */
  rss() {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) * 1024;
  }

  /** Every archived line of a customer, in order. */
  async archive(name) {
    const bucket = await this.miniflare.getR2Bucket('RECORDS');
    const listed = await bucket.list({ prefix: `records/${name}/` });
    const bodies = await Promise.all(listed.objects.map(async ({ key }) => (await bucket.get(key)).text()));
    return bodies.join('').split('\n').filter(Boolean);
  }

  async stop() {
    await this.miniflare.dispose();
    if (this.ownUpstream) await this.upstream.close();
    if (!this.keepFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A user message with directives for the demo upstream. */
export const say = (text) => ({ messages: [{ role: 'user', content: text }] });

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `promise`, or an error that says what did not come in time. */
export const within = (ms, promise, what) => Promise.race([
  promise, new Promise((_, reject) => { setTimeout(reject, ms, new Error(`${what} within ${ms} ms`)).unref(); }),
]);

/** The gate's request id on an answer of `fetch` or `raw`. */
export const requestId = ({ headers }) => headers.get?.('x-farebox-request-id') ?? headers['x-farebox-request-id'];

/** One quantity of a record, as a string; undefined where the record does not have it. */
export const quantity = (record, meter) => record.quantities.find((each) => each.meter === meter)?.quantity;

/**
 * One exchange over plain node:http: nothing decompressed, no header added but the transport's.
 * A body that is a list goes out in chunks, without a length. Ends with whatever came, and
 * `complete` says whether the answer was whole.
 */
export function raw(url, { method = 'POST', headers = {}, body = '', timeoutMs = 20_000, lenient = false } = {}) {
  return new Promise((resolve, reject) => {
    const chunked = Array.isArray(body);
    const length = chunked ? {} : { 'content-length': Buffer.byteLength(body) };
    const request = http.request(url, { method, headers: { ...length, ...headers }, agent: false, insecureHTTPParser: lenient });
    const timer = setTimeout(() => request.destroy(new Error(`no answer from ${url} in ${timeoutMs} ms`)), timeoutMs);
    let answered = false;
    request.on('error', (error) => answered || (clearTimeout(timer), reject(error)));
    request.on('response', (answer) => {
      answered = true;
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', () => {}); // 'close' follows
      answer.on('close', () => {
        clearTimeout(timer);
        request.destroy();
        const { statusCode: status, headers: received, rawHeaders, complete } = answer;
        resolve({ status, headers: received, rawHeaders, complete, body: Buffer.concat(parts) });
      });
    });
    if (chunked) for (const part of body) request.write(part);
    request.end(chunked ? undefined : body);
  });
}

/** The three ways a stream takes through the gate; `delta` finds its pieces of content. */
const CHAT = { path: '/v1/chat/completions', model: 'gpt-4o-mini', delta: /"delta":\{"content":"[^"]/g };
const MESSAGES = { path: '/v1/messages', model: 'claude-haiku-4-5', delta: /"type":"content_block_delta"/g };
export const WAYS = {
  'openai, usage asked for': { ...CHAT, extra: { stream: true, stream_options: { include_usage: true } } },
  'openai, usage taken out': { ...CHAT, extra: { stream: true } },
  anthropic: { ...MESSAGES, extra: { stream: true } },
};
export const WHOLE = { openai: { ...CHAT, extra: {} }, anthropic: { ...MESSAGES, extra: {} } };

/** Sends a request whose answer the caller reads, or leaves. */
export function openRequest(gate, key, text, { path, model, extra, max_tokens = 10_000 }) {
  const body = JSON.stringify({ model, max_tokens, ...say(text), ...extra });
  const headers = { authorization: `Bearer ${key}`, 'anthropic-version': '2023-06-01', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const request = http.request(gate.url + path, { method: 'POST', headers, agent: false });
  request.on('error', () => {}); // leaving is no fault
  const answered = new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('close', () => reject(new Error('closed without an answer')));
    setTimeout(() => reject(new Error('no answer in 20 s')), 20_000).unref();
  });
  answered.catch(() => {}); // a caller that leaves does not wait for it
  request.end(body);
  return {
    answered,
    hangUp: () => request.destroy(),
    /** A reset. A mere FIN says only that nothing more will be sent, and shows at the next write. */
    leave: () => request.socket.resetAndDestroy(),
  };
}

/** A stream, read as it comes. */
export async function openStream(gate, key, text, way) {
  const { answered, ...ways } = openRequest(gate, key, text, way);
  const answer = await answered;
  let received = '';
  let wake = () => {};
  answer.setEncoding('latin1');
  answer.on('data', (piece) => { received += piece; wake(); });
  answer.on('error', () => {});
  const over = new Promise((resolve) => answer.on('close', () => { wake(); resolve(answer.complete); }));
  const deltas = () => (received.match(way.delta) ?? []).length;
  return {
    ...ways, headers: answer.headers, status: answer.statusCode, deltas,
    /** Whether it came to its end. */
    over,
    get text() { return received; },
    /** Waits until `n` pieces of content have come. */
    async until(n, ms = 10_000) {
      const end = Date.now() + ms;
      while (deltas() < n) {
        assert.ok(Date.now() < end && !answer.closed, `${deltas()} of ${n} pieces came`);
        await Promise.race([new Promise((resolve) => { wake = resolve; }), sleep(100)]);
      }
    },
  };
}

/** A pass-through in front of `target` that keeps every exchange: what was sent, what came back. */
export async function wiretap(target) {
  const exchanges = [];
  const server = http.createServer((request, response) => {
    const exchange = { method: request.method, path: request.url, headers: request.headers, sent: [], status: 0, came: [] };
    exchanges.push(exchange);
    request.on('data', (part) => exchange.sent.push(part));
    const onward = http.request(target + request.url, { method: request.method, headers: request.headers }, (answer) => {
      exchange.status = answer.statusCode;
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.on('data', (part) => exchange.came.push(part));
      answer.on('error', () => response.destroy());
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    exchanges,
    /** The newest exchange, its bytes joined. */
    last() {
      const { sent, came, ...rest } = exchanges.at(-1);
      return { ...rest, sent: Buffer.concat(sent), came: Buffer.concat(came) };
    },
    close: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}

/** Whose shape an error must have. */
const ERRORS = {
  openai(error, id) {
    assert.deepEqual(Object.keys(error.error).filter((name) => name !== 'details').sort(), ['code', 'message', 'param', 'type']);
    return { code: error.error.code, kind: error.error.type, details: error.error.details, message: error.error.message, param: error.error.param };
  },
  anthropic(error, id) {
    assert.equal(error.type, 'error');
    assert.equal(error.request_id, id);
    const { type: kind, message, details } = error.error;
    return { code: details.error_code, kind, details, message };
  },
  google(error, id, status) {
    const { code, message, status: kind, details: [info] } = error.error;
    assert.deepEqual([code, info['@type'], info.metadata.request_id], [status, 'type.googleapis.com/google.rpc.ErrorInfo', id]);
    return { code: info.reason.toLowerCase(), kind, details: info.details, message };
  },
  plain(error, id) {
    const { code, message, error: other, err_msg: third, detail, details, request_id: own } = error;
    assert.deepEqual([other, third, detail.message, own], [message, message, message, id]);
    return { code, kind: detail.status, details, message };
  },
  own(error, id, status) {
    assert.deepEqual([error.request_id, error.status], [id, status]);
    assert.match(error.type, /^https:/);
    return { code: error.code, kind: error.type, details: error.details, message: error.detail };
  },
};

/** Reads a refusal, of `fetch` or `raw`, and checks that it has that API's own shape and its ids. */
export async function refusal(answer, family) {
  const header = (name) => (answer.headers.get ? answer.headers.get(name) : answer.headers[name] ?? null);
  const text = answer.text ? await answer.text() : answer.body.toString();
  const id = header('x-farebox-request-id');
  assert.match(id ?? '', /^[0-9a-f-]{36}$/, `no request id on ${answer.status} ${text}`);
  const own = { openai: 'x-request-id', anthropic: 'request-id', bedrock: 'x-amzn-requestid' }[family];
  if (own) assert.equal(header(own), id);
  assert.equal(header('content-type'), family === 'own' ? 'application/problem+json' : 'application/json');
  if (family === 'bedrock') assert.match(header('x-amzn-errortype') ?? '', /Exception$/);
  const read = ERRORS[family === 'bedrock' ? 'plain' : family](JSON.parse(text), id, answer.status);
  assert.ok(read.message.length > 10, text);
  return { status: answer.status, id, text, header, ...read };
}

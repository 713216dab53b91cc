// Starts a real gate for tests: the built Worker on workerd (through Miniflare, which brings R2,
// Durable Objects and assets), in front of the demo upstream. Everything on 127.0.0.1, free ports.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Miniflare, convertV4MiniflareOptions } from 'miniflare';
import { startUpstream } from '../../examples/upstream/server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const hex = (bytes) => randomBytes(bytes).toString('hex');
export const COMPATIBILITY = {
  compatibilityDate: '2026-11-01',
  compatibilityFlags: ['enable_request_signal'],
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

/** A gate, its upstream, and what tests need to steer and look at both. */
export async function startGate({ vars = {}, persist = null, secretVars = secrets(), upstream = null } = {}) {
  const ownUpstream = upstream === null;
  upstream ??= await startUpstream({ port: 0 });
  const folder = persist ?? mkdtempSync(join(tmpdir(), 'farebox-test-'));
  const logs = [];
  const miniflare = new Miniflare(convertV4MiniflareOptions({
    host: '127.0.0.1',
    port: 0,
    rootPath: root,
    modules: [
      { type: 'ESModule', path: join(root, 'build/worker/index.js') },
      { type: 'CompiledWasm', path: join(root, 'build/worker/farebox_bg.wasm') },
    ],
    modulesRoot: join(root, 'build/worker'),
    ...COMPATIBILITY,
    bindings: { ...settings(upstream.url, vars), ...secretVars },
    durableObjects: { LEDGER: { className: 'LedgerObject', useSQLite: true } },
    r2Buckets: { RECORDS: 'farebox-records' },
    resourcePersistencePath: folder,
    assets: {
      directory: join(root, 'www'),
      routerConfig: { static_routing: { user_worker: ['/v1/*'] }, has_user_worker: true },
    },
    handleStructuredLogs: ({ message }) => logs.push(message),
  }));
  const url = (await miniflare.ready).origin;
  return new Gate({ miniflare, upstream, ownUpstream, url, folder, keepFolder: persist !== null, secretVars, logs });
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

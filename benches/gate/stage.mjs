// Everything a measurement needs, each in its own process: the demo upstream, the bucket, and the
// contenders — the floor, the gate, and further gates to compare with.

import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { mintKey, secrets, settings } from '../../tests/edge/gate.mjs';
import { Bucket } from './r2-stand-in.mjs';
import { WORKER, filesOf, floorConfig, gateConfig, startWorkerd } from './workerd.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const UPSTREAM_KEY = 'sk-demo-upstream';
const CUSTOMER = 'bench';
const SETTLE_MS = 30_000;
const OUTBOX_SECONDS = '1'; // the default is 5; a bench waits for it after every round
const LIMIT = '1000000'; // dollars: never reached

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a node program that prints `{"listening": url}` when it is ready. */
async function program(file, args) {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    new Promise((resolve) => createInterface(child.stdout).once('line', (first) => resolve([first]))),
    new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`${file} ended: ${code}`)))),
  ]);
  return { pid: child.pid, url: JSON.parse(line).listening, stop: () => child.kill() };
}

export class Stage {
  /**
   * @param {Record<string, string>} [variants] gates by name, each the folder of a built Worker;
   *   `gate` is the project's own build unless it is named here
   */
  static async open(variants = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'farebox-bench-'));
    // Copies: whoever rebuilds meanwhile does not change what is measured.
    const workers = {};
    for (const [name, built] of Object.entries({ gate: WORKER, ...variants })) {
      workers[name] = join(folder, `worker-${name}`);
      mkdirSync(workers[name]);
      for (const file of filesOf(built)) copyFileSync(join(built, file), join(workers[name], file));
    }
    const upstream = await program(join(here, '../../examples/upstream/server.mjs'), ['--port', '0']);
    return new Stage({ folder, upstream, workers });
  }

  constructor(parts) {
    Object.assign(this, parts);
    this.started = 0;
  }

  /** The names of what competes, the floor first. */
  get names() {
    return ['floor', ...Object.keys(this.workers)];
  }

  /** Starts a contender in a fresh process with empty storage. */
  async start(name, options) {
    const folder = join(this.folder, `${name}-${(this.started += 1)}`);
    if (name !== 'floor') return Gate.start(folder, this.workers[name], this.upstream.url, options);
    return new Floor(await startWorkerd(floorConfig(folder, this.upstream.url), options));
  }

  /** The processes that are part of the bench, beside the contenders. */
  get pids() {
    return [process.pid, this.upstream.pid];
  }

  close() {
    this.upstream.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

class Floor {
  constructor(workerd) {
    Object.assign(this, { workerd, pids: [workerd.pid] });
  }

  headers() {
    return { authorization: `Bearer ${UPSTREAM_KEY}`, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' };
  }

  settled() {
    return sleep(300); // nothing to settle; sockets close
  }

  stop() {
    return this.workerd.stop();
  }
}

class Gate {
  static async start(folder, worker, upstreamUrl, { customer = true, ...options } = {}) {
    const bucketFolder = join(folder, 'bucket');
    mkdirSync(bucketFolder, { recursive: true });
    const bucket = await program(join(here, 'r2-stand-in.mjs'), ['--folder', bucketFolder]);
    const secretVars = secrets();
    const vars = { ...settings(upstreamUrl, { FAREBOX_OUTBOX_DELAY_SECONDS: OUTBOX_SECONDS }), ...secretVars };
    const config = gateConfig(folder, { vars, bucketPort: new URL(bucket.url).port, worker });
    const lines = [];
    const workerd = await startWorkerd(config, { ...options, log: (line) => lines.push(line) });
    const gate = new Gate({ workerd, bucket, secretVars, lines, archive: new Bucket(bucketFolder), expected: 0 });
    if (customer) await gate.#open();
    return gate;
  }

  constructor(parts) {
    Object.assign(this, parts);
    this.pids = [this.workerd.pid, this.bucket.pid];
  }

  async #open() {
    await this.#admin('PUT', `customers/${CUSTOMER}`, {
      currency: 'USD',
      limits: [{ id: 'main', window: 'month', kind: 'hard', limit: LIMIT }],
    });
    const { key, keyId, secretSha256 } = mintKey(this.secretVars.FAREBOX_KEY_SECRETS, CUSTOMER, 'k1');
    await this.#admin('PUT', `customers/${CUSTOMER}/keys/${keyId}`, { secret_sha256: secretSha256 });
    this.key = key;
  }

  async #admin(method, path, body) {
    const response = await fetch(`${this.workerd.url}/v1/farebox/admin/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.secretVars.FAREBOX_ADMIN_TOKEN}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  headers() {
    return { authorization: `Bearer ${this.key}`, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' };
  }

  /**
   * Waits until `requests` more requests are settled and their records archived. Looked up in the
   * bucket's folder, so that waiting costs the gate nothing.
   */
  async settled(requests) {
    this.expected += requests;
    const until = performance.now() + SETTLE_MS;
    const last = () => Number(this.archive.keys().at(-1)?.match(/-(\d+)\.ndjson$/)?.[1] ?? 0);
    while (last() < this.expected) {
      if (performance.now() > until) throw new Error(`not settled: ${last()} of ${this.expected}\n${this.lines.slice(-5).join('\n')}`);
      await sleep(100);
    }
  }

  /** Makes sure that nothing is held any more, and that each request left one record. */
  async audit() {
    const { spend, head } = await this.#admin('GET', `customers/${CUSTOMER}`);
    if (spend.open !== 0 || head.seq !== this.expected) {
      throw new Error(`the ledger does not add up: ${spend.open} open, ${head.seq} records of ${this.expected}`);
    }
  }

  async stop() {
    await this.workerd.stop();
    this.bucket.stop();
  }
}

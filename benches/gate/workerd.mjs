// Plain workerd, without Miniflare: what runs is the runtime and one Worker, so that its CPU and
// memory can be read from /proc and belong to nothing else.

import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { COMPATIBILITY } from '../../tests/edge/gate.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const WORKERD = join(root, 'node_modules/workerd/bin/workerd');
export const WORKER = join(root, 'build/worker');
/** The files of a built Worker, its entry first. */
export const filesOf = (worker) => ['index.js', ...readdirSync(worker).filter((name) => name.endsWith('.wasm'))];
const START_MS = 20_000;
const STOP_MS = 5_000;

/** The floor: a Worker that forwards, and nothing else. */
const FLOOR = `export default {
  async fetch(request, env) {
    const path = request.url.slice(request.url.indexOf('/', 8));
    if (path === '/v1/farebox/health') return new Response('ok');
    return fetch(env.UPSTREAM + path, { method: request.method, body: request.body, headers: request.headers });
  },
};
`;

const text = (value) => JSON.stringify(value);
const bindings = (vars) => Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);

const config = ({ modules, bound, namespaces = '', services = [] }) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
    ${services.join(',\n    ')}
  ],
  sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${modules.join(', ')}],
  compatibilityDate = ${text(COMPATIBILITY.compatibilityDate)},
  compatibilityFlags = ${text(COMPATIBILITY.compatibilityFlags)},
  bindings = [
    ${bound.join(',\n    ')}
  ],
  ${namespaces}
);
`;

/** Writes the floor's configuration into `folder` and answers its path. */
export function floorConfig(folder, upstreamUrl) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'floor.js'), FLOOR);
  const modules = ['(name = "floor.js", esModule = embed "floor.js")'];
  return write(folder, config({ modules, bound: bindings({ UPSTREAM: upstreamUrl }) }));
}

/**
 * Writes a gate's configuration into `folder` and answers its path. Storage lies in the folder too.
 * @param {{vars: object, bucketPort: number, worker?: string}} gate
 *   vars: settings and secrets; worker: the folder of a built Worker
 */
export function gateConfig(folder, { vars, bucketPort, worker = WORKER }) {
  const storage = join(folder, 'storage');
  mkdirSync(storage, { recursive: true });
  const [entry, ...wasm] = filesOf(worker);
  for (const file of [entry, ...wasm]) copyFileSync(join(worker, file), join(folder, file));
  return write(folder, config({
    modules: [
      `(name = ${text(entry)}, esModule = embed ${text(entry)})`,
      ...wasm.map((name) => `(name = ${text(name)}, wasm = embed ${text(name)})`),
    ],
    bound: [
      ...bindings(vars),
      '(name = "LEDGER", durableObjectNamespace = "LedgerObject")',
      '(name = "RECORDS", r2Bucket = "records")',
    ],
    namespaces: `durableObjectNamespaces = [(className = "LedgerObject", uniqueKey = "farebox-ledger", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),`,
    services: [
      `(name = "storage", disk = (path = ${text(storage)}, writable = true))`,
      `(name = "records", external = (address = "127.0.0.1:${bucketPort}", http = ()))`,
    ],
  }));
}

function write(folder, capnp) {
  const path = join(folder, 'config.capnp');
  writeFileSync(path, capnp);
  return path;
}

/** Starts workerd; resolves once it listens. `log` gets each line it writes. */
export async function startWorkerd(configPath, { inspect = false, log = () => {} } = {}) {
  const flags = inspect ? ['--inspector-addr=127.0.0.1:0'] : [];
  const spawnedAt = performance.now();
  const child = spawn(WORKERD, ['serve', configPath, '--control-fd=3', ...flags], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', log);
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
  const ports = await new Promise((resolve, reject) => {
    const found = {};
    const timer = setTimeout(() => reject(new Error('workerd did not start in time')), START_MS);
    ended.then((how) => reject(new Error(`workerd ended at once: ${how}`)));
    createInterface(child.stdio[3]).on('line', (line) => {
      const { event, socket, port } = JSON.parse(line);
      found[event === 'listen-inspector' ? 'inspector' : socket] = port;
      if (found.main === undefined || (inspect && found.inspector === undefined)) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  return {
    pid: child.pid,
    spawnedAt,
    url: `http://127.0.0.1:${ports.main}`,
    inspector: ports.inspector,
    /** Resolves with the exit code, or the signal's name, once the process is gone. */
    ended,
    /** Ends the process; 'SIGKILL' is what a crash is. */
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const hard = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(hard);
    },
  };
}

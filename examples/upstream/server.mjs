// Demo upstream: a stand-in for the OpenAI and Anthropic APIs, without a model.
// As a library: `startUpstream()`. As a program: `node server.mjs --help`.

import { realpathSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import * as anthropic from './anthropic.mjs';
import { Control } from './control.mjs';
import { ID, parseDirectives } from './directives.mjs';
import { Exchange } from './exchange.mjs';
import { nextId } from './ids.mjs';
import * as openai from './openai.mjs';
import { makePlan } from './plan.mjs';
import { Problem } from './problem.mjs';
import { sendJson, sendStream } from './send.mjs';

const MAX_BODY = 32 * 1024 * 1024;
// Longer than any client keeps an idle connection, so that it is never us who
// close one just as a request is sent on it.
const KEEP_ALIVE_MS = 75_000;
const NOWHERE = 'http://127.0.0.1:1/';

// Headers a gateway must not hand on.
const UNWANTED_HEADERS = { server: 'demo', 'set-cookie': '__demo=upstream; Path=/; HttpOnly' };

/**
 * @param {{port?: number, host?: string, key?: string, gapMs?: number}} [options]
 *   gapMs: pause between chunks where a request does not say `gap_ms`
 */
export async function startUpstream({ port = 0, host = '127.0.0.1', key = 'sk-demo-upstream', gapMs = 0 } = {}) {
  const control = new Control();
  const settings = { key, gapMs };
  const server = createServer({ noDelay: true, keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    const [path] = req.url.split('?', 1);
    if (path.startsWith('/control/')) serveControl(control, req, res, path);
    else serveApi(control, settings, req, res, path);
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const bound = server.address();
  const shownHost = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${shownHost}:${bound.port}`,
    port: bound.port,
    stats: () => control.stats(),
    reset: () => control.reset(),
    ack: (id) => control.ack(id),
    release: (id) => control.release(id),
    lockstep: (id) => control.lockstep(id),
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

// ---- the providers' routes

async function serveApi(control, settings, req, res, path) {
  const exchange = new Exchange(req, res);
  const provider = providerOf(req, path);
  control.track(exchange, path);
  try {
    const body = await readBody(req);
    control.remember(req, body);
    await answer(control, settings, provider, exchange, path, body);
  } catch (error) {
    await sendProblem(provider, exchange, error);
  }
}

// A path of neither API is answered in the manner of the client that asked.
function providerOf(req, path) {
  if (path === openai.path) return openai;
  const spoken = path.startsWith(anthropic.path) || req.headers['anthropic-version'] || req.headers['x-api-key'];
  return spoken ? anthropic : openai;
}

async function answer(control, settings, provider, exchange, path, body) {
  const { req } = exchange;
  const isModels = req.method === 'GET' && path === '/v1/models';
  if (!isModels && !(req.method === 'POST' && path === provider.path)) throw provider.noRoute(req.method, path);
  provider.authorise(req.headers, settings.key);
  if (isModels) {
    await sendJson(exchange, 200, headersOf(provider, exchange), provider.modelList());
    return;
  }
  const request = provider.readRequest(parseBody(provider, body), req.headers);
  const d = parseDirectives(request.lastUserText, provider.refusedDirectives);
  exchange.directives = d;
  if (d.hold) await control.hold(d.hold, exchange);
  if (d.first_byte_ms) await exchange.sleep(d.first_byte_ms);
  if (exchange.closed) return;
  if (d.redirect) sendRedirect(provider, exchange);
  else await answerOrFail(control, settings, provider, exchange, request);
}

async function answerOrFail(control, settings, provider, exchange, request) {
  const d = exchange.directives;
  if (d.leak) throw provider.leak(exchange.req.headers);
  if (control.mustFail(d)) throw provider.failure(d.status);
  const plan = makePlan(request, d);
  const headers = headersOf(provider, exchange);
  if (!request.stream) {
    await sendJson(exchange, 200, headers, provider.wholeAnswer(request, plan, d));
    return;
  }
  const lock = d.lockstep ? control.joinLockstep(d.lockstep, exchange) : null;
  try {
    const pace = { gapMs: d.gap_ms ?? settings.gapMs, lock };
    await sendStream(exchange, headers, provider.streamScript(request, plan, d), plan, pace);
  } finally {
    lock?.leave();
  }
}

function sendRedirect(provider, exchange) {
  exchange.res.writeHead(307, { ...headersOf(provider, exchange), location: NOWHERE, 'content-length': 0 });
  exchange.res.end();
}

async function sendProblem(provider, exchange, error) {
  if (exchange.closed || exchange.req.errored) return; // the client left
  if (exchange.res.headersSent) {
    exchange.destroy();
    return;
  }
  const problem = error instanceof Problem ? error : unforeseen(provider, error);
  const requestId = nextId('req_');
  const headers = headersOf(provider, exchange, requestId);
  if (problem.status === 429) headers['retry-after'] = '1';
  if (!exchange.req.complete) headers.connection = 'close';
  await sendJson(exchange, problem.status, headers, provider.errorBody(problem, requestId));
}

function unforeseen(provider, error) {
  process.stderr.write(`demo upstream: ${error?.stack ?? error}\n`);
  return provider.failure(500);
}

function headersOf(provider, exchange, requestId = nextId('req_')) {
  const tookMs = performance.now() - exchange.startedAt;
  return { ...UNWANTED_HEADERS, ...provider.responseHeaders(requestId, tookMs) };
}

async function readBody(req) {
  const parts = [];
  let size = 0;
  for await (const part of req.iterator({ destroyOnReturn: false })) {
    size += part.length;
    if (size > MAX_BODY) throw new Problem(413, 'The request is too large.');
    parts.push(part);
  }
  return Buffer.concat(parts, size).toString();
}

function parseBody(provider, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw provider.badJson();
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body)) throw provider.badJson();
  return body;
}

// ---- the control routes

function serveControl(control, req, res, path) {
  req.resume();
  const [action, id, ...more] = path.slice('/control/'.length).split('/');
  const run = more.length === 0 && controlAction(control, `${req.method} ${action}`, id);
  const body = JSON.stringify(run ? run() : { error: 'no such control route' });
  res.writeHead(run ? 200 : 404, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
}

function controlAction(control, action, id) {
  if (id === undefined) {
    return { 'GET stats': () => control.stats(), 'POST reset': () => control.reset() }[action];
  }
  if (!ID.test(id)) return undefined;
  return {
    'POST ack': () => control.ack(id),
    'POST release': () => control.release(id),
    'GET lockstep': () => control.lockstep(id),
  }[action];
}

// ---- the program

const HELP = `Usage: node server.mjs [options]

A stand-in for the OpenAI and Anthropic APIs. Prints one JSON line when ready.

  --port N     port to listen on (default 0: any free one)
  --host H     address to listen on (default 127.0.0.1)
  --key K      the API key clients must send (default sk-demo-upstream)
  --gap-ms N   pause between streamed chunks (default 0)
  --help       show this text
`;

const OPTIONS = {
  port: { type: 'string', default: '0' },
  host: { type: 'string', default: '127.0.0.1' },
  key: { type: 'string', default: 'sk-demo-upstream' },
  'gap-ms': { type: 'string', default: '0' },
  help: { type: 'boolean', default: false },
};

function readArguments(argv) {
  const { values } = parseArgs({ args: argv, options: OPTIONS });
  return {
    help: values.help,
    host: values.host,
    key: values.key,
    port: wholeNumber('--port', values.port, 65_535),
    gapMs: wholeNumber('--gap-ms', values['gap-ms'], 60_000),
  };
}

function wholeNumber(option, text, max) {
  const number = Number(text);
  if (/^\d+$/.test(text) && number <= max) return number;
  throw new Error(`${option} must be a whole number from 0 to ${max}`);
}

async function main(argv) {
  const { help, ...options } = readArguments(argv);
  if (help) {
    process.stdout.write(HELP);
    return;
  }
  const upstream = await startUpstream(options);
  process.stdout.write(`${JSON.stringify({ listening: upstream.url })}\n`);
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => upstream.close());
}

const isProgram = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isProgram) {
  main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`demo upstream: ${error.message}\n`);
    process.exitCode = 1;
  });
}

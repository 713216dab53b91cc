// A server that looks like Farebox to the dashboard: the static files with the headers of
// `www/_headers`, the three routes the page reads, and a WebSocket the tests speak through.
// `node stub-server.mjs` starts one by hand, with figures that move.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { request, snapshot } from "./fixtures/snapshot.mjs";

const WWW = fileURLToPath(new URL("../../www", import.meta.url));
const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));
const EMPTY_WASM = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

export const TOKEN = "fbs_demo_1795475000000_r_1abcdef0123456789";

/**
 * Starts on a free port. `state` is what the routes answer and may be changed at any time; `seen`
 * is every request line and every subprotocol offered; `send`, `hangUp` and `drop` act on all open
 * sockets.
 */
export async function startStub(changes = {}) {
  const state = {
    token: TOKEN,
    snapshot: snapshot(),
    book: JSON.stringify({ version: "2026-11-20" }),
    problem: null, // { status, code, detail } for /v1/farebox/spend
    refuseSockets: false,
    holdEngine: null, // a promise the engine's files wait for
    failEngine: false,
    ...changes,
  };
  const seen = { urls: [], protocols: [] };
  const sockets = new Set();
  const rules = headerRules(await readFile(join(WWW, "_headers"), "utf8"));

  const server = createServer(async (req, res) => {
    const { pathname } = new URL(req.url, "http://stub");
    seen.urls.push(req.url);
    for (const [name, value] of headersFor(rules, pathname)) res.setHeader(name, value);
    const [status, type, body] = await answer(state, pathname, req.headers.authorization);
    res.writeHead(status, { "content-type": type }).end(body);
  });

  server.on("upgrade", (req, socket) => {
    seen.urls.push(req.url);
    const offered = (req.headers["sec-websocket-protocol"] ?? "").split(/,\s*/);
    seen.protocols.push(offered);
    socket.on("error", () => {});
    if (state.refuseSockets || offered[0] !== "farebox.v1" || offered[1] !== state.token) {
      socket.end("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    socket.write(handshake(req.headers["sec-websocket-key"]));
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // All a page ever sends is its closing frame.
    socket.on("data", () => socket.end());
    socket.write(textFrame(state.snapshot));
  });

  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    link: `${origin}/#session=${state.token}`,
    state,
    seen,
    openSockets: () => sockets.size,
    send: (frame) => sockets.forEach((socket) => socket.write(textFrame(frame))),
    hangUp: (code) => sockets.forEach((socket) => socket.write(closeFrame(code))),
    drop: () => sockets.forEach((socket) => socket.destroy()),
    stop: () => {
      sockets.forEach((socket) => socket.destroy());
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

// --- the routes -----------------------------------------------------------------------------------

async function answer(state, pathname, authorization) {
  if (pathname.startsWith("/v1/farebox/")) return api(state, pathname, authorization);
  if (pathname.startsWith("/pkg/")) return engineFile(state, pathname);
  if (pathname === "/vendor/preact.js") return [200, TYPES[".js"], await preact()];
  const path = normalize(pathname === "/" ? "/index.html" : pathname);
  try {
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    return [200, type, await readFile(join(WWW, path))];
  } catch {
    return [404, "text/plain", "not found"];
  }
}

function api(state, pathname, authorization) {
  if (authorization !== `Bearer ${state.token}`) {
    return problem({ status: 401, code: "session_expired", detail: "This session has expired." });
  }
  if (pathname.endsWith("/book")) return [200, "application/json", state.book];
  if (state.problem) return problem(state.problem);
  return [200, "application/json", JSON.stringify(state.snapshot)];
}

function problem({ status, code, detail }) {
  const body = { type: "about:blank", title: code, status, detail, code, request_id: "019ab000" };
  return [status, "application/problem+json", JSON.stringify(body)];
}

async function engineFile(state, pathname) {
  // The what-if is tested with the real engine: it talks to no server.
  if (pathname.startsWith("/pkg/whatif")) {
    const type = TYPES[extname(pathname)] ?? "application/octet-stream";
    return [200, type, await readFile(join(WWW, normalize(pathname)))];
  }
  await state.holdEngine;
  if (state.failEngine) return [503, "text/plain", "no"];
  if (pathname.endsWith(".wasm")) return [200, TYPES[".wasm"], EMPTY_WASM];
  return [200, TYPES[".js"], await readFile(join(FIXTURES, "farebox.js"))];
}

// What the build copies; before a build, straight from the package.
async function preact() {
  try {
    return await readFile(join(WWW, "vendor/preact.js"));
  } catch {
    return readFile(fileURLToPath(import.meta.resolve("htm/preact/standalone")));
  }
}

// --- _headers -------------------------------------------------------------------------------------

function headerRules(text) {
  const rules = [];
  for (const line of text.split("\n")) {
    if (!line.trim() || line.startsWith("#")) continue;
    if (line.startsWith("/")) {
      rules.push({ path: line.trim(), headers: [] });
    } else {
      const [name, ...value] = line.trim().split(":");
      rules.at(-1).headers.push([name, value.join(":").trim()]);
    }
  }
  return rules;
}

function headersFor(rules, pathname) {
  const matches = ({ path }) =>
    path.endsWith("*") ? pathname.startsWith(path.slice(0, -1)) : pathname === path;
  return rules.filter(matches).flatMap(({ headers }) => headers);
}

// --- just enough of RFC 6455 ----------------------------------------------------------------------

function handshake(key) {
  const accept = createHash("sha1").update(key + WEBSOCKET_GUID).digest("base64");
  return [
    "HTTP/1.1 101 Switching Protocols",
    "upgrade: websocket",
    "connection: Upgrade",
    `sec-websocket-accept: ${accept}`,
    "sec-websocket-protocol: farebox.v1",
    "\r\n",
  ].join("\r\n");
}

function textFrame(value) {
  const payload = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
  if (payload.length < 126) return Buffer.concat([Buffer.from([0x81, payload.length]), payload]);
  const head = Buffer.from([0x81, 126, 0, 0]);
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

function closeFrame(code) {
  const frame = Buffer.from([0x88, 2, 0, 0]);
  frame.writeUInt16BE(code, 2);
  return frame;
}

// --- by hand --------------------------------------------------------------------------------------

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stub = await startStub();
  console.log(stub.link);
  let n = 24;
  setInterval(() => {
    n += 1;
    const now = new Date().toISOString();
    const [hard, soft] = snapshot().limits;
    const held = `0.0${10 + (n % 7) * 9}`;
    stub.send({
      ...stub.state.snapshot,
      type: "update", now, limits: [{ ...hard, held }, soft],
      requests: [request(n, { at: now })],
    });
  }, 1_500);
}

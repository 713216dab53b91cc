// The Worker's entry: hands requests and object calls to the engine, and survives it. A panic in
// Wasm leaves its memory unusable, so every call under way is answered, and the next one starts a
// fresh instance.

import { DurableObject } from 'cloudflare:workers';
import * as engine from '../../build/engine/farebox.js';

let generation = 0;
let dead = false;
/** What rejects each call under way. */
const underWay = new Set();

const died = (reason) => {
  if (dead) return;
  dead = true;
  console.error('engine stopped:', reason);
  for (const reject of underWay) reject(new Error('engine stopped'));
  underWay.clear();
};

function alive() {
  if (generation === 0 || dead) {
    if (dead) engine.__wbg_reset_state();
    dead = false;
    generation += 1;
    engine.start(died);
  }
}

/** Runs one call; settles even where the engine dies beneath it. */
function guarded(call) {
  alive();
  return new Promise((resolve, reject) => {
    underWay.add(reject);
    const settle = (how) => (value) => { underWay.delete(reject); how(value); };
    try {
      call().then(settle(resolve), settle(reject));
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) died(String(error));
      settle(reject)(error);
    }
  });
}

addEventListener('error', (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) died(String(event.error));
});

export default {
  async fetch(request, env, ctx) {
    alive();
    const id = engine.requestId();
    const answer = guarded(() => engine.fetch(request, env, ctx, id));
    // A client that leaves ends the handler, not the request: it still has to be settled.
    ctx.waitUntil(answer.catch(() => {}));
    try {
      return await answer;
    } catch (error) {
      console.error(id, String(error));
      alive();
      return engine.crashed(request.url, id);
    }
  },

  async scheduled(event, env) {
    await guarded(() => engine.scheduled(env));
  },
};

const PUSH_MS = 100; // enough to look live, and at most ten pushes a second
const BUSY_MS = 20; // commands closer together than this wait for the end of their turn; a lone one never does
const TURN_MAX = 100; // commands in one turn: some 20 ms, in which nothing else runs
const WAITING_MAX = 2000; // commands that wait: half a second's work, and callers give up after four
const EXPIRED = 4401; // the socket's close code for a session that is over

/** One customer's ledger. Calls are synchronous: no other call can come between read and write. */
export class LedgerObject extends DurableObject {
  #engine;
  #generation = 0;
  #push = null;
  /** Commands for the end of this turn; one call under way for each. */
  #waiting = [];
  #appliedAt = 0;

  get engine() {
    alive();
    if (this.#generation !== generation) {
      this.#engine = new engine.LedgerObject(this.ctx, this.env);
      this.#generation = generation;
    }
    return this.#engine;
  }

  #call(call) {
    try {
      return call(this.engine);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) died(String(error));
      throw error;
    }
  }

  /**
   * Carries out one command. Where they come thick and fast, those of one turn of the event loop
   * are carried out one after the other: each is a transaction of its own, and one write to disk
   * makes all of them durable. No answer leaves before that.
   */
  apply(command) {
    const now = Date.now();
    const busy = now - this.#appliedAt < BUSY_MS;
    if (this.#waiting.length >= WAITING_MAX) throw Object.assign(new Error('the ledger has more to do than it can'), { overloaded: true });
    this.#appliedAt = now;
    if (!busy && this.#waiting.length === 0) {
      this.#schedulePush();
      return this.#call((ledger) => ledger.apply(command));
    }
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ command, resolve, reject }) === 1) setTimeout(() => this.#applyWaiting());
    });
  }

  #applyWaiting() {
    for (const { command, resolve, reject } of this.#waiting.splice(0, TURN_MAX)) {
      try {
        resolve(this.#call((ledger) => ledger.apply(command)));
      } catch (error) {
        reject(error); // this one's failure is nobody else's
      }
    }
    this.#schedulePush();
    if (this.#waiting.length > 0) setTimeout(() => this.#applyWaiting());
  }

  look(query) {
    return this.#call((ledger) => ledger.look(query));
  }

  alerts(ask) {
    return this.#call((ledger) => ledger.alerts(ask));
  }

  async alarm() {
    await guarded(() => this.engine.alarm());
    this.#schedulePush();
  }

  /** A dashboard's socket. The session was checked by the Worker; its end is kept with the socket. */
  async fetch(request) {
    const seq = this.#call((ledger) => ledger.headSeq());
    const first = this.look('{"snapshot":{}}');
    if (first === 'null') return new Response(null, { status: 404 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const expires = Number(request.headers.get('x-farebox-session-expires'));
    server.serializeAttachment({ expires, seq });
    server.send(first);
    // An idle socket has to go too when its session is over; a busy one is seen to by each push.
    setTimeout(() => this.#pushTo(server), Math.max(0, expires - Date.now()) + 10);
    const headers = { 'sec-websocket-protocol': 'farebox.v1' };
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  webSocketMessage() {} // the page only listens

  webSocketClose(socket, code) {
    // 1005 and 1006 stand for "no code came" and may not be sent back.
    const sendable = code === 1000 || (code >= 3000 && code < 5000);
    try { socket.close(sendable ? code : 1000); } catch { /* already closed */ }
  }

  #schedulePush() {
    if (this.#push !== null || this.ctx.getWebSockets().length === 0) return;
    this.#push = setTimeout(() => {
      this.#push = null;
      for (const socket of this.ctx.getWebSockets()) this.#pushTo(socket);
    }, PUSH_MS);
  }

  #pushTo(socket) {
    if (socket.readyState !== WebSocket.OPEN) return;
    const { expires, seq } = socket.deserializeAttachment();
    if (Date.now() >= expires) {
      socket.close(EXPIRED, 'session expired');
      return;
    }
    const head = this.#call((ledger) => ledger.headSeq());
    socket.send(this.look(JSON.stringify({ update: { after: seq } })));
    socket.serializeAttachment({ expires, seq: head });
  }
}

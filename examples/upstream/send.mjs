// Putting an answer on the wire: whole (JSON) or event by event (SSE).
// The provider's file says what the events are; this file says when and how
// they are written. The plain path does one socket write per event, no more.

import { constants, createGzip, gzipSync } from 'node:zlib';

const COMMENTS = ': data: [DONE]\n\n: keep-alive\n';

/** Send a JSON value; `cut_after` and `stall_after` stop half-way through it. */
export async function sendJson(exchange, status, headers, value) {
  const { res, directives: d } = exchange;
  if (exchange.closed) return;
  let body = Buffer.from(JSON.stringify(value));
  if (d.gzip) {
    body = gzipSync(body);
    headers = { ...headers, 'content-encoding': 'gzip' };
  }
  res.writeHead(status, { ...headers, 'content-type': 'application/json', 'content-length': body.length });
  const broken = status === 200 && stopOf(d);
  if (!broken || broken.how === 'error') {
    res.end(body);
    return;
  }
  res.write(body.subarray(0, body.length >> 1));
  await (broken.how === 'cut' ? exchange.cut() : exchange.stall());
}

/**
 * Send a stream.
 * @param {object} script the provider's events as text, each ending in a blank line:
 *   head[] and tail[] around the chunks, chunk(text) for one, error() for a failure amid
 * @param {{gapMs: number, lock: object|null}} pace
 */
export async function sendStream(exchange, headers, script, plan, pace) {
  if (exchange.closed) return;
  const d = exchange.directives;
  const writer = new EventWriter(exchange, headers, d);
  for (const event of script.head) await writer.write(writer.dress(event));

  const stop = stopOf(d);
  const eventFor = chunkEvents(script, plan, writer);
  for (let k = 0; !exchange.closed; k += 1) {
    if (k === stop?.after) return stopStream(stop.how, exchange, writer, script);
    if (k >= plan.count) break;
    if (k > 0) {
      if (pace.gapMs) await exchange.sleep(pace.gapMs);
      if (pace.lock) await pace.lock.turn();
      if (exchange.closed) return;
    }
    const busy = writer.write(eventFor(k));
    pace.lock?.sent();
    if (busy) await busy;
  }

  for (let i = 0; i < script.tail.length; i += 1) {
    const last = i === script.tail.length - 1;
    const event = last && d.no_final_blank ? script.tail[i].slice(0, -1) : script.tail[i];
    await writer.write(writer.dress(event));
  }
  writer.end();
}

/** Which stop a request asks for: {how, after}, or undefined. An error goes before a cut, a cut before a stall. */
function stopOf(d) {
  if (d.error_after !== undefined) return { how: 'error', after: d.error_after };
  if (d.cut_after !== undefined) return { how: 'cut', after: d.cut_after };
  if (d.stall_after !== undefined) return { how: 'stall', after: d.stall_after };
  return undefined;
}

async function stopStream(how, exchange, writer, script) {
  if (how === 'error') {
    await writer.write(writer.dress(script.error()));
    writer.end();
    return;
  }
  await writer.flush();
  await (how === 'cut' ? exchange.cut() : exchange.stall());
}

// The words repeat, so the bytes of each event are made once per stream. A tool
// call's first and last pieces differ from the cycle and are made as they come.
function chunkEvents(script, plan, writer) {
  const make = (k) => writer.dress(script.chunk(plan.piece(k)));
  if (plan.toolCall) return make;
  const made = new Array(plan.cycle.length);
  return (k) => (made[k % made.length] ??= make(k));
}

class EventWriter {
  #exchange;
  #sink;
  #gzip = null;
  #dressing;
  #split;
  #bom;

  constructor(exchange, headers, d) {
    this.#exchange = exchange;
    this.#dressing = Boolean(d.crlf || d.comments) && d;
    this.#split = d.split;
    this.#bom = d.bom;
    const type = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' };
    exchange.res.writeHead(200, { ...headers, ...type, ...(d.gzip && { 'content-encoding': 'gzip' }) });
    this.#sink = d.gzip ? this.#startGzip(exchange.res) : exchange.res;
  }

  /** Turn an event's text into the bytes to write, in the manner asked for. */
  dress(event) {
    const d = this.#dressing;
    if (d?.comments) event = COMMENTS + event;
    if (d?.crlf) event = event.replaceAll('\n', '\r\n');
    return Buffer.from(event);
  }

  /** Returns a promise only if the caller must wait before the next write. */
  write(bytes) {
    if (this.#exchange.closed) return undefined;
    if (this.#bom) {
      this.#bom = false;
      bytes = Buffer.concat([Buffer.from('\uFEFF'), bytes]);
    }
    if (this.#split) return this.#writeSplit(bytes);
    return this.#sink.write(bytes) ? undefined : this.#drained();
  }

  /** For the gzip path: have what was written so far reach the socket. */
  async flush() {
    if (!this.#gzip) return;
    await new Promise((resolve) => {
      this.#exchange.res.once('close', resolve);
      this.#gzip.flush(resolve);
    });
  }

  end() {
    if (!this.#exchange.closed) this.#sink.end();
  }

  // A turn of the event loop between pieces lets each one leave by itself.
  async #writeSplit(bytes) {
    for (let at = 0; at < bytes.length && !this.#exchange.closed; at += this.#split) {
      if (!this.#sink.write(bytes.subarray(at, at + this.#split))) await this.#drained();
      await new Promise(setImmediate);
    }
  }

  #drained() {
    let drained = false;
    this.#sink.once('drain', () => {
      drained = true;
      this.#exchange.wake();
    });
    return this.#exchange.until(() => drained);
  }

  #startGzip(res) {
    this.#gzip = createGzip({ flush: constants.Z_SYNC_FLUSH });
    res.once('close', () => this.#gzip.destroy());
    this.#gzip.on('error', () => this.#exchange.destroy());
    this.#gzip.pipe(res);
    return this.#gzip;
  }
}

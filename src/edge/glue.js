// What the platform does better than Wasm could: native streams, headers, and SQL inside one
// transaction. Each function is one crossing. No rule about money or access stands here.

import { AwsV4Signer } from 'aws4fetch';
import { SignJWT, importPKCS8 } from 'jose';

/** Copies the headers in `allow` from one set to a new one. */
export function copyHeaders(from, allow) {
  const to = new Headers();
  for (const name of allow) {
    const value = from.get(name);
    if (value !== null) to.set(name, value);
  }
  return to;
}

/** The headers among `names` that are there: name, value, name, value … */
export function headerPairs(from, names) {
  return names.flatMap((name) => {
    const value = from.get(name);
    return value === null ? [] : [name, value];
  });
}

/** Signs a call for AWS; `key` is `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`. */
export async function signAws(url, headers, body, key, region, service) {
  const [accessKeyId, secretAccessKey, ...token] = key.split(':');
  const sessionToken = token.length > 0 ? token.join(':') : undefined;
  // Signed is what makes the call, and no header that something on the way may rewrite.
  const parts = { method: 'POST', url, body, region, service, accessKeyId, secretAccessKey, sessionToken };
  const signed = await new AwsV4Signer(parts).sign();
  for (const [name, value] of signed.headers) headers.set(name, value);
}

const TOKEN_SPARE_MS = 60_000; // a token is renewed this long before its end
const TOKEN_WAIT_MS = 10_000; // for another request's: one that has ended may never tell
const googleTokens = new Map(); // by key file: as many as there are upstreams
const tokensOnTheirWay = new Map();

/** An access token for a Google service account, made once an hour, by one of those who ask at once. */
export async function googleToken(keyFile) {
  const known = googleTokens.get(keyFile);
  if (known && known.until > Date.now()) return known.token;
  const others = tokensOnTheirWay.get(keyFile);
  if (others) {
    const token = await within(others, TOKEN_WAIT_MS);
    if (token) return token;
  }
  const own = freshGoogleToken(keyFile);
  tokensOnTheirWay.set(keyFile, own.catch(() => undefined));
  try {
    return await own;
  } finally {
    tokensOnTheirWay.delete(keyFile);
  }
}

async function freshGoogleToken(keyFile) {
  const { client_email: issuer, private_key: pem, private_key_id: kid, token_uri: uri } = JSON.parse(keyFile);
  const now = Math.floor(Date.now() / 1000);
  const assertion = await new SignJWT({ scope: 'https://www.googleapis.com/auth/cloud-platform' })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid })
    .setIssuer(issuer).setAudience(uri).setIssuedAt(now).setExpirationTime(now + 3600)
    .sign(await importPKCS8(pem, 'RS256'));
  const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
  const answer = await fetch(uri, { method: 'POST', body: new URLSearchParams(grant), redirect: 'manual' });
  if (!answer.ok) throw new Error(`the token endpoint answered ${answer.status}`);
  const { access_token: token, expires_in: seconds } = await answer.json();
  if (typeof token !== 'string') throw new Error('the token endpoint gave no token');
  googleTokens.set(keyFile, { token, until: Date.now() + seconds * 1000 - TOKEN_SPARE_MS });
  return token;
}

/** The token in use for a service account, where one was made. */
export function knownGoogleToken(keyFile) {
  return googleTokens.get(keyFile)?.token;
}

/**
 * Reads a request's body whole, up to `max` bytes: an ArrayBuffer, or null where it is longer.
 * With a length stated, one native read does; without, it counts as it reads.
 */
export async function readBody(message, max) {
  const stated = message.headers.get('content-length');
  if (stated !== null && Number(stated) > max) {
    await discard(message.body);
    return null;
  }
  if (stated !== null) return message.arrayBuffer();
  const { bytes, whole } = await readPrefix(message.body, max);
  return whole ? bytes.buffer : null;
}

/**
 * The first `max` bytes of a body, as far as they come within `ms`, and whether that is all of it. The
 * rest is given up.
 */
export async function readPrefix(body, max, ms) {
  const parts = [];
  let length = 0;
  let whole = true;
  if (body !== null) {
    const reader = body.getReader();
    let timer;
    const late = new Promise((resolve) => { if (ms !== undefined) timer = setTimeout(resolve, ms, { late: true }); });
    try {
      for (;;) {
        const { done, value, late: isLate } = await Promise.race([reader.read(), late]);
        if (done) break;
        if (!isLate) {
          parts.push(value);
          length += value.byteLength;
        }
        if (isLate || length > max) {
          whole = false;
          reader.cancel().catch(() => {}); // it may have broken off by then
          break;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return { bytes: bytes.subarray(0, max), whole };
}

/** A client that is still sending does not read: what it sends is taken before it is refused. */
const DISCARD_BYTES = 64 * 1024 * 1024; // no API takes more, and a client may be cut off beyond
const DISCARD_MS = 10_000;

async function discard(body) {
  if (body === null) return;
  const until = Date.now() + DISCARD_MS;
  let length = 0;
  try {
    for await (const part of body) {
      length += part.byteLength;
      if (length > DISCARD_BYTES || Date.now() > until) return;
    }
  } catch { /* it has gone */ }
}

/** What ends the upstream's call made for a request, by that request. */
const calls = new WeakMap();

/**
 * Sends the request on. Rejects with the string 'gone' where the client has left before, and nothing
 * was sent; with 'left' where it goes before the answer comes, and with whatever `stopCall` says. Redirects are not followed: they would carry the key along.
 */
export async function forward(request, method, url, headers, body) {
  const { signal } = request;
  if (signal.aborted) throw 'gone';
  const controller = new AbortController();
  let why = null;
  const stop = (reason) => {
    why = reason;
    controller.abort(reason);
  };
  calls.set(request, stop);
  const left = () => stop('left');
  signal.addEventListener('abort', left);
  try {
    return await fetch(url, { method, headers, body, redirect: 'manual', signal: controller.signal });
  } catch (error) {
    throw why ?? error;
  } finally {
    signal.removeEventListener('abort', left);
  }
}

/** Ends the upstream's call made for `request`. */
export function stopCall(request, reason) {
  calls.get(request)?.(reason);
}

/**
 * The whole body; a client that leaves ends the upstream's call, and so the read, `drainMs` later.
 */
export async function readWhole(response, request, drainMs) {
  let timer;
  const stop = () => stopCall(request, 'left');
  const left = () => { if (drainMs > 0) timer = setTimeout(stop, drainMs); else stop(); };
  const { signal } = request;
  signal.addEventListener('abort', left);
  if (signal.aborted) left();
  try {
    return await response.arrayBuffer();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', left);
  }
}

/**
 * One timer for many waits. Setting and clearing one costs more than the rest of a wait, and most
 * waits are over long before it would ring.
 */
export class Watch {
  constructor() {
    this.timer = null;
    this.rung = null;
  }

  /** Resolves when the timer rings: `ms` from now, or sooner where it was set before. */
  bell(ms) {
    this.rung ??= new Promise((resolve) => {
      this.timer = setTimeout(() => {
        this.rung = null;
        resolve();
      }, ms);
    });
    return this.rung;
  }

  /** `promise`, or undefined once the timer rings. */
  or(promise, ms) {
    return Promise.race([promise, this.bell(ms)]);
  }

  /** Ends it; what waits for the bell waits for ever. */
  stop() {
    clearTimeout(this.timer);
  }
}

/** `promise`, or undefined once `ms` have passed. */
export function within(promise, ms) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A promise of `true`, and the method that keeps it. */
export class Ending {
  constructor() {
    this.promise = new Promise((resolve) => { this.resolve = resolve; });
  }

  end() {
    this.resolve(true);
  }
}

const READ_BYTES = 32768;
const ROOMS_MAX = 4; // spare buffers kept by an isolate; more are made where more are read at once
/** Buffers to read into, used again and again: a fresh one is zeroed, and the collector's work. */
const rooms = [];

/**
 * An answer's body in two: `client` flows natively, and the meter's branch is left unread meanwhile
 * and emptied by a timer. A pending read would slow every chunk down.
 *
 * The client's branch runs through a native pipe. Without it the runtime sends the answer apart
 * from the request, and the request's signal stays silent when the client goes while the upstream
 * is silent too. The pipe's own end says that the client has all of it, or that it has gone.
 */
export class Tap {
  constructor(body, signal) {
    const [client, meter] = body.tee();
    const { readable, writable } = new IdentityTransformStream();
    this.client = readable;
    this.reader = meter.getReader({ mode: 'byob' });
    this.pending = null;
    this.left = false;
    this.watch = new Watch();
    this.taken = undefined; // the buffer of the last read
    this.signal = signal; // or it is collected, and never tells
    this.gone = new Promise((resolve) => {
      const gone = () => {
        this.left = true;
        this.watch.stop();
        resolve();
      };
      client.pipeTo(writable).then(gone, gone);
      signal.addEventListener('abort', gone);
    });
  }

  /**
   * Waits for the watch, set to ring every `ms`, then reads what has arrived, as `read` does, until
   * it rings again. Where the client has all of the answer, or has left, it stops at once without
   * a read, and answers undefined.
   */
  async next(ms) {
    if (!this.left) await Promise.race([this.gone, this.watch.bell(ms)]);
    if (this.left) return undefined;
    return this.taking(await Promise.race([this.asked(), this.gone, this.watch.bell(ms)]));
  }

  /**
   * Reads what has arrived: a Uint8Array that stands until the next read, null at the end, or
   * undefined where nothing came within `ms`. A read that found nothing stays pending and is taken
   * up by the next call.
   */
  async read(ms) {
    return this.taking(await within(this.asked(), ms));
  }

  asked() {
    this.giveBack();
    this.pending ??= this.reader.read(new Uint8Array(rooms.pop() ?? READ_BYTES));
    return this.pending;
  }

  taking(result) {
    if (result === undefined) return undefined;
    this.pending = null;
    this.taken = result.value?.buffer;
    if (!result.done) return result.value;
    this.giveBack();
    this.watch.stop();
    return null;
  }

  giveBack() {
    if (this.taken?.byteLength === READ_BYTES && rooms.length < ROOMS_MAX) rooms.push(this.taken);
    this.taken = undefined;
  }

  /** Gives the branch up; with the client's branch gone too, that ends the upstream's call. */
  cancel() {
    this.watch.stop();
    return this.reader.cancel().catch(() => {});
  }
}

/**
 * The slower path: every chunk passes `onChunk`, which answers what the client may have of it, at
 * once or by a promise; or `{last}`, with which the stream is stopped.
 * `onEnd(how)` is called exactly once, with 'eof', 'cut', 'left' or 'stopped', and may answer a last
 * piece.
 * `readOn()` says whether the usage is worth waiting for after the client has left.
 */
export function filtered(body, onChunk, onEnd, readOn, waitUntil, readOnMs) {
  const reader = body.getReader();
  let left = false;
  let taking = null;
  // One read at a time, metered once, whoever waits for it: null at the end.
  const take = () => {
    taking ??= reader.read()
      .then(({ done, value }) => (done ? null : onChunk(value)))
      .finally(() => { taking = null; });
    return taking;
  };
  const finish = async () => {
    const until = Date.now() + readOnMs;
    while (readOn() && Date.now() < until) {
      const out = await within(take(), until - Date.now());
      if (out === undefined || out === null || out.last) break;
    }
    onEnd('left');
    await reader.cancel();
  };
  return new ReadableStream({
    async pull(controller) {
      try {
        let out;
        do out = await take(); while (out !== null && out.length === 0);
        if (left) return;
        if (out?.last) {
          onEnd('stopped');
          controller.enqueue(out.last);
          controller.close();
          waitUntil(reader.cancel().catch(() => {})); // ends the upstream's call
          return;
        }
        const rest = out ?? onEnd('eof');
        if (rest.length) controller.enqueue(rest);
        if (out === null) controller.close();
      } catch (error) {
        if (left) return;
        onEnd('cut');
        controller.error(error);
      }
    },
    cancel() {
      left = true;
      waitUntil(finish().catch(() => onEnd('cut')));
    },
  });
}

/**
 * The way of what must be charged before it is handed out: each chunk is shown to `onChunk`, whose
 * promise it waits for, so a client is never further ahead than one chunk. `onEnd(how)` is called
 * exactly once, with 'eof', 'cut' or 'left', and the end waits for it too.
 */
export function metered(body, signal, onChunk, onEnd, waitUntil) {
  const reader = body.getReader();
  let ending = null;
  const end = (how) => {
    ending ??= onEnd(how);
    return ending;
  };
  const stop = (how) => waitUntil(Promise.allSettled([end(how), reader.cancel()]));
  // A client that leaves while nothing comes is seen by its signal alone.
  signal.addEventListener('abort', () => stop('left'));
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (signal.aborted) return;
        if (!done) {
          await onChunk(value);
          controller.enqueue(value);
          return;
        }
        await end('eof');
        controller.close();
      } catch (error) {
        stop('cut');
        controller.error(error);
      }
    },
    cancel: () => stop('left'),
  }, { highWaterMark: 0 });
}

/**
 * Writes all rows, each `[sql, ...parameters]`, in one transaction. A throw inside rolls all of
 * them back; without it, two statements with a failure between them would half commit.
 */
export function commit(storage, rows) {
  const write = () => {
    for (const [sql, ...parameters] of rows) storage.sql.exec(sql, ...parameters);
  };
  if (rows.length === 1) write();
  else storage.transactionSync(write);
}

/** The rows of a query, each an array of its columns. */
export function query(storage, sql, parameters) {
  return storage.sql.exec(sql, ...parameters).raw().toArray();
}

/** Sets the object's one alarm. Part of the commit under way, so nothing waits for it. */
export function setAlarm(storage, at) {
  storage.setAlarm(at);
}

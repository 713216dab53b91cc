// Two WebSockets, joined: frames pass as they are, in order, each as it comes. What a turn of the
// session used is read by the engine; no rule about money stands here.

import { within } from './glue.js';

/** What a frame must hold to say something of a turn: its beginning, its content, its usage. */
const MARKERS = ['"response.', '"usage', '"session.', '"input_audio_buffer.committed"', 'input_audio_transcription.'];
/** What an event of the client's must hold to say who transcribes: the word, or letters in disguise. */
const ASKS = ['transcription', '\\u'];
/**
 * Bytes kept for one side: what a side that does not read has not taken yet, and what the client
 * says while the next turn is being admitted. Half a minute of sound in the fattest format is 3 MB.
 */
const KEPT_MAX = 8 * 1024 * 1024;

/** Close codes that say how a connection was lost, and that nobody may send; and what is sent for them. */
const UNSENDABLE = { 1005: 1000, 1006: 1011, 1015: 1011 };
const TOO_SLOW = 1013;
const GONE = 1001;

/** Whether the upstream opened a WebSocket. */
export function isOpen(answer) {
  return answer.status === 101 && Boolean(answer.webSocket);
}

const sizeOf = (data) => (typeof data === 'string' ? data.length : data.byteLength);

function close(socket, code, reason) {
  try {
    socket.close(UNSENDABLE[code] ?? code, reason);
  } catch { /* it is closed already */ }
}

/**
 * Joins a client to the upstream that answered. `onFrame(text)` says whether the engine has to act;
 * `onClient(text)` whether it has to decide about an event before the upstream gets it.
 */
export class Bridge {
  constructor(answer, onFrame, onClient) {
    const pair = new WebSocketPair();
    this.client = pair[0];
    this.near = pair[1];
    this.far = answer.webSocket;
    this.onFrame = onFrame;
    this.onClient = onClient;
    this.leaving = [GONE, '']; // with what the upstream is let go
    this.farOver = false;
    this.over = null; // who ended it
    this.due = false; // the engine has to act
    this.kept = null; // what the client said since; null while its words pass
    this.keptBytes = 0;
    this.wake = null;
    this.#listen(this.near, (data) => this.#fromClient(data), (...why) => this.#clientLeft(...why));
    this.#listen(this.far, (data) => this.#fromUpstream(data), (...why) => this.#upstreamLeft(...why));
  }

  #listen(socket, take, left) {
    socket.accept();
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => take(data));
    socket.addEventListener('close', ({ code, reason }) => {
      close(socket, code, reason);
      left(code, reason);
    });
    socket.addEventListener('error', () => {
      close(socket, 1011, '');
      left(1011, '');
    });
  }

  /** The upstream is let go by the engine: it may have to tell first what a turn used. */
  #clientLeft(code, reason) {
    if (this.over === null) this.leaving = [code, reason];
    this.#end('client');
  }

  #upstreamLeft(code, reason) {
    this.farOver = true;
    close(this.near, code, reason);
    this.#end('upstream');
  }

  #fromUpstream(data) {
    this.#send(this.near, data);
    if (typeof data !== 'string' || !MARKERS.some((marker) => data.includes(marker))) return;
    try {
      if (!this.onFrame(data)) return;
    } catch (error) {
      this.#closeBoth(1011, 'the gateway failed');
      throw error;
    }
    this.due = true;
    this.kept ??= [];
    this.wake?.();
  }

  #fromClient(data) {
    const asks = typeof data === 'string' && ASKS.some((word) => data.includes(word)) && this.onClient(data);
    if (this.kept === null && !asks) {
      this.#send(this.far, data);
      return;
    }
    this.kept ??= [];
    this.keptBytes += sizeOf(data);
    if (this.keptBytes > KEPT_MAX) {
      this.#closeBoth(TOO_SLOW, 'too much was said at once');
      return;
    }
    this.kept.push({ data, asks });
    if (!asks) return;
    this.due = true;
    this.wake?.();
  }

  /** Decides about the first event that waits for it. */
  decide(passes) {
    const at = this.kept?.findIndex(({ asks }) => asks) ?? -1;
    if (at < 0) return;
    if (passes) this.kept[at].asks = false;
    else this.kept.splice(at, 1);
  }

  /** Says something to the client. */
  tell(event) {
    this.#send(this.near, event);
  }

  #send(socket, data) {
    if (this.over !== null) return;
    try {
      socket.send(data);
    } catch { /* its closing is told apart */ }
    if (socket.bufferedAmount > KEPT_MAX) this.#closeBoth(TOO_SLOW, 'a side does not read');
  }

  #closeBoth(code, reason) {
    close(this.near, code, reason);
    close(this.far, GONE, '');
    this.farOver = true;
    this.#end('gate');
  }

  #end(who) {
    this.over ??= who;
    this.wake?.();
  }

  /** The handshake's answer to the client. */
  response(headers) {
    return new Response(null, { status: 101, headers, webSocket: this.client });
  }

  /**
   * What happened: 'turn' where the engine has to act, and the client is not heard until `resume`;
   * who ended the session; undefined where nothing happened within `ms`.
   */
  async next(ms) {
    if (!this.due && this.over === null) {
      const woken = new Promise((resolve) => { this.wake = resolve; });
      await within(woken, ms);
      this.wake = null;
    }
    if (!this.due) return this.over ?? undefined;
    this.due = false;
    return 'turn';
  }

  /** Lets the client's words pass again, first those that it said meanwhile. */
  resume() {
    if (this.due) return; // the next turn is over already
    const kept = this.kept ?? [];
    this.kept = null;
    this.keptBytes = 0;
    for (const { data } of kept) this.#send(this.far, data);
  }

  /** Ends the session with a last event to the client; the upstream is let go by the engine. */
  stop(event, code, reason) {
    this.#send(this.near, event);
    close(this.near, code, reason);
    this.#end('gate');
  }

  /** Asks the upstream to end the answer under way, so that it tells what it used. */
  cancel() {
    if (this.farOver) return;
    try {
      this.far.send('{"type":"response.cancel"}');
    } catch { /* its closing is told apart */ }
  }

  /** Listens to the upstream alone: 'turn' where the engine has to act, undefined after `ms`, 'over' at its end. */
  async linger(ms) {
    if (!this.due && !this.farOver) {
      const woken = new Promise((resolve) => { this.wake = resolve; });
      await within(woken, ms);
      this.wake = null;
    }
    if (this.due) {
      this.due = false;
      return 'turn';
    }
    return this.farOver ? 'over' : undefined;
  }

  /** Lets the upstream go. */
  letGo() {
    close(this.far, ...this.leaving);
  }
}

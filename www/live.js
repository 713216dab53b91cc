// Keeps one customer's figures current: a WebSocket, and plain HTTP where that fails or is silent.
//
// Phases: connecting → live ⇄ reconnecting, and the two ends `expired` and `refused`, after which
// nothing more is tried. `live` means that a frame came over the socket that is open now.

import { openSocket, readSpend } from "./api.js";

const RETRY_FIRST = 1_000;
const RETRY_MOST = 30_000;
/** A socket that lived this long starts the next backoff from the beginning. */
const STEADY_AFTER = 10_000;
const OPEN_TIMEOUT = 10_000;
/** Silence after which a watched page asks by HTTP: a dead connection makes no sound either. */
const SILENCE_MAX = 60_000;
/** The server's close code for a session that has ended. */
const CLOSE_EXPIRED = 4401;

/** The wait before try `n` (0, 1, …): doubling, bounded, half of it random. */
export function retryDelay(n, random = Math.random) {
  const ceiling = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** Math.min(n, 10));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}

/**
 * Starts at once. `onFrame(frame)` gets every frame, whichever way it came; `onPhase({ phase,
 * problem?, retryAt? })` every change of the connection. Returns `{ close, retryNow }`.
 */
export function openLive({ token, onFrame, onPhase }) {
  let socket = null;
  let phase = "connecting";
  let tries = 0;
  let heardAt = 0;
  let retryAt;
  let retryTimer;
  let openTimer;
  let done = false;

  const tell = (next, more) => {
    phase = next;
    onPhase({ phase, ...more });
  };

  const stop = (last, problem) => {
    close();
    tell(last, { problem });
  };

  const hear = (text) => {
    const frame = parsed(text);
    if (!frame) return;
    heardAt = Date.now();
    onFrame(frame);
    if (phase !== "live") tell("live");
  };

  const connect = () => {
    clearTimeout(retryTimer);
    const mine = openSocket(token);
    let openedAt = 0;
    socket = mine;
    openTimer = setTimeout(giveUpSocket, OPEN_TIMEOUT);
    mine.onopen = () => {
      clearTimeout(openTimer);
      openedAt = Date.now();
    };
    mine.onmessage = (event) => mine === socket && hear(event.data);
    mine.onclose = (event) => {
      if (mine !== socket) return;
      if (event.code === CLOSE_EXPIRED) return stop("expired");
      if (openedAt && Date.now() - openedAt > STEADY_AFTER) tries = 0;
      retryLater();
    };
  };

  const retryLater = () => {
    socket = null;
    clearTimeout(openTimer);
    clearTimeout(retryTimer);
    const delay = retryDelay(tries);
    tries += 1;
    retryAt = Date.now() + delay;
    tell("reconnecting", { retryAt });
    retryTimer = setTimeout(connect, delay);
    // HTTP says why (a socket that never opened cannot), and brings figures meanwhile.
    ask();
  };

  const ask = async () => {
    const askedAt = Date.now();
    try {
      const frame = await readSpend(token);
      // What the socket said meanwhile is newer.
      if (done || heardAt >= askedAt) return;
      if (phase === "live") heardAt = Date.now();
      onFrame(frame);
    } catch (problem) {
      if (done) return;
      if (problem.status === 401) return stop("expired", problem);
      if (problem.status === 403) return stop("refused", problem);
      if (phase === "reconnecting") return tell(phase, { retryAt, problem });
      if (phase === "live" && heardAt < askedAt) giveUpSocket();
    }
  };

  // A dead connection takes its time to close: do not wait for it.
  const giveUpSocket = () => {
    const dead = socket;
    retryLater();
    dead?.close();
  };

  const retryNow = () => {
    if (done || socket) return;
    tries = 0;
    retryAt = undefined;
    tell("reconnecting");
    connect();
  };

  const listenToSilence = () => {
    const silent = Date.now() - heardAt > SILENCE_MAX;
    if (phase === "live" && silent && document.visibilityState === "visible") ask();
  };
  const silenceTimer = setInterval(listenToSilence, SILENCE_MAX / 6);
  document.addEventListener("visibilitychange", listenToSilence);
  addEventListener("online", retryNow);

  function close() {
    done = true;
    clearTimeout(retryTimer);
    clearTimeout(openTimer);
    clearInterval(silenceTimer);
    document.removeEventListener("visibilitychange", listenToSilence);
    removeEventListener("online", retryNow);
    const last = socket;
    socket = null;
    last?.close();
  }

  onPhase({ phase });
  connect();
  ask();
  return { close, retryNow };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

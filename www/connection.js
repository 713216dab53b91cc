// How fresh the figures are, said plainly.

import { html, useEffect } from "./vendor/preact.js";
import { announce } from "./announce.js";
import { agoWords } from "./time.js";
import { useClock } from "./when.js";

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  expired: "Session expired",
  refused: "Access refused",
};

export function Connection({ connection, heardAt, onRetry }) {
  const { phase, retryAt, problem } = connection;
  const now = useClock(1_000);
  useEffect(() => {
    if (phase !== "connecting") announce("connection", `Connection: ${WORDS[phase]}`);
  }, [phase]);
  const wait = retryAt ? Math.ceil((retryAt - now) / 1_000) : 0;
  const why = problem && `${problem.message} (${problem.code})`;
  return html`<div class=${`connection ${phase}`} title=${why}>
    <i class="dot" aria-hidden="true"></i>
    <span data-testid="phase">${WORDS[phase]}</span>
    ${heardAt > 0 && html`<span class="age">updated ${agoWords(now - heardAt)}</span>`}
    ${phase === "reconnecting" && wait > 2 &&
    html`<button type="button" class="quiet" onClick=${onRetry}>
      Try now <span class="age">(else in ${wait} s)</span>
    </button>`}
  </div>`;
}

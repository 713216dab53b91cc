// One polite live region for the whole page. Changes come far faster than anyone can listen, so it
// speaks at most every ten seconds and then says only the latest word on each topic.

import { html, useEffect, useState } from "./vendor/preact.js";

const GAP = 10_000;

const waiting = new Map();
let speak = null;
let spokeAt = -GAP;
let timer = null;

/** Says `text` when it may; a later text on the same topic replaces one that still waits. */
export function announce(topic, text) {
  waiting.set(topic, text);
  if (timer === null) timer = setTimeout(flush, Math.max(0, spokeAt + GAP - performance.now()));
}

function flush() {
  timer = null;
  if (!speak) return;
  spokeAt = performance.now();
  speak([...waiting.values()].join(" "));
  waiting.clear();
}

export function LiveRegion() {
  const [text, setText] = useState("");
  useEffect(() => {
    speak = setText;
    if (waiting.size > 0 && timer === null) flush();
    return () => {
      speak = null;
    };
  }, []);
  return html`<p class="unseen" role="status">${text}</p>`;
}

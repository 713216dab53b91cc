// The what-if's engine in a worker of its own: the page stays free while an archive streams through.
// In comes one message, {records, by, text}; out go {done, total} as it goes, and {result} or {error}.

import init, { WhatIf } from "./pkg/whatif.js";

/** Bytes read at a time: two of them and the engine's copy are all that is held of an archive. */
const CHUNK = 8 * 1024 * 1024;

onmessage = async ({ data: { records, by, text } }) => {
  try {
    await init();
    postMessage({ result: await run(records, open(by, text)) });
  } catch (error) {
    postMessage({ error: String(error?.message ?? error) });
  }
};

function open(by, text) {
  return by === "plan" ? WhatIf.byPlan(text) : WhatIf.byBook(text);
}

async function run(records, whatIf) {
  const read = (at) => records.slice(at, at + CHUNK).arrayBuffer();
  let next = read(0);
  for (let at = 0; at < records.size; at += CHUNK) {
    const chunk = new Uint8Array(await next);
    // The disk reads on while the engine computes.
    next = read(at + CHUNK);
    whatIf.push(chunk);
    postMessage({ done: Math.min(at + CHUNK, records.size), total: records.size });
  }
  return JSON.parse(whatIf.finish());
}

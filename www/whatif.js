// The what-if box: what would recorded usage have cost under another book or plan? The records are
// read and priced in this browser, by a worker; nothing leaves it.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { announce } from "./announce.js";
import { formatCount, formatMoney } from "./amount.js";
import { Report } from "./whatif-report.js";

/** Longest price book or plan; the engine reads no longer one, so none is loaded to be refused there. */
const TERMS_MAX = 16 * 1024 * 1024;

export function WhatIf() {
  const [by, setBy] = useState("book");
  const [records, setRecords] = useState(null);
  const [terms, setTerms] = useState(null);
  const [state, run, cancel] = useRun();
  const running = state.phase === "running";

  return html`<section class="panel whatif" aria-labelledby="whatif-title">
    <h2 id="whatif-title">What if</h2>
    <p class="note">
      Prices an archive of usage records anew, line by line, in this browser. Nothing leaves it.
    </p>
    <form onSubmit=${(event) => { event.preventDefault(); run(records, by, terms); }}>
      <label for="whatif-records">Usage records (NDJSON)</label>
      <input id="whatif-records" type="file" accept=".ndjson,.jsonl" disabled=${running}
        onChange=${(event) => setRecords(event.target.files[0] ?? null)} />
      <label for="whatif-by">Under another</label>
      <select id="whatif-by" value=${by} disabled=${running} onChange=${(event) => setBy(event.target.value)}>
        <option value="book">price book</option>
        <option value="plan">plan</option>
      </select>
      <label for="whatif-terms">Its file (JSON)</label>
      <input id="whatif-terms" type="file" accept=".json" disabled=${running}
        onChange=${(event) => setTerms(event.target.files[0] ?? null)} />
      ${/* Two elements, not one that changes: a click that cancels would submit what it became. */ ""}
      ${running
        ? html`<button key="cancel" type="button" onClick=${cancel}>Cancel</button>`
        : html`<button key="submit" type="submit" disabled=${!records || !terms}>Price it</button>`}
    </form>
    <${Outcome} state=${state} />
  </section>`;
}

function Outcome({ state: { phase, done, total, result, error } }) {
  if (phase === "running") {
    return html`<p class="progress">
      <progress max=${total} value=${done} aria-label="Records read"></progress>
      <span>${percent(done, total)} %</span>
    </p>`;
  }
  if (phase === "cancelled") return html`<p class="note">Cancelled. Nothing was kept.</p>`;
  if (error) {
    return html`<div class="fault" role="alert">
      <p><strong>Not priced.</strong> <span class="faults">${error}</span></p>
    </div>`;
  }
  return result ? html`<${Report} report=${result} />` : null;
}

const percent = (done, total) => (total > 0 ? Math.floor((done / total) * 100) : 0);

/** One run at a time: its state, and how to start and to stop it. */
function useRun() {
  const [state, setState] = useState({ phase: "idle" });
  const worker = useRef(null);
  const stop = () => {
    worker.current?.terminate();
    worker.current = null;
  };
  useEffect(() => stop, []);

  const run = async (records, by, terms) => {
    stop();
    if (terms.size > TERMS_MAX) {
      setState({ phase: "done", error: `${terms.name} is too long: a price book or a plan has at most ${formatCount(String(TERMS_MAX))} bytes.` });
      return;
    }
    setState({ phase: "running", done: 0, total: records.size });
    const mine = new Worker(new URL("./whatif-worker.js", import.meta.url), { type: "module" });
    worker.current = mine;
    const end = (next) => {
      if (worker.current !== mine) return;
      stop();
      setState({ phase: "done", ...next });
      announce("whatif", spoken(next));
    };
    mine.onerror = () => end({ error: "The engine could not be loaded, or it stopped." });
    mine.onmessage = ({ data }) => {
      if (worker.current !== mine) return;
      if (data.total !== undefined) setState({ phase: "running", ...data });
      else end(data.result?.error ? { error: data.result.error.message } : data);
    };
    try {
      mine.postMessage({ records, by, text: await terms.text() });
    } catch {
      end({ error: `${terms.name} could not be read.` });
    }
  };
  const cancel = () => {
    stop();
    setState({ phase: "cancelled" });
  };
  return [state, run, cancel];
}

function spoken({ result, error }) {
  if (error) return `Not priced: ${error}`;
  const words = (amount) => amount === undefined ? "not priced" : formatMoney(amount, result.currency, { style: "fine" });
  return `What if: ${words(result.new)} instead of ${words(result.old)}.`;
}

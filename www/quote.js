// The quote box: what would this request cost? Computed here, on input; nothing typed is sent.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { announce } from "./announce.js";
import { formatMoney } from "./amount.js";
import { loadEngine } from "./engine.js";
import { Answer, Fault } from "./quote-answer.js";
import { SAMPLES } from "./samples.js";

const DEBOUNCE = 150;

export function Quote({ token, snapshot }) {
  const [engine, retry] = useEngine(token);
  const [endpoint, setEndpoint] = useState(Object.keys(SAMPLES)[0]);
  const [body, setBody] = useState(SAMPLES[endpoint]);
  const result = useResult(engine, endpoint, body);

  const switchTo = (next) => {
    // A sample gives way to the other endpoint's; what someone typed stays.
    if (body === SAMPLES[endpoint]) setBody(SAMPLES[next]);
    setEndpoint(next);
  };

  return html`<section class="panel quote" aria-labelledby="quote-title">
    <h2 id="quote-title">Quote</h2>
    <p class="note" id="quote-help">
      Priced in this browser by the engine that meters your requests. Nothing you type is sent.
    </p>
    <label for="quote-endpoint">Endpoint</label>
    <select id="quote-endpoint" value=${endpoint} onChange=${(e) => switchTo(e.target.value)}>
      ${Object.keys(SAMPLES).map((path) => html`<option key=${path} value=${path}>${path}</option>`)}
    </select>
    <label for="quote-body">Request body</label>
    <textarea
      id="quote-body" rows="11" spellcheck="false" autocapitalize="off" autocomplete="off"
      aria-describedby="quote-help" value=${body} onInput=${(e) => setBody(e.target.value)}
    ></textarea>
    <div class="answer" data-testid="quote-answer">
      <${Outcome} problem=${engine.problem} result=${result} snapshot=${snapshot} onRetry=${retry} />
    </div>
  </section>`;
}

function Outcome({ problem, result, snapshot, onRetry }) {
  if (problem) {
    return html`<${Fault} code=${problem.code} message=${problem.message}>
      <button type="button" onClick=${onRetry}>Try again</button>
    <//>`;
  }
  if (!result) return html`<p class="note">Loading the engine and your price book…</p>`;
  if (result.error) return html`<${Fault} ...${result.error} />`;
  return html`<${Answer} quote=${result} snapshot=${snapshot} />`;
}

function useEngine(token) {
  const [engine, setEngine] = useState({});
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let wanted = true;
    const load = () =>
      loadEngine(token, tries).then(
        (ready) => wanted && setEngine(ready),
        (problem) => wanted && setEngine({ problem }),
      );
    const cancel = whenIdle(load);
    return () => {
      wanted = false;
      cancel();
    };
  }, [token, tries]);
  const retry = () => {
    setEngine({});
    setTries(tries + 1);
  };
  return [engine, retry];
}

// First paint comes first; a browser without idle callbacks waits a moment instead.
function whenIdle(work) {
  if (globalThis.requestIdleCallback) {
    const id = requestIdleCallback(work, { timeout: 2_000 });
    return () => cancelIdleCallback(id);
  }
  const id = setTimeout(work, 200);
  return () => clearTimeout(id);
}

function useResult(engine, endpoint, body) {
  const [result, setResult] = useState(null);
  const first = useRef(true);
  useEffect(() => {
    if (!engine.quote) return;
    const compute = () => {
      const next = engine.quote(endpoint, body);
      setResult(next);
      if (!first.current) announce("quote", spoken(next));
      first.current = false;
    };
    const timer = setTimeout(compute, first.current ? 0 : DEBOUNCE);
    return () => clearTimeout(timer);
  }, [engine, endpoint, body]);
  return result;
}

function spoken(result) {
  if (result.error) return `No quote: ${result.error.message}`;
  const words = (amount) => formatMoney(amount, result.currency, { style: "fine" });
  return `Quote: expected ${words(result.expected)}, at most ${words(result.upper)}.`;
}

// What the engine says about a request: the bounds, whether they fit, and the arithmetic behind them.

import { html } from "./vendor/preact.js";
import { compare, formatCount, formatMoney } from "./amount.js";
import { Absent, Money, widestFraction } from "./money.js";
import { leadingLimit } from "./snapshot.js";

const ADVICE = {
  invalid_json: "Paste the body exactly as your code would send it.",
  model_not_priced: "A request for a model without a price is refused, not given away.",
  meter_not_priced: "A request with a part that has no price is refused, not given away.",
};

const METERS = {
  input_uncached: "Input",
  cache_read: "Input, read from cache",
  cache_write: "Input, written to cache",
  cache_write_5m: "Input, cached 5 min",
  cache_write_1h: "Input, cached 1 h",
  output_total: "Output",
  reasoning: "Reasoning",
  requests: "Request",
};

export function Fault({ code, message, children }) {
  return html`<div class="fault">
    <p><strong>No quote.</strong> ${message}</p>
    ${ADVICE[code] && html`<p class="note">${ADVICE[code]}</p>`}
    <p class="note">Code: <code>${code}</code></p>
    ${children}
  </div>`;
}

export function Answer({ quote, snapshot }) {
  return html`<${Bounds} quote=${quote} />
    <${Verdict} quote=${quote} snapshot=${snapshot} />
    <${Formula} quote=${quote} />
    <dl class="facts">
      <div><dt>Model</dt><dd>${quote.model}${quote.provider && ` · ${quote.provider}`}</dd></div>
      <div><dt>Input tokens</dt><dd><${Range} ...${quote.input_tokens} /></dd></div>
      <div><dt>Output tokens</dt><dd><${Range} ...${quote.output_tokens} /></dd></div>
      <div><dt>Price book</dt><dd>${quote.book_version ?? html`<${Absent} />`}</dd></div>
    </dl>`;
}

function Bounds({ quote }) {
  const { currency, lower, expected, upper } = quote;
  const align = widestFraction([lower, expected, upper], currency, "exact");
  const bound = (name, text) => html`<div class=${name.toLowerCase()}>
    <dt>${name}</dt>
    <dd><${Money} text=${text} currency=${currency} style="exact" align=${align} /></dd>
  </div>`;
  return html`<dl class="bounds">
    ${bound("Lower", lower)}${bound("Expected", expected)}${bound("Upper", upper)}
  </dl>`;
}

function Range({ lower, upper }) {
  if (!upper) return html`<${Absent} why="unbounded" />`;
  if (lower === upper) return formatCount(upper);
  return lower ? `${formatCount(lower)} to ${formatCount(upper)}` : `up to ${formatCount(upper)}`;
}

/** The upper bound is what would be held; this compares it with what remains right now. */
function Verdict({ quote, snapshot }) {
  const limit = snapshot && leadingLimit(snapshot);
  if (!limit || limit.kind !== "hard" || snapshot.currency !== quote.currency) return null;
  const order = compare(quote.upper, limit.remaining);
  if (order === null) return null;
  const fits = order !== 1;
  const remains = html`<${Money} text=${limit.remaining} currency=${quote.currency} /> remains`;
  return html`<p class=${fits ? "verdict" : "verdict no"}>
    ${fits
      ? html`The upper bound is held before the request is forwarded; ${remains}, so it fits.`
      : html`The upper bound does not fit: ${remains}. A lower <code>max_tokens</code> may.`}
  </p>`;
}

function Formula({ quote }) {
  const { currency, lines = [] } = quote;
  const align = widestFraction([...lines.map((line) => line.amount), quote.upper], currency, "exact");
  return html`<table class="formula">
    <caption>How the upper bound adds up</caption>
    <thead>
      <tr>
        <th scope="col">Meter</th>
        <th scope="col" class="number">Quantity × rate</th>
        <th scope="col" class="number">Amount</th>
      </tr>
    </thead>
    <tbody>
      ${lines.map(
        (line, at) => html`<tr key=${at}>
          <th scope="row" title=${line.meter}>${METERS[line.meter] ?? line.meter.replaceAll("_", " ")}</th>
          <td class="number">
            ${formatCount(line.quantity)} × ${formatMoney(line.rate, currency, { style: "exact" })}
            <${Per} text=${line.per} />
          </td>
          <td class="number"><${Money} text=${line.amount} currency=${currency} style="exact" align=${align} /></td>
        </tr>`,
      )}
    </tbody>
    <tfoot>
      <tr>
        <th scope="row" colspan="2">Upper bound</th>
        <td class="number"><${Money} text=${quote.upper} currency=${currency} style="exact" align=${align} /></td>
      </tr>
    </tfoot>
  </table>`;
}

const ROUND_NUMBERS = { 1000: "1K", 1000000: "1M" };

function Per({ text }) {
  if (!text || text === "1") return null;
  return html`<span title=${`per ${formatCount(text)}`}> / ${ROUND_NUMBERS[text] ?? formatCount(text)}</span>`;
}

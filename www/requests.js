// The last requests, newest first, one row an attempt.

import { html, useState } from "./vendor/preact.js";
import { formatCount } from "./amount.js";
import { Absent, Money, widestFraction } from "./money.js";
import { rowKey } from "./snapshot.js";
import { ZONE } from "./time.js";
import { When } from "./when.js";

/** Rows before "show all": a screenful, and not too long a way on a phone. */
const ROWS_AT_FIRST = 15;

const OUTCOMES = { settled: "Settled", voided: "Voided", unresolved: "Unresolved" };

const MEANINGS = {
  unresolved: "No end was seen in time. What is booked for it may still be corrected.",
  voided: "Nothing was used, nothing is owed; the hold was released.",
  overage: "Cost more than was held for it.",
  late: "Settled after its hold had run out.",
  counted: "Some quantities were counted here, because the provider did not report them.",
  unpriced: "A quantity has no rate in the price book; it is not free, only not priced yet.",
  correction: "A later record corrected this request; the row shows the corrected amount.",
};

const FLAG_WORDS = {
  overage: "over its hold",
  late: "late",
  counted: "counted",
  unpriced: "unpriced",
  correction: "corrected",
};

export function Requests({ snapshot }) {
  const [all, setAll] = useState(false);
  const { requests, fresh, currency } = snapshot;
  const rows = all ? requests : requests.slice(0, ROWS_AT_FIRST);
  const align = widestFraction(rows.map((row) => row.amount), currency, "fine");
  return html`<section class="panel requests" aria-labelledby="requests-title">
    <h2 id="requests-title">Last requests</h2>
    ${requests.length === 0
      ? html`<p class="note">No requests yet. The first one shows up here as soon as it finishes.</p>`
      : html`<table role="table">
          <caption>Newest first; times in ${ZONE}</caption>
          <${Head} />
          <tbody role="rowgroup">
            ${rows.map(
              (row) => html`<${Row}
                key=${rowKey(row)} row=${row} currency=${row.currency ?? currency}
                align=${align} isNew=${fresh.has(rowKey(row))}
              />`,
            )}
          </tbody>
        </table>`}
    ${requests.length > ROWS_AT_FIRST &&
    html`<button type="button" aria-expanded=${all} onClick=${() => setAll(!all)}>
      ${all ? "Show fewer" : `Show all ${requests.length}`}
    </button>`}
    ${requests.length > 0 && html`<${Legend} />`}
  </section>`;
}

function Head() {
  return html`<thead role="rowgroup">
    <tr role="row">
      <th role="columnheader" scope="col">Time</th>
      <th role="columnheader" scope="col">Model</th>
      <th role="columnheader" scope="col" class="number">Tokens in</th>
      <th role="columnheader" scope="col" class="number">Tokens out</th>
      <th role="columnheader" scope="col">Result</th>
      <th role="columnheader" scope="col" class="number">Amount</th>
    </tr>
  </thead>`;
}

function Row({ row, currency, align, isNew }) {
  return html`<tr role="row" class=${isNew ? "new" : undefined}>
    <td role="cell" class="when"><${When} text=${row.at} /></td>
    <th role="rowheader" scope="row" class="model" title=${`request ${row.request_id}`}>
      ${row.model ?? html`<${Absent} why="no model named" />`}
      <small>${row.endpoint}${row.stream && " · stream"}</small>
    </th>
    <td role="cell" class="number tokens" data-label="in"><${Tokens} text=${row.input_total} /></td>
    <td role="cell" class="number tokens" data-label="out"><${Tokens} text=${row.output_total} /></td>
    <td role="cell" class="result"><${Result} row=${row} /></td>
    <td role="cell" class="number amount"><${Amount} row=${row} currency=${currency} align=${align} /></td>
  </tr>`;
}

function Tokens({ text }) {
  return text === undefined || text === null ? html`<${Absent} />` : formatCount(text);
}

function Result({ row }) {
  const failed = row.status >= 400;
  // "unpriced" stands in the amount's own column.
  const flags = (row.flags ?? []).filter((flag) => flag !== "unpriced");
  return html`<span class=${`outcome ${row.outcome}`} title=${MEANINGS[row.outcome]}>
      ${OUTCOMES[row.outcome] ?? row.outcome}
    </span>
    ${failed && html` <span class="tag bad">HTTP ${row.status}</span>`}
    ${flags.map((flag) => html` <${Flag} key=${flag} flag=${flag} />`)}`;
}

function Flag({ flag }) {
  return html`<span class="tag" title=${MEANINGS[flag]}>${FLAG_WORDS[flag] ?? flag}</span>`;
}

// An unpriced request is not a free one: its amount, if any, is only a part of the price.
function Amount({ row, currency, align }) {
  const unpriced = row.flags?.includes("unpriced");
  const tag = html`<span class="tag bad" title=${MEANINGS.unpriced}>unpriced</span>`;
  if (unpriced && (row.amount === undefined || row.amount === null)) return tag;
  return html`
    ${unpriced && html`${tag} `}
    <${Money} text=${row.amount} currency=${currency} style="fine" align=${align} />
  `;
}

function Legend() {
  return html`<details class="legend">
    <summary>What the marks mean</summary>
    <dl>
      ${Object.entries(MEANINGS).map(
        ([mark, meaning]) => html`<div key=${mark}>
          <dt>${FLAG_WORDS[mark] ?? OUTCOMES[mark]}</dt>
          <dd>${meaning}</dd>
        </div>`,
      )}
      <div><dt>—</dt><dd>Not reported. This is not a zero.</dd></div>
    </dl>
  </details>`;
}

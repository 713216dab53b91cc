// All limits, where there are more than the tiles show.

import { html } from "./vendor/preact.js";
import { Absent, Money } from "./money.js";
import { isMoney, leadingLimit, softMark } from "./snapshot.js";
import { periodWords, usedWords } from "./status.js";
import { momentWords, untilWords } from "./time.js";
import { Moment, useClock } from "./when.js";

const KINDS = { hard: "stops", soft: "warns" };

export function Limits({ snapshot, skew }) {
  const now = useClock(15_000) + skew;
  const { currency, limits = [] } = snapshot;
  const leading = leadingLimit(snapshot);
  const shown = [leading, leading && softMark(snapshot, leading)];
  if (limits.every((limit) => shown.includes(limit))) return null;
  return html`<section class="panel limits" aria-labelledby="limits-title">
    <h2 id="limits-title">Limits</h2>
    <table role="table">
      <caption class="unseen">All limits, with what is used of each</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">Limit</th>
          <th role="columnheader" scope="col" class="number">At</th>
          <th role="columnheader" scope="col" class="number">Used</th>
          <th role="columnheader" scope="col" class="number">Remaining</th>
          <th role="columnheader" scope="col">Resets</th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${limits.map(
          (limit) => html`<${Row} key=${limit.id} limit=${limit} currency=${currency} now=${now} />`,
        )}
      </tbody>
    </table>
  </section>`;
}

function Row({ limit, currency, now }) {
  const scope = limit.value ? `${limit.scope} ${limit.value}` : limit.scope;
  const nature = [KINDS[limit.kind] ?? limit.kind, scope, periodWords(limit.window) || limit.window];
  const amount = (text) => (isMoney(limit) ? html`<${Money} text=${text} currency=${currency} />` : `${text} ${limit.unit}`);
  return html`<tr role="row">
    <th role="rowheader" scope="row">${limit.id}<small>${nature.filter(Boolean).join(" · ")}</small></th>
    <td role="cell" class="number" data-label="at">
      ${amount(limit.limit)}
    </td>
    <td role="cell" class="number" data-label="used">
      ${usedWords(limit) ?? html`<${Absent} why="a limit of nothing" />`}
    </td>
    <td role="cell" class="number" data-label="remaining">
      ${amount(limit.remaining)}
    </td>
    <td role="cell" class="resets" data-label="resets"><${Reset} text=${limit.resets_at} now=${now} /></td>
  </tr>`;
}

function Reset({ text, now }) {
  const words = (at) => `${momentWords(at)}, ${untilWords(at, now)}`;
  return html`<${Moment} text=${text} words=${words} fallback="never" />`;
}

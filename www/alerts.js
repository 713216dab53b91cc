// What was told of late, newest first.

import { html } from "./vendor/preact.js";
import { formatMoney } from "./amount.js";
import { momentWords } from "./time.js";
import { Moment } from "./when.js";

/** An alert in one line; undefined for a kind that this page does not know. */
export function alertWords({ type, data = {} }) {
  const money = (amount) => formatMoney(amount, data.currency);
  switch (type) {
    case "limit.threshold":
      return `${data.percent} % of limit ${data.limit.id} used`;
    case "burn.rate":
      return `Limit ${data.limit.id} will be spent before it resets`;
    case "spend.typical":
      return `${data.percent} % of a usual month spent: ${money(data.spent)}`;
    case "spend.spike":
      return `Unusual day: ${money(data.spent)}, usually ${money(data.usual)}`;
    case "balance.low":
      return `Credit low: ${data.left} ${data.name} left`;
    case "balance.runs_out":
      return `Credit lasts for ${data.days} more days or fewer`;
    case "summary.week":
      return `Week of ${data.week}: ${money(data.spent)}`;
    default:
      return undefined;
  }
}

export function Alerts({ snapshot: { alerts = [] } }) {
  const known = alerts.map((alert) => [alert, alertWords(alert)]).filter(([, words]) => words);
  if (known.length === 0) return null;
  return html`<section class="panel alerts" aria-labelledby="alerts-title">
    <h2 id="alerts-title">Alerts</h2>
    <ul>
      ${known.map(
        ([alert, words]) => html`<li key=${alert.id}>
          ${words} <small><${Moment} text=${alert.timestamp} words=${momentWords} /></small>
        </li>`,
      )}
    </ul>
  </section>`;
}

// What a what-if came to: in all, by model and by meter, with what has no price and what could not be
// read. Every figure is the engine's; nothing is computed here.

import { html } from "./vendor/preact.js";
import { formatCount } from "./amount.js";
import { Absent, Money, widestFraction } from "./money.js";

export function Report({ report }) {
  const { currency, attempts, passed_over, periods, models, unpriced, errors, examples } = report;
  return html`<div class="report">
    <${Sums} currency=${currency} rows=${rowsOf(report)} />
    <p class="note">
      ${formatCount(String(attempts))} ${attempts === 1 ? "attempt" : "attempts"}${report.changed !== undefined && `, ${formatCount(String(report.changed))} of another price`}${passed_over > 0 && `; ${formatCount(String(passed_over))} lines repeat another or were corrected`}.
    </p>
    <${Unpriced} rows=${unpriced} />
    <${LeftOut} report=${report} />
    <${Errors} errors=${errors} />
    ${(periods ?? []).some(({ error }) => error) && html`<ul class="faults">
      ${periods.filter(({ error }) => error).map((row) => html`<li key=${nameOf(row)}>
        ${nameOf(row)}: ${row.error.message} <code>${row.error.code}</code></li>`)}
    </ul>`}
    ${periods?.some(({ lines }) => lines?.length > 0) && html`<${PlanLines} periods=${periods} currency=${currency} />`}
    ${!periods && models.length > 0 && html`<${Lines} models=${models} currency=${currency} />`}
    ${examples?.length > 0 && html`<${Examples} examples=${examples} currency=${currency} />`}
  </div>`;
}

/** Rows of periods that are shown; all of them are in the sums. */
const PERIODS_SHOWN = 500;

/** A customer's period, by the day it starts on. */
const nameOf = ({ customer, start = "" }) => `${customer} · ${start.slice(0, 10)}`;

/** All, then the models, or the plan's periods. */
function rowsOf({ periods, models, ...all }) {
  const parts = periods
    ? periods.slice(0, PERIODS_SHOWN).map((row) => ({ ...row, name: nameOf(row) }))
    : models.map((model) => ({ ...model, name: model.model }));
  return [{ ...all, name: "All" }, ...parts];
}

function Sums({ currency, rows }) {
  return html`<${Compared} caption="Before and after" head=${rows[0].old === undefined ? "" : "Of"} rows=${rows} currency=${currency} testid="whatif-sums" />`;
}

function Compared({ caption, head, rows, currency, testid }) {
  const columns = ["old", "new", "difference"];
  const align = Object.fromEntries(
    columns.map((name) => [name, widestFraction(rows.map((row) => row[name] ?? "0"), currency, "exact")]),
  );
  const cell = (row, name) => html`<td class="number">
    ${row[name] === undefined
      ? html`<${Absent} why="not priced" />`
      : html`<${Money} text=${row[name]} currency=${currency} style="exact" align=${align[name]} />`}
  </td>`;
  return html`<div class="wide"><table class="formula" data-testid=${testid}>
    <caption>${caption}</caption>
    <thead><tr>
      <th scope="col">${head}</th>
      <th scope="col" class="number">Before</th>
      <th scope="col" class="number">After</th>
      <th scope="col" class="number">Difference</th>
    </tr></thead>
    <tbody>
      ${rows.map((row, at) => html`<tr key=${at}>
        <th scope="row">${row.name}</th>${columns.map((name) => cell(row, name))}
      </tr>`)}
    </tbody>
  </table></div>`;
}

function Lines({ models, currency }) {
  const rows = models.flatMap(({ model, lines }) =>
    lines.map((line) => ({ ...line, name: `${model} · ${line.meter.replaceAll("_", " ")}` })));
  return html`<details>
    <summary>By model and meter</summary>
    <${Compared} caption="Lines" head="Meter" rows=${rows} currency=${currency} testid="whatif-lines" />
  </details>`;
}

/** What was charged beside what the plan charges. */
function PlanLines({ periods, currency }) {
  const rows = periods.slice(0, PERIODS_SHOWN).flatMap((row) =>
    (row.lines ?? []).map((line) => ({
      ...line,
      name: `${nameOf(row)} · ${[line.kind, line.meter ?? line.id].filter(Boolean).join(" ").replaceAll("_", " ")}`,
    })));
  return html`<details>
    <summary>By period, line by line</summary>
    <${Compared} caption="Lines" head="Line" rows=${rows} currency=${currency} testid="whatif-lines" />
  </details>`;
}

function Examples({ examples, currency }) {
  const rows = examples.flatMap(({ customer, seq, model, changes = [] }) =>
    changes.map(({ meter, old, new: after, difference }) => ({
      name: `${customer} ${seq} · ${model} · ${meter.replaceAll("_", " ")}`,
      old: old?.amount, new: after?.amount, difference,
    })));
  return html`<details>
    <summary>The first ${examples.length} records that differ</summary>
    <${Compared} caption="Line by line" head="Record" rows=${rows} currency=${currency} testid="whatif-examples" />
  </details>`;
}

function Unpriced({ rows }) {
  if (rows.length === 0) return null;
  return html`<ul class="faults" data-testid="whatif-unpriced">
    ${rows.map(({ model, error, attempts }) => html`<li key=${model + error.code}>
      ${model}: ${formatCount(String(attempts))} not priced, in no sum. <code>${error.code}</code>
    </li>`)}
  </ul>`;
}

/** What a plan has no price for: in none of the sums above. */
function LeftOut({ report: { not_in_plan = [], left_out, currency } }) {
  if (not_in_plan.length === 0) return null;
  return html`<p class="fault" role="alert" data-testid="whatif-left-out">
    The plan has no price for ${not_in_plan.map((meter) => meter.replaceAll("_", " ")).join(", ")}: in no sum.
    It was charged <${Money} text=${left_out} currency=${currency} style="exact" />. <code>not_in_plan</code>
  </p>`;
}

function Errors({ errors }) {
  if (errors.count === 0) return null;
  const more = errors.count - errors.first.length;
  return html`<details class="faults" data-testid="whatif-errors">
    <summary>${formatCount(String(errors.count))} ${errors.count === 1 ? "line" : "lines"} could not be read</summary>
    <ul>
      ${errors.first.map(({ line, code, message }) => html`<li key=${line}>
        Line ${formatCount(String(line))}: ${message} <code>${code}</code>
      </li>`)}
      ${more > 0 && html`<li>and ${formatCount(String(more))} more</li>`}
    </ul>
  </details>`;
}

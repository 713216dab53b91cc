// Where the customer stands: the state in words, and the tiles under it.

import { html, useEffect } from "./vendor/preact.js";
import { announce } from "./announce.js";
import { compare, formatMoney, isZero, percent } from "./amount.js";
import { Check, Stop, Unknown, Warning } from "./icons.js";
import { Absent, Money } from "./money.js";
import { leadingLimit, softMark } from "./snapshot.js";
import { describe, periodWords, resetWords, usedOf, usedWords } from "./status.js";
import { Moment, useClock } from "./when.js";

const ICONS = { ok: Check, warn: Warning, stopped: Stop, unknown: Unknown };

export function Spend({ snapshot, skew }) {
  const now = useClock(15_000) + skew;
  return html`
    <${State} state=${describe(snapshot, now)} />
    <${Tiles} snapshot=${snapshot} now=${now} />
  `;
}

function State({ state }) {
  const { level, word, sentence } = state;
  // Every tenth of the limit is news to a listener, every cent is not.
  const news = `${level} ${word.replace(/\d(?= %)/, "0")}`;
  useEffect(() => announce("state", `${word}. ${sentence}`), [news]);
  return html`<section class=${`state ${level}`} aria-labelledby="state-word">
    <${ICONS[level]} />
    <h2 id="state-word">${word}</h2>
    <p>${sentence}</p>
  </section>`;
}

function Tiles({ snapshot, now }) {
  const limit = leadingLimit(snapshot);
  return html`<section class="tiles" aria-label="Spend">
    <${Spent} snapshot=${snapshot} limit=${limit} />
    <${Remaining} snapshot=${snapshot} limit=${limit} now=${now} />
    <${Today} snapshot=${snapshot} />
  </section>`;
}

function Spent({ snapshot, limit }) {
  const { currency, spend } = snapshot;
  const { settled, held } = limit ?? spend;
  const period = limit ? periodWords(limit.window) : "";
  return html`<article class="tile spent">
    <h3>Spent${period && ` ${period}`}</h3>
    <p class="parts">
      <span class="figure"><${Money} text=${settled} currency=${currency} /></span>
      <span class="part"><i class="key settled"></i>settled</span>
      <span class=${isZero(held) ? "part none" : "part"}>
        <i class="key held"></i><${Money} text=${held} currency=${currency} style="fine" />${" "}
        held by running requests
      </span>
    </p>
    ${limit && html`<${Bar} snapshot=${snapshot} limit=${limit} />`}
  </article>`;
}

// Shares are texts in percent, computed on digits; the widths are set through the CSSOM, which a
// strict content security policy allows.
function Bar({ snapshot, limit }) {
  const { currency } = snapshot;
  const share = (amount) => percent(amount, limit.limit, 2) ?? "100";
  const used = usedOf(limit);
  const soft = softMark(snapshot, limit);
  const words = usedWords(limit);
  return html`<div class="gauge">
    <div
      class=${compare(used, limit.limit) === -1 ? "bar" : "bar full"}
      role="meter"
      aria-label="Limit used"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${capped(percent(used, limit.limit) ?? "100")}
      aria-valuetext=${`${words ?? "all"} of ${formatMoney(limit.limit, currency)}`}
    >
      ${["settled", "held"].map((part) => {
        if (isZero(limit[part])) return null;
        return html`<span key=${part} class=${part} style=${{ width: `${capped(share(limit[part]))}%` }}></span>`;
      })}
      ${soft && html`<span class="soft" style=${{ left: `${capped(share(soft.limit))}%` }}></span>`}
    </div>
    <p class="scale">
      <span>${words && `${words} used`}</span>
      <span>
        ${soft && html`warns at <${Money} text=${soft.limit} currency=${currency} />, `}
        ${limit.kind === "hard" ? "stops at" : "warns at"} <${Money} text=${limit.limit} currency=${currency} />
      </span>
    </p>
  </div>`;
}

function capped(share) {
  if (compare(share, "0") === -1) return "0";
  return compare(share, "100") === 1 ? "100" : share;
}

function Remaining({ snapshot, limit, now }) {
  const over = limit && compare(limit.remaining, "0") === -1;
  return html`<article class="tile">
    <h3>Remaining</h3>
    <p class="figure">
      ${limit
        ? html`<${Money} text=${limit.remaining} currency=${snapshot.currency} />`
        : html`<${Absent} why="no limit" />`}
    </p>
    <p class="note">
      ${over && html`<strong>Over the limit.</strong> `}
      ${limit
        ? html`<${Moment}
            text=${limit.resets_at} words=${() => resetWords(limit, now)} fallback=${resetWords(limit, now)}
          />`
        : "No limit is set, so nothing stops."}
    </p>
  </article>`;
}

function Today({ snapshot }) {
  return html`<article class="tile">
    <h3>Today</h3>
    <p class="figure"><${Money} text=${snapshot.spend.today} currency=${snapshot.currency} /></p>
    <p class="note">Settled so far; running requests are added when they finish.</p>
  </article>`;
}

// Puts the page together. Each idea lives in its own file; this one only decides what stands where.

import { html, render, useCallback, useEffect, useState } from "./vendor/preact.js";
import { Alerts } from "./alerts.js";
import { LiveRegion } from "./announce.js";
import { Connection } from "./connection.js";
import { useFeed } from "./feed.js";
import { Mark } from "./icons.js";
import { Limits } from "./limits.js";
import { Quote } from "./quote.js";
import { Requests } from "./requests.js";
import { forgetSession, keepSession, keptSession, takeSessionFromAddress } from "./session.js";
import { ExpiredNotice, SignIn } from "./signin.js";
import { Spend } from "./spend.js";
import { describe } from "./status.js";
import { WhatIf } from "./whatif.js";

function App({ first }) {
  const [token, setToken] = useState(first);
  const open = useCallback((next) => {
    keepSession(next);
    setToken(next);
  }, []);
  const leave = useCallback(() => {
    forgetSession();
    setToken(null);
  }, []);

  // A second link opened in the same tab only changes the fragment.
  useEffect(() => {
    const take = () => {
      const next = takeSessionFromAddress();
      if (next) setToken(next);
    };
    addEventListener("hashchange", take);
    return () => removeEventListener("hashchange", take);
  }, []);

  return html`
    ${token
      ? html`<${Dashboard} key=${token} token=${token} onToken=${open} onLeave=${leave} />`
      : html`<${SignIn} onToken=${open} />`}
    <${LiveRegion} />
  `;
}

function Dashboard({ token, onToken, onLeave }) {
  const { snapshot, heardAt, skew, connection, retryNow } = useFeed(token);
  const ended = connection.phase === "expired";
  useEffect(() => {
    if (ended) forgetSession();
  }, [ended]);
  useEffect(() => {
    document.title = pageTitle(snapshot, ended);
  }, [snapshot, ended]);

  if (ended && !snapshot) return html`<${SignIn} expired onToken=${onToken} />`;
  return html`
    <header class="top">
      <p class="brand"><${Mark} /> Farebox</p>
      <h1>${snapshot ? snapshot.customer : "Usage"}</h1>
      <${Connection} connection=${connection} heardAt=${heardAt} onRetry=${retryNow} />
      <button type="button" class="quiet leave" onClick=${onLeave}>Close session</button>
    </header>
    <main class=${ended ? "board ended" : "board"}>
      ${ended && html`<${ExpiredNotice} onToken=${onToken} />`}
      ${snapshot
        ? html`<${Board} token=${token} snapshot=${snapshot} skew=${skew} />`
        : html`<${Waiting} connection=${connection} />`}
    </main>
  `;
}

function Board({ token, snapshot, skew }) {
  return html`
    <${Spend} snapshot=${snapshot} skew=${skew} />
    <${Limits} snapshot=${snapshot} skew=${skew} />
    <${Alerts} snapshot=${snapshot} />
    <div class="columns">
      <${Requests} snapshot=${snapshot} />
      <${Quote} token=${token} snapshot=${snapshot} />
    </div>
    <${WhatIf} />
  `;
}

function Waiting({ connection: { phase, problem } }) {
  if (phase === "refused") {
    return html`<section class="notice" role="alert">
      <h2>This session may not look at spend</h2>
      <p>${problem.message}</p>
      <p class="note">
        Code: <code>${problem.code}</code>
        ${problem.requestId && html` · request <code>${problem.requestId}</code>`}
      </p>
    </section>`;
  }
  return html`<p class="loading">
    ${problem ? html`${problem.message} Trying again. <code>${problem.code}</code>` : "Reading your spend…"}
  </p>`;
}

function pageTitle(snapshot, ended) {
  if (ended) return "Session expired · Farebox";
  if (!snapshot) return "Farebox";
  return `${describe(snapshot, Date.now()).word} · ${snapshot.customer} · Farebox`;
}

const first = takeSessionFromAddress() ?? keptSession();
const page = document.getElementById("app");
page.textContent = "";
render(html`<${App} first=${first} />`, page);

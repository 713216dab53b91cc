// The page without a session: what a session link is, how to get one, and a field to paste it.

import { html, useState } from "./vendor/preact.js";
import { Mark } from "./icons.js";
import { tokenIn } from "./session.js";

export function SignIn({ expired, onToken }) {
  return html`<main class="signin">
    <p class="brand"><${Mark} /> Farebox</p>
    <h1>${expired ? "This session has expired" : "Open your usage with a session link"}</h1>
    <${Explanation} />
    <${TokenForm} onToken=${onToken} />
  </main>`;
}

/** Above figures that no longer move. */
export function ExpiredNotice({ onToken }) {
  return html`<section class="notice" role="alert">
    <h2>This session has expired</h2>
    <p>The figures below are the last ones received and no longer update. Paste a new link to go on.</p>
    <${TokenForm} onToken=${onToken} />
  </section>`;
}

function Explanation() {
  return html`<p>
      A session link shows one customer's spend, limits and requests, and nothing else. It ends by
      itself within an hour, so a forgotten one does no harm.
    </p>
    <h2>How to get one</h2>
    <ul>
      <li>Ask whoever runs this service for a session link and open it here.</li>
      <li>
        If that is you, run
        <pre><code>farebox session new --customer NAME</code></pre>
        and open the address it prints.
      </li>
    </ul>`;
}

function TokenForm({ onToken }) {
  const [text, setText] = useState("");
  const [refused, setRefused] = useState(false);
  const submit = (event) => {
    event.preventDefault();
    const token = tokenIn(text);
    setRefused(!token);
    if (token) onToken(token);
  };
  return html`<form class="token" onSubmit=${submit} novalidate>
    <label for="token">Session link or token</label>
    <div class="row">
      <input
        id="token" type="text" autocomplete="off" autocapitalize="off" spellcheck="false"
        placeholder="fbs_…" value=${text} onInput=${(e) => setText(e.target.value)}
        aria-invalid=${refused} aria-describedby=${refused ? "token-fault" : undefined}
      />
      <button type="submit" class="primary">Open</button>
    </div>
    ${refused &&
    html`<p class="field-fault" id="token-fault" role="alert">
      That holds no session token. A token starts with <code>fbs_</code>.
    </p>`}
  </form>`;
}

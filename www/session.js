// The session token: out of the link, into this tab's storage, never in the address bar again.
// A link looks like `https://…/#session=fbs_…`; the fragment is not sent to any server.

const KEY = "farebox.session";
const TOKEN = /^fbs_[A-Za-z0-9._~-]{1,600}$/;

let remembered = null; // stands in where the browser refuses storage

/** The token in a pasted token or a whole pasted link; `null` where there is none. */
export function tokenIn(text) {
  const pasted = text.trim();
  const linked = /[#&]session=([^&\s]+)/.exec(pasted);
  const token = linked ? linked[1] : pasted;
  return TOKEN.test(token) ? token : null;
}

/** Takes a token out of the address bar, if one is there, and keeps it. Other fragments stay. */
export function takeSessionFromAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  if (!fields.has("session")) return null;
  const token = tokenIn(fields.get("session"));
  fields.delete("session");
  const rest = fields.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest && `#${rest}`));
  if (token) keepSession(token);
  return token;
}

export function keepSession(token) {
  remembered = token;
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // Storage is off: the session lasts as long as this page.
  }
}

export function keptSession() {
  try {
    return tokenIn(sessionStorage.getItem(KEY) ?? "") ?? remembered;
  } catch {
    return remembered;
  }
}

export function forgetSession() {
  remembered = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
}

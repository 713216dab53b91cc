// The three routes this page reads. The token travels in a header or in the WebSocket's
// subprotocol, never in a URL.

const ROUTES = {
  spend: "/v1/farebox/spend",
  book: "/v1/farebox/book",
  live: "/v1/farebox/live",
};
const ANSWER_TIMEOUT = 15_000;

/** A refusal of our own API (RFC 9457), or the lack of any answer (`status` 0). */
export class Problem extends Error {
  constructor({ status, code, detail, requestId }) {
    super(detail);
    Object.assign(this, { status, code, requestId });
  }
}

export async function readSpend(token) {
  return (await get(ROUTES.spend, token)).json();
}

/** The price book's bytes: the quote engine gets them verbatim. */
export async function readBook(token) {
  return new Uint8Array(await (await get(ROUTES.book, token)).arrayBuffer());
}

export function openSocket(token) {
  const address = new URL(ROUTES.live, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address, ["farebox.v1", token]);
}

async function get(path, token) {
  let answer;
  try {
    answer = await fetch(path, {
      headers: { authorization: `Bearer ${token}` },
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT),
    });
  } catch {
    throw new Problem({ status: 0, code: "no_answer", detail: "The service did not answer." });
  }
  if (!answer.ok) throw await problemIn(answer);
  return answer;
}

async function problemIn(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem({
    status: answer.status,
    code: body.code ?? `http_${answer.status}`,
    detail: body.detail ?? body.title ?? `The service answered ${answer.status}.`,
    requestId: body.request_id,
  });
}

// Price books for tests: the built-in one with other prices, and the operator's calls.

import { readFileSync } from 'node:fs';

const DEFAULT = JSON.parse(readFileSync(new URL('../../books/default.json', import.meta.url), 'utf8'));

/** The built-in book under another version, with this price of a million tokens of gpt-4o-mini's output. */
export function book(version, output, change = () => {}) {
  const document = structuredClone(DEFAULT);
  document.version = version;
  document.models[0].rates.output_total.amount = output;
  change(document);
  return JSON.stringify(document);
}

/** One call of the operator's API: `{status, body}`. A text is sent as it is. */
export async function operator(gate, method, path, body) {
  const response = await gate.fetch(`/v1/farebox/admin/${path}`, {
    method, headers: { authorization: `Bearer ${gate.secretVars.FAREBOX_ADMIN_TOKEN}` },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}

export const push = (gate, text) => operator(gate, 'PUT', 'books', text);
export const activate = (gate, version, how = {}) => operator(gate, 'POST', `books/${encodeURIComponent(version)}/activate`, how);

/** Pushes and activates; both must succeed. */
export async function pushAndActivate(gate, text, how = {}) {
  const pushed = await push(gate, text);
  if (pushed.status >= 300) throw new Error(JSON.stringify(pushed));
  const activated = await activate(gate, pushed.body.version, how);
  if (activated.status !== 200) throw new Error(JSON.stringify(activated));
  return activated.body;
}

/** Which version, and which rate of output, a request was charged by. */
export async function charged(gate, key, answer) {
  const { records: [record] } = await gate.bill(key, answer);
  return { version: record.book_version, rate: record.lines.find(({ meter }) => meter === 'output_total')?.rate, record };
}

/** Writes an activation into D1 behind every isolate's back, as another isolate would. */
export async function activateElsewhere(gate, version, at = Date.now()) {
  const db = await gate.miniflare.getD1Database('DB');
  const sql = 'INSERT INTO activations (version, sha256, effective_at, known_at) SELECT version, sha256, ?1, ?2 FROM books WHERE version = ?3 RETURNING seq';
  const { results: [{ seq }] } = await db.prepare(sql).bind(at, Date.now(), version).run();
  return { seq, from: new Date(at).toISOString() };
}

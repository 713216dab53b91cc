// Directives steer an answer from inside the prompt: `[[chunks=5 gzip]]`
// anywhere in the text of the last user message. They ride in the body because
// a gateway between the test and this server strips or rewrites headers.
//
// Every value is checked and bounded. A directive that is unknown, repeated or
// out of range is refused, so that a typing error cannot make a test pass.

import { Problem } from './problem.mjs';

const MINUTE = 60_000;
const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** Statuses `status=` can answer with; each provider knows a body for each. */
export const STATUSES = [400, 401, 403, 404, 413, 429, 500, 503, 529];

/** The shape of an id shared with the control routes. */
export const ID = /^[A-Za-z0-9._-]{1,64}$/;

const integer = (min, max) => (value) => {
  if (!/^\d{1,15}$/.test(value ?? '')) return undefined;
  const number = Number(value);
  return number >= min && number <= max ? number : undefined;
};
const oneOf = (allowed) => (value) => allowed.find((item) => String(item) === value);
const id = (value) => (ID.test(value ?? '') ? value : undefined);
const flag = (value) => (value === undefined ? true : undefined);

/** name -> reader: gives the value, or undefined when the text is no good. */
export const DIRECTIVES = {
  // length and pace
  chunks: integer(0, 1_000_000),
  word_bytes: integer(1, MIB),
  bytes: integer(1, 16 * GIB),
  big_json: integer(1, 256 * MIB),
  gap_ms: integer(0, MINUTE),
  first_byte_ms: integer(0, 2 * MINUTE),
  lockstep: id,
  hold: id,
  // what the answer is
  cached: integer(0, 1e12),
  cache_write: integer(0, 1e12),
  cache_write_1h: integer(0, 1e12),
  reasoning: integer(0, 1e12),
  no_usage: flag,
  null_usage: flag,
  tier: oneOf(['priority', 'flex', 'default']),
  tool_call: flag,
  decoy: flag,
  utf8: flag,
  // failures
  status: oneOf(STATUSES),
  fail_times: integer(0, 1_000_000),
  id,
  leak: flag,
  redirect: flag,
  error_after: integer(0, 1_000_000),
  cut_after: integer(0, 1_000_000),
  stall_after: integer(0, 1_000_000),
  // the bytes on the wire
  gzip: flag,
  crlf: flag,
  bom: flag,
  comments: flag,
  split: integer(1, 65_536),
  no_done: flag,
  no_final_blank: flag,
};

// Half of a pair alone would quietly do nothing.
const NEEDS = { fail_times: ['status', 'id'], id: ['fail_times'] };

const BLOCK = /\[\[([^[\]]*)\]\]/g;

/**
 * @param {string} text text of the last user message
 * @param {string[]} [refused] directives that have no meaning for this provider
 */
export function parseDirectives(text, refused = []) {
  const found = {};
  if (!text.includes('[[')) return found;
  for (const [, inside] of text.matchAll(BLOCK)) {
    for (const item of inside.split(/\s+/)) {
      if (item) readOne(item, found, refused);
    }
  }
  for (const name of Object.keys(found)) {
    const missing = NEEDS[name]?.find((other) => !(other in found));
    if (missing) throw refusal(`directive '${name}' needs '${missing}' beside it`);
  }
  return found;
}

function readOne(item, found, refused) {
  const [, name, value] = /^([^=]*)(?:=(.*))?$/s.exec(item);
  if (!Object.hasOwn(DIRECTIVES, name)) throw refusal(`unknown directive '${name}'`);
  if (refused.includes(name)) throw refusal(`directive '${name}' has no meaning for this API`);
  if (name in found) throw refusal(`directive '${name}' is given twice`);
  const read = DIRECTIVES[name](value);
  if (read === undefined) throw refusal(`directive '${item}' has a bad value`);
  found[name] = read;
}

const refusal = (message) => new Problem(400, `Demo upstream: ${message}.`, { code: 'bad_directive' });

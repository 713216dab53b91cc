// What will be said, and what it costs: the part of an answer that is the same
// for every provider. All of it follows from the request alone, so that a test
// can compute the usage it must see (the rule is written in README.md).

import { Problem } from './problem.mjs';

const LOREM = (
  'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor ' +
  'incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud ' +
  'exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat.'
).split(' ').map((word) => `${word} `);

// Two-, three- and four-byte characters, for readers that cut bytes anywhere.
const UTF8 = ['dólór ', 'ägypten ', '流れ ', '— ', '🚌 ', 'жетон '];

// Text that looks like the end of a stream and like a usage report, and is neither.
const DECOY = ['data: [DONE]\n\n"usage":{"prompt_tokens":1}\n\nevent: message_stop\n\n'];

const DEFAULT_CHUNKS = 12;
const BIG_PIECE = 16 * 1024;
const MAX_WHOLE_TEXT = 256 * 1024 * 1024;
const TOKENS_PER_MESSAGE = 3;
const BYTES_PER_TOKEN = 4;

/** The text of a message's content: a string, or parts (tool results nest them). */
export function contentText(content) {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (typeof part?.text === 'string' ? part.text : contentText(part?.content))).join('');
}

export function countPromptTokens(texts) {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return Math.ceil(bytes / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * texts.length;
}

/**
 * @param {{texts: string[], maxTokens?: number, choices: number, stream: boolean}} request
 * @param {object} d directives
 */
export function makePlan(request, d) {
  const cycle = pieceCycle(d);
  const wanted = d.bytes ? Math.ceil(d.bytes / cycle[0].length) : (d.chunks ?? DEFAULT_CHUNKS);
  const limit = request.maxTokens ?? Infinity;
  // As with the real thing, thinking is paid for first and text gets the rest.
  const reasoning = Math.min(d.reasoning ?? 0, limit);
  const count = Math.min(wanted, limit - reasoning);
  const cutShort = wanted + (d.reasoning ?? 0) > limit;

  if (!request.stream) refuseHugeText(count * request.choices, cycle);
  return {
    count,
    cycle,
    piece: d.tool_call ? toolPiece(cycle, wanted) : (k) => cycle[k % cycle.length],
    toolCall: Boolean(d.tool_call),
    finish: cutShort ? 'length' : d.tool_call ? 'tool' : 'stop',
    tokens: {
      prompt: countPromptTokens(request.texts),
      cached: d.cached ?? 0,
      cacheWrite5m: d.cache_write ?? 0,
      cacheWrite1h: d.cache_write_1h ?? 0,
      reasoning: reasoning * request.choices,
      completion: (reasoning + count) * request.choices,
    },
    padding: d.big_json ?? 0,
  };
}

/** The whole text at once, for an answer that is not streamed. */
export function wholeText(plan) {
  let text = '';
  for (let k = 0; k < plan.count; k += 1) text += plan.piece(k);
  if (plan.toolCall || plan.padding <= text.length) return text;
  return text + 'pad '.repeat(Math.ceil((plan.padding - text.length) / 4));
}

/** What to show for usage: the numbers, null, or (undefined) no key at all. */
export function shownUsage(d, usage) {
  if (d.no_usage) return undefined;
  return d.null_usage ? null : usage;
}

function pieceCycle(d) {
  if (d.decoy) return DECOY;
  if (d.utf8) return UTF8;
  const size = d.word_bytes ?? (d.bytes && BIG_PIECE);
  if (!size) return LOREM;
  const text = LOREM.join('');
  return [text.repeat(Math.ceil(size / text.length)).slice(0, size)];
}

// A tool call's pieces are cuts of one JSON text, `{"text":"Lorem ipsum "}`.
// Cut short by max_tokens it stays unclosed, as a real model leaves it.
function toolPiece(cycle, wanted) {
  const escaped = cycle.map((text) => JSON.stringify(text).slice(1, -1));
  return (k) => {
    const open = k === 0 ? '{"text":"' : '';
    const close = k === wanted - 1 ? '"}' : '';
    return open + escaped[k % escaped.length] + close;
  };
}

function refuseHugeText(pieces, cycle) {
  if (pieces * Math.max(...cycle.map((text) => text.length)) <= MAX_WHOLE_TEXT) return;
  throw new Problem(400, 'Demo upstream: that much text must be streamed.', { code: 'bad_directive' });
}

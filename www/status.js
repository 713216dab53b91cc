// Where a customer stands, in one word and one sentence. Pure: figures in, words out.

import { add, compare, formatMoney, percent } from "./amount.js";
import { leadingLimit, softMark } from "./snapshot.js";
import { instant, momentWords, untilWords } from "./time.js";

const WINDOWS = {
  minute: "this minute's",
  hour: "this hour's",
  day: "today's",
  week: "this week's",
  month: "this month's",
  billing_period: "this billing period's",
  lifetime: "the lifetime",
};

const PERIODS = {
  minute: "this minute",
  hour: "this hour",
  day: "today",
  week: "this week",
  month: "this month",
  billing_period: "this billing period",
  lifetime: "in total",
};

/** "this month" for a limit's window, "" where there is none to name. */
export function periodWords(window) {
  return PERIODS[window] ?? "";
}

/** "this month's $5.00 limit", "the lifetime $5.00 limit". */
export function limitWords(limit, currency) {
  const whose = WINDOWS[limit.window] ?? "the";
  const kind = limit.kind === "soft" ? "soft limit" : "limit";
  return `${whose} ${formatMoney(limit.limit, currency)} ${kind}`;
}

/** Settled and held together: what a limit has left no room for. */
export function usedOf(limit) {
  return add(limit.settled, limit.held);
}

/** "< 1 %", "82 %"; `null` where the limit is nothing. */
export function usedWords(limit) {
  const used = usedOf(limit);
  const share = percent(used, limit.limit);
  if (share === null) return null;
  return share === "0" && compare(used, "0") === 1 ? "< 1 %" : `${share} %`;
}

/** "Resets Tue, 1 Dec 2026, 01:00, in 7 days." `now` is the server's clock. */
export function resetWords(limit, now) {
  const at = instant(limit.resets_at);
  if (at === null) return "Does not reset by itself.";
  return `Resets ${momentWords(at)}, ${untilWords(at, now)}.`;
}

/**
 * `{ level, word, sentence }`: the level is `ok`, `warn`, `stopped` or `unknown`, as the server
 * says; this only finds the words.
 */
export function describe(snapshot, now) {
  const limit = leadingLimit(snapshot);
  const words = { ok, warn, stopped }[snapshot.status];
  if (words) return { level: snapshot.status, ...words(snapshot, limit, now) };
  return {
    level: "unknown",
    word: "Unknown",
    sentence: `This page does not know the state “${snapshot.status}”. Reload it.`,
  };
}

function ok({ currency }, limit) {
  if (!limit) return { word: "OK", sentence: "No spending limit is set." };
  return { word: "OK", sentence: shareSentence(limit, currency) };
}

function warn(snapshot, limit) {
  if (!limit) return { word: "Warning", sentence: "A soft limit has been passed." };
  const { currency } = snapshot;
  const share = usedWords(limit);
  const soft = limit.kind === "soft" ? limit : softMark(snapshot, limit);
  const passed = soft && compare(usedOf(soft), soft.limit) !== -1;
  const warning = passed
    ? `The ${formatMoney(soft.limit, currency)} soft limit has been passed; `
    : "";
  const rest =
    limit.kind === "hard"
      ? `${formatMoney(limit.remaining, currency)} of ${limitWords(limit, currency)} remains.`
      : "requests are still accepted.";
  return { word: share ? `${share} used` : "Warning", sentence: upperFirst(warning + rest) };
}

function stopped({ currency }, limit, now) {
  const word = "Stopped";
  const left = limit && compare(limit.remaining, "0");
  if (!limit || left === 1) return { word, sentence: "New requests are refused." };
  if (compare(limit.settled, limit.limit) === -1) {
    const held = `What is left of ${limitWords(limit, currency)} is held by running requests;`;
    return { word, sentence: `${held} room comes back as they settle.` };
  }
  const at = instant(limit.resets_at);
  const until =
    at === null
      ? "until the limit is raised."
      : `until ${momentWords(at)}, ${untilWords(at, now)}.`;
  const reached = upperFirst(`${limitWords(limit, currency)} is used up.`);
  return { word, sentence: `${reached} New requests are refused ${until}` };
}

function shareSentence(limit, currency) {
  const share = usedWords(limit);
  if (share === null) return upperFirst(`${limitWords(limit, currency)} leaves room for nothing.`);
  return `${share} of ${limitWords(limit, currency)} is used.`;
}

function upperFirst(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

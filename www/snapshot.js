// What the server says about a customer, and how its frames add up. No I/O, no page.

import { compare } from "./amount.js";

/** Rows kept; the server sends as many at first. */
export const ROWS_MAX = 50;

/**
 * The state after a frame. A snapshot replaces all; an update replaces the figures and adds its
 * requests. An unknown type changes nothing, so that an older page survives a newer server.
 */
export function applyFrame(before, frame) {
  if (frame?.type !== "snapshot" && frame?.type !== "update") return before;
  const rows = Array.isArray(frame.requests) ? frame.requests : [];
  if (frame.type === "snapshot" || !before) {
    return { ...frame, requests: mergeRequests([], rows), fresh: new Set() };
  }
  return {
    ...before,
    ...frame,
    requests: mergeRequests(before.requests, rows),
    fresh: new Set(rows.map(rowKey)),
  };
}

/**
 * One row per attempt, newest record first. A correction arrives as a later record of the same
 * attempt and takes its row.
 */
export function mergeRequests(before, arrived) {
  const rows = new Map();
  for (const row of [...before, ...arrived]) {
    const known = rows.get(rowKey(row));
    if (!known || compare(row.seq, known.seq) !== -1) rows.set(rowKey(row), row);
  }
  return [...rows.values()].sort((a, b) => compare(b.seq, a.seq) ?? 0).slice(0, ROWS_MAX);
}

/** A request may have several attempts, each with a row of its own. */
export function rowKey(row) {
  return row.attempt_id ?? row.request_id;
}

/**
 * The limit the page leads with: the one that stops this customer first, i.e. the hard limit on the
 * whole customer with the least remaining; failing that any hard one; failing that a soft one.
 */
export function leadingLimit({ limits: all = [] }) {
  const limits = all.filter(isMoney);
  const hard = limits.filter((limit) => limit.kind === "hard");
  const whole = hard.filter((limit) => limit.scope === "customer");
  const [group] = [whole, hard, limits].filter((found) => found.length > 0);
  return group?.reduce((a, b) => (compare(b.remaining, a.remaining) === -1 ? b : a));
}

/** Other measures are limits too, but no money: older servers do not say which it is. */
export const isMoney = ({ measure = "money" }) => measure === "money";

/** The soft limit that warns before `limit` stops: same scope, same window. */
export function softMark({ limits = [] }, limit) {
  return limits.find(
    (other) =>
      other.kind === "soft" &&
      isMoney(other) &&
      other !== limit &&
      other.scope === limit.scope &&
      other.window === limit.window,
  );
}

// Times in words, in the viewer's own zone. The server's clock is the one that counts; the viewer's
// only says how long ago something was heard. No page: `when.js` shows them.

import { LOCALE } from "./amount.js";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;

const formats = {
  clock: new Intl.DateTimeFormat(LOCALE, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  }),
  day: new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" }),
  moment: new Intl.DateTimeFormat(LOCALE, {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }),
};
const relative = new Intl.RelativeTimeFormat(LOCALE, { numeric: "always" });

/** The viewer's IANA zone. */
export const ZONE = formats.clock.resolvedOptions().timeZone;

/** A time as milliseconds, or `null`: absent and unreadable times must not become 1970. */
export function instant(text) {
  const at = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : at;
}

/** "2026-11-23 21:59:58.120 UTC". */
export function utcTitle(at) {
  return `${new Date(at).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

/** "Tue, 1 Dec 2026, 01:00", in the viewer's zone. */
export function momentWords(at) {
  return formats.moment.format(at);
}

/** "23 Nov", in the viewer's zone. */
export function dayWords(at) {
  return formats.day.format(at);
}

/** "22:59:58", in the viewer's zone. */
export function clockWords(at) {
  return formats.clock.format(at);
}

/** "in 7 days": whole units, rounded down, so that it never promises an earlier time. */
export function untilWords(at, now) {
  const left = at - now;
  if (left <= 0) return "now";
  if (left >= 2 * DAY) return relative.format(Math.floor(left / DAY), "day");
  if (left >= 2 * HOUR) return relative.format(Math.floor(left / HOUR), "hour");
  if (left >= 2 * MINUTE) return relative.format(Math.floor(left / MINUTE), "minute");
  return "in about a minute";
}

/** "12 s ago". */
export function agoWords(elapsed) {
  if (elapsed < 2_000) return "just now";
  if (elapsed < 2 * MINUTE) return `${Math.floor(elapsed / 1_000)} s ago`;
  if (elapsed < 2 * HOUR) return `${Math.floor(elapsed / MINUTE)} min ago`;
  return `${Math.floor(elapsed / HOUR)} h ago`;
}

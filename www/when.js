// A time on the page: the viewer's zone in the text, UTC in the title; and the page's slow clock.

import { html, useEffect, useState } from "./vendor/preact.js";
import { clockWords, dayWords, instant, utcTitle } from "./time.js";

/** `words(at)` for a time text, with UTC in its title; `fallback` where there is no time. */
export function Moment({ text, words, fallback = "?" }) {
  const at = instant(text);
  if (at === null) return fallback;
  return html`<time datetime=${text} title=${utcTitle(at)}>${words(at)}</time>`;
}

/** When a request happened: the clock, and the day too unless that was today. */
export function When({ text }) {
  return html`<${Moment} text=${text} words=${clockAndDay} />`;
}

function clockAndDay(at) {
  const today = dayWords(at) === dayWords(Date.now());
  if (today) return clockWords(at);
  return html`<span class="day">${dayWords(at)}</span> ${clockWords(at)}`;
}

/** Redraws its caller every `every` ms; returns the viewer's clock. */
export function useClock(every) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

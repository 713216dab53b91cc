// An amount on the page: rounded for the eye, exact in the title and while it has the focus.

import { html, useState } from "./vendor/preact.js";
import { currencyDigits, formatMoney, fractionDigits, isZero, parse } from "./amount.js";

/** What stands where nothing was reported: not a zero. */
export function Absent({ why = "not reported" }) {
  return html`<span class="absent" title=${why}>
    <span aria-hidden="true">—</span><span class="unseen">${why}</span>
  </span>`;
}

/**
 * `text` is the decimal string, `style` one of `display`, `fine`, `exact`. `align` pads the right
 * side to that many fraction digits, so that the points of a column stand under one another.
 */
export function Money({ text, currency, style = "display", align }) {
  const [focused, setFocused] = useState(false);
  if (text === undefined || text === null) return html`<${Absent} />`;
  if (!parse(text)) {
    return html`<span class="unreadable" title=${`not an amount: ${text}`}>?</span>`;
  }
  const shown = formatMoney(text, currency, { style });
  const exact = formatMoney(text, currency, { style: "exact" });
  const hidesDigits = shown !== exact;
  const padding = align === undefined ? "" : pad(text, currency, style, align);
  return html`<data
    class=${isZero(text) ? "money zero" : "money"}
    value=${text}
    title=${`${text} ${currency}`}
    tabindex=${hidesDigits ? 0 : undefined}
    onFocus=${() => setFocused(true)}
    onBlur=${() => setFocused(false)}
    >${focused ? exact : shown}${padding && html`<span class="pad" aria-hidden="true">${padding}</span>`}</data
  >`;
}

/** The fraction digits a column of amounts needs. */
export function widestFraction(texts, currency, style) {
  const usual = currencyDigits(currency);
  return texts.reduce((most, text) => {
    return parse(text) ? Math.max(most, fractionDigits(text, currency, style)) : most;
  }, usual);
}

// Figure spaces are as wide as a tabular digit, a punctuation space as wide as the point.
function pad(text, currency, style, align) {
  const own = fractionDigits(text, currency, style);
  const point = own === 0 && align > 0 ? "\u2008" : "";
  return point + "\u2007".repeat(Math.max(0, align - own));
}

// The few signs the page uses, drawn in the colour of the text around them. Decorative: the words
// beside them say the same.

import { html } from "./vendor/preact.js";

const icon = (shape) => html`<svg
  class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false"
  fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"
>
  ${shape}
</svg>`;

export const Check = () =>
  icon(html`<circle cx="10" cy="10" r="7.6" /><path d="M6.6 10.3l2.3 2.3 4.6-5" />`);

export const Warning = () =>
  icon(html`<path d="M10 2.8 18 16.9H2z" /><path d="M10 8v4M10 14.4v.1" />`);

export const Stop = () =>
  icon(html`<path d="M6.9 2.4h6.2l4.5 4.5v6.2l-4.5 4.5H6.9l-4.5-4.5V6.9z" /><path d="M6.6 10h6.8" />`);

export const Unknown = () =>
  icon(html`<circle cx="10" cy="10" r="7.6" /><path d="M8 8a2 2 0 1 1 2.6 1.9c-.5.2-.6.5-.6 1.1M10 13.8v.1" />`);

/** The mark: a slot, and the coin that goes through it. */
export const Mark = () => html`<svg
  class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false"
>
  <rect x="1" y="1" width="22" height="22" rx="5.5" fill="currentColor" />
  <circle class="mark-coin" cx="12" cy="8.6" r="4.4" />
  <rect class="mark-coin" x="5.2" y="15.6" width="13.6" height="2.6" rx="1.3" />
</svg>`;

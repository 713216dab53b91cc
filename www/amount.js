// Amounts as text. Money arrives as decimal strings ("1.2345") and stays text: every step here is
// done on digits with BigInt, never on a JS number, so nothing is rounded that is not shown rounded.
//
// Four things must never look alike: zero ("$0.00"), absent ("—", the caller's business),
// unreadable ("?") and a non-zero amount too small for its currency ("< $0.01").

/** English, in the viewer's own flavour when there is one: the page itself is in English. */
export const LOCALE =
  (globalThis.navigator?.languages ?? []).find((tag) => /^en\b/i.test(tag)) ?? "en-US";

/** Digits a per-request amount shows at least, counted from its first non-zero one. */
const FINE_SIGNIFICANT = 4;
/** Fraction digits a per-request amount shows at most; below that it is "< $0.0000000001". */
const FINE_FRACTION_MAX = 10;
/** Longest text taken for an amount; the engine's own end at 28 digits. */
const TEXT_MAX = 80;

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/**
 * The digits of a decimal string: its value is `units / 10^scale`. `null` for anything else,
 * a JS number included: that one has been through a float already.
 */
export function parse(text) {
  if (typeof text !== "string" || text.length > TEXT_MAX) return null;
  const match = DECIMAL.exec(text);
  if (!match) return null;
  const [, sign, whole, fraction = ""] = match;
  const magnitude = BigInt(whole + fraction);
  return { units: sign ? -magnitude : magnitude, scale: fraction.length };
}

/** Whether the text is an amount, and that amount is nothing. */
export function isZero(text) {
  return parse(text)?.units === 0n;
}

/** -1, 0 or 1; `null` where either is not an amount. */
export function compare(a, b) {
  const pair = aligned(a, b);
  if (!pair) return null;
  const [left, right] = pair;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The exact sum as text; `null` where either is not an amount. */
export function add(a, b) {
  const pair = aligned(a, b);
  if (!pair) return null;
  const [left, right, scale] = pair;
  return decimalText(left + right, scale);
}

/**
 * `part` in percent of `whole`, rounded towards zero so that 100 means reached; text with `digits`
 * decimals. `null` where there is no such thing.
 */
export function percent(part, whole, digits = 0) {
  const pair = aligned(part, whole);
  if (!pair || pair[1] <= 0n) return null;
  return decimalText((pair[0] * 100n * tenTo(digits)) / pair[1], digits);
}

/** Fraction digits of a currency: JPY 0, USD 2, KWD 3; of credits and other units of ours, 2. */
export function currencyDigits(currency) {
  if (!isCurrency(currency)) return 2;
  return formatter(currency, LOCALE, null).resolvedOptions().maximumFractionDigits;
}

/**
 * An amount for the eye. Styles: `display` rounds to the currency's digits (half away from zero),
 * `fine` keeps enough digits to tell small amounts apart, `exact` keeps all.
 */
export function formatMoney(text, currency, { style = "display", locale = LOCALE } = {}) {
  const amount = parse(text);
  if (!amount) return "?";
  const digits = fractionDigits(text, currency, style);
  const shown = rounded(amount, digits);
  if (shown === 0n && amount.units !== 0n) {
    const [sign, least] = amount.units < 0n ? ["> ", -1n] : ["< ", 1n];
    return sign + moneyText(least, digits, currency, locale);
  }
  return moneyText(shown, digits, currency, locale);
}

/** How many fraction digits `formatMoney` will show: what a column needs to line up its points. */
export function fractionDigits(text, currency, style) {
  const usual = currencyDigits(currency);
  const amount = parse(text);
  if (!amount || style === "display") return usual;
  const kept = style === "exact" ? amount.scale : Math.min(amount.scale, fineDigits(amount));
  return Math.max(usual, kept - trailingZeros(rounded(amount, kept), kept));
}

/** A quantity, its digits grouped: "1,234,567". Absent stays the caller's business. */
export function formatCount(text, locale = LOCALE) {
  const amount = parse(text);
  if (!amount) return "?";
  return joined(formatter(null, locale, amount.scale > 0), amount.units, amount.scale);
}

// --- digits ----------------------------------------------------------------------------------

function tenTo(n) {
  return 10n ** BigInt(n);
}

function aligned(a, b) {
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return null;
  const scale = Math.max(left.scale, right.scale);
  const raise = (x) => x.units * tenTo(scale - x.scale);
  return [raise(left), raise(right), scale];
}

/** Units at `digits` decimals, rounded half away from zero. */
function rounded({ units, scale }, digits) {
  if (digits >= scale) return units * tenTo(digits - scale);
  const step = tenTo(scale - digits);
  const half = units < 0n ? -step / 2n : step / 2n;
  return (units + half) / step;
}

function fineDigits({ units, scale }) {
  const length = String(units < 0n ? -units : units).length;
  return Math.max(0, Math.min(FINE_FRACTION_MAX, scale - length + FINE_SIGNIFICANT));
}

function trailingZeros(units, most) {
  if (units === 0n) return 0;
  let count = 0;
  for (let rest = units; count < most && rest % 10n === 0n; rest /= 10n) count += 1;
  return count;
}

function split(units, scale) {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, "0");
  const point = digits.length - scale;
  return { negative: units < 0n, whole: digits.slice(0, point), fraction: digits.slice(point) };
}

function decimalText(units, scale) {
  const { negative, whole, fraction } = split(units, scale);
  return (negative ? "-" : "") + whole + (fraction && `.${fraction}`);
}

// --- the locale's pattern ----------------------------------------------------------------------
// Intl supplies symbol, separators, grouping and the place of the sign; it sees the whole part as
// a BigInt and a one-digit dummy fraction, which is then replaced by our own digits.

const formatters = new Map();

function formatter(currency, locale, hasFraction) {
  const key = `${currency}|${locale}|${hasFraction}`;
  if (!formatters.has(key)) formatters.set(key, newFormatter(currency, locale, hasFraction));
  return formatters.get(key);
}

function newFormatter(currency, locale, hasFraction) {
  const options = { numberingSystem: "latn" };
  if (hasFraction !== null) {
    options.minimumFractionDigits = options.maximumFractionDigits = hasFraction ? 1 : 0;
  }
  if (!isCurrency(currency)) return new Intl.NumberFormat(locale, options);
  return new Intl.NumberFormat(locale, { ...options, style: "currency", currency });
}

function isCurrency(code) {
  return typeof code === "string" && /^[A-Za-z]{3}$/.test(code);
}

function moneyText(units, scale, currency, locale) {
  const text = joined(formatter(currency, locale, scale > 0), units, scale);
  return isCurrency(currency) || !currency ? text : `${text} ${currency}`;
}

function joined(format, units, scale) {
  const { negative, whole, fraction } = split(units, scale);
  const magnitude = BigInt(whole);
  // There is no -0n: borrow the pattern of -1 and put the zero back.
  const borrowed = negative && magnitude === 0n;
  const value = borrowed ? -1n : negative ? -magnitude : magnitude;
  return format
    .formatToParts(value)
    .map(({ type, value: part }) => {
      if (type === "fraction") return fraction;
      return borrowed && type === "integer" ? "0" : part;
    })
    .join("");
}

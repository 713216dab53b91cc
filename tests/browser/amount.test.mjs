// Money as text: what is shown, compared and added, digit by digit.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  add, compare, currencyDigits, formatCount, formatMoney, fractionDigits, isZero, parse, percent,
} from "../../www/amount.js";

const locale = "en-US";
const money = (text, currency = "USD", style = "display") =>
  formatMoney(text, currency, { style, locale });

const table = (name, rows, check) =>
  test(name, { timeout: 5_000 }, () => rows.forEach((row) => check(...row)));

table("display rounds to the currency's digits, half away from zero", [
  ["0", "USD", "$0.00"],
  ["0.000", "USD", "$0.00"],
  ["5", "USD", "$5.00"],
  ["1.2345", "USD", "$1.23"],
  ["1.235", "USD", "$1.24"],
  ["1.2349999999999999999999999999", "USD", "$1.23"],
  ["0.995", "USD", "$1.00"],
  ["999999.995", "USD", "$1,000,000.00"],
  ["1234567.5", "USD", "$1,234,567.50"],
  ["-1.235", "USD", "-$1.24"],
  ["-1234.5", "USD", "-$1,234.50"],
  ["-0.4", "USD", "-$0.40"],
  ["1234.5", "JPY", "¥1,235"],
  ["1234.4", "JPY", "¥1,234"],
  ["1.2345", "KWD", "KWD\u00a01.235"],
  ["1.2", "EUR", "€1.20"],
  ["12.5", "credits", "12.50 credits"],
], (text, currency, shown) => assert.equal(money(text, currency), shown));

table("a non-zero amount is never shown as zero", [
  ["0.000123", "USD", "< $0.01"],
  ["0.0049", "USD", "< $0.01"],
  ["0.005", "USD", "$0.01"],
  ["0.4", "JPY", "< ¥1"],
  ["0.0001", "KWD", "< KWD\u00a00.001"],
  ["0.0000000000000000000000000001", "USD", "< $0.01"],
  ["-0.000123", "USD", "> -$0.01"],
], (text, currency, shown) => assert.equal(money(text, currency), shown));

table("fine keeps the digits that tell small amounts apart", [
  ["0", "$0.00"],
  ["0.000123", "$0.000123"],
  ["0.00005175", "$0.00005175"],
  ["0.000051754", "$0.00005175"],
  ["0.00000015", "$0.00000015"],
  ["0.0412350", "$0.04124"],
  ["0.10", "$0.10"],
  ["0.9999996", "$1.00"],
  ["1.23456", "$1.235"],
  ["12.3456", "$12.35"],
  ["123456.789", "$123,456.79"],
  ["-0.000123", "-$0.000123"],
  ["0.0000000000000000000000000001", "< $0.0000000001"],
], (text, shown) => assert.equal(money(text, "USD", "fine"), shown));

table("exact keeps every digit, far past what a float could", [
  ["5", "USD", "$5.00"],
  ["1234567890123456789012345678", "USD", "$1,234,567,890,123,456,789,012,345,678.00"],
  ["0.1234567890123456789012345678", "USD", "$0.1234567890123456789012345678"],
  ["99999999999999.99999999999999", "USD", "$99,999,999,999,999.99999999999999"],
  ["-0.0000000000000000000000000001", "USD", "-$0.0000000000000000000000000001"],
  ["9007199254740993", "JPY", "¥9,007,199,254,740,993"],
  ["0.1", "KWD", "KWD\u00a00.100"],
], (text, currency, shown) => assert.equal(money(text, currency, "exact"), shown));

table("what is not a decimal string is unreadable, not zero", [
  [undefined], [null], [""], ["abc"], ["1e3"], ["+1"], [".5"], ["5."], ["1,000"], [" 1"], ["NaN"],
  ["9".repeat(81)], [0], [1.5], [10n],
], (value) => {
  assert.equal(parse(value), null);
  assert.equal(money(value), "?");
  assert.equal(formatCount(value), "?");
  assert.equal(isZero(value), false);
  assert.equal(compare(value, "0"), null);
  assert.equal(add(value, "0"), null);
  assert.equal(percent(value, "1"), null);
});

table("comparison goes by value, not by text", [
  ["1", "1.000", 0], ["0.1", "0.09", 1], ["-1", "0", -1], ["-2", "-10", 1],
  ["1234567890123456789012345678", "1234567890123456789012345679", -1],
  ["0.0000000000000000000000000001", "0", 1],
], (a, b, order) => assert.equal(compare(a, b), order));

table("sums are exact", [
  ["0.1", "0.2", "0.3"],
  ["1.2345", "0.02", "1.2545"],
  ["-1", "0.25", "-0.75"],
  ["-0.25", "0.25", "0.00"],
  ["9999999999999999999999999999", "0.0000000000000000000000000001",
    "9999999999999999999999999999.0000000000000000000000000001"],
], (a, b, sum) => assert.equal(add(a, b), sum));

table("a share reaches 100 only when the whole is reached", [
  ["1.2545", "5.00", 0, "25"],
  ["1.2545", "5.00", 2, "25.09"],
  ["4.9999999", "5", 0, "99"],
  ["5", "5.00", 0, "100"],
  ["5.15", "5", 0, "103"],
  ["0.000001", "5", 0, "0"],
  ["0", "5", 2, "0.00"],
], (part, whole, digits, share) => assert.equal(percent(part, whole, digits), share));

test("there is no share of nothing", { timeout: 5_000 }, () => {
  assert.equal(percent("1", "0"), null);
  assert.equal(percent("1", "-5"), null);
});

table("currencies bring their digits", [["USD", 2], ["JPY", 0], ["KWD", 3], ["credits", 2]],
  (currency, digits) => assert.equal(currencyDigits(currency), digits));

table("a column learns how many digits each amount shows", [
  ["0.000123", "fine", 6], ["0.10", "fine", 2], ["1.23456", "display", 2], ["1.23456", "exact", 5],
], (text, style, digits) => {
  assert.equal(fractionDigits(text, "USD", style), digits);
  assert.equal(money(text, "USD", style).split(".")[1].length, digits);
});

table("quantities are grouped and keep their digits", [
  ["0", "0"], ["1024", "1,024"], ["1048576.25", "1,048,576.25"],
  ["12345678901234567890", "12,345,678,901,234,567,890"],
], (text, shown) => assert.equal(formatCount(text, locale), shown));

test("other locales group and sign in their own way, in latin digits", { timeout: 5_000 }, () => {
  assert.equal(formatMoney("1234567.5", "INR", { locale: "en-IN" }), "₹12,34,567.50");
  assert.equal(formatMoney("1234.5", "EUR", { locale: "de-DE" }), "1.234,50\u00a0€");
  assert.match(formatMoney("12.5", "EGP", { locale: "ar-EG" }), /12.50/);
});

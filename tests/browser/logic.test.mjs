// The dashboard's decisions without a page: how frames add up, which limit leads, what is said.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alertWords } from "../../www/alerts.js";
import { retryDelay } from "../../www/live.js";
import { tokenIn } from "../../www/session.js";
import { ROWS_MAX, applyFrame, leadingLimit, softMark } from "../../www/snapshot.js";
import { describe, usedWords } from "../../www/status.js";
import { agoWords, instant, untilWords, utcTitle } from "../../www/time.js";
import { DAILY, MONTHLY, SOFT, request, snapshot } from "./fixtures/snapshot.mjs";

const DEADLINE = { timeout: 5_000 };
const NOW = Date.parse("2026-11-23T22:00:00Z");
const seqs = (state) => state.requests.map((row) => row.seq);

test("an update adds rows, a later record of an attempt takes its row", DEADLINE, () => {
  const first = applyFrame(null, snapshot({ requests: [request(9), request(10)] }));
  assert.deepEqual(seqs(first), ["10", "9"], "by number, not by text");
  const corrected = request(9, { seq: "11", amount: "2" });
  const next = applyFrame(first, snapshot({ type: "update", requests: [corrected] }));
  assert.deepEqual(seqs(next), ["11", "10"]);
  assert.deepEqual([...next.fresh], [corrected.attempt_id]);
  const stale = applyFrame(next, snapshot({ type: "update", requests: [request(9)] }));
  assert.deepEqual(seqs(stale), ["11", "10"], "an older record does not come back");
});

test("attempts of one request keep a row each", DEADLINE, () => {
  const { request_id } = request(1);
  const state = applyFrame(null, snapshot({ requests: [request(1), request(2, { request_id })] }));
  assert.equal(state.requests.length, 2);
});

test("rows are bounded, a snapshot starts over, an unknown frame changes nothing", DEADLINE, () => {
  let state = null;
  for (let n = 1; n <= ROWS_MAX + 20; n += 1) {
    state = applyFrame(state, snapshot({ type: "update", requests: [request(n)] }));
  }
  assert.equal(state.requests.length, ROWS_MAX);
  assert.equal(state.requests[0].seq, String(ROWS_MAX + 20));
  assert.equal(applyFrame(state, { type: "later" }), state);
  assert.equal(applyFrame(state, null), state);
  assert.equal(applyFrame(state, snapshot({ requests: [] })).requests.length, 0);
});

test("the limit that stops first leads", DEADLINE, () => {
  const key = { ...MONTHLY, id: "key", scope: "key", remaining: "0.01" };
  assert.equal(leadingLimit({ limits: [SOFT, DAILY, key, MONTHLY] }), MONTHLY);
  assert.equal(leadingLimit({ limits: [SOFT, key] }), key);
  assert.equal(leadingLimit({ limits: [SOFT] }), SOFT);
  assert.equal(leadingLimit({ limits: [] }), undefined);
  assert.equal(softMark({ limits: [SOFT, DAILY] }, MONTHLY), SOFT);
  assert.equal(softMark({ limits: [SOFT, DAILY] }, DAILY), undefined);
});

const said = (more) => {
  const { word, sentence } = describe(snapshot(more), NOW);
  return `${word}: ${sentence}`.replaceAll("US$", "$");
};
const limits = (more, ...others) => ({ limits: [{ ...MONTHLY, ...more }, ...others] });

test("one word and one sentence for every state", DEADLINE, () => {
  assert.equal(said({}), "OK: 25 % of this month's $5.00 limit is used.");
  assert.equal(said({ limits: [] }), "OK: No spending limit is set.");
  assert.equal(said(limits({ limit: "0", settled: "0", held: "0" })),
    "OK: This month's $0.00 limit leaves room for nothing.");
  assert.equal(said({ status: "warn", ...limits({ settled: "4.2", held: "0", remaining: "0.8" }) }),
    "84 % used: $0.80 of this month's $5.00 limit remains.");
  assert.equal(said({ status: "warn", limits: [{ ...SOFT, settled: "4" }] }),
    "100 % used: The $4.00 soft limit has been passed; requests are still accepted.");
  assert.match(said({ status: "stopped", ...limits({ settled: "5", held: "0", remaining: "0" }) }),
    /^Stopped: This month's \$5\.00 limit is used up\. New requests are refused until .* in 7 days\.$/);
  assert.equal(
    said({ status: "stopped", ...limits({ window: "lifetime", resets_at: null, settled: "5", remaining: "0" }) }),
    "Stopped: The lifetime $5.00 limit is used up. New requests are refused until the limit is raised.");
  assert.equal(said({ status: "stopped", ...limits({ settled: "4", held: "1", remaining: "0" }) }),
    "Stopped: What is left of this month's $5.00 limit is held by running requests; room comes back as they settle.");
  assert.equal(said({ status: "stopped", limits: [] }), "Stopped: New requests are refused.");
  assert.match(said({ status: "odd" }), /^Unknown: /);
});

test("a share is never rounded up to a limit, nor down to nothing", DEADLINE, () => {
  assert.equal(usedWords({ limit: "5", settled: "4.9999", held: "0" }), "99 %");
  assert.equal(usedWords({ limit: "5", settled: "0.0001", held: "0" }), "< 1 %");
  assert.equal(usedWords({ limit: "5", settled: "0", held: "0" }), "0 %");
  assert.equal(usedWords({ limit: "0", settled: "0", held: "0" }), null);
});

test("the backoff doubles, is bounded, and half of it is random", DEADLINE, () => {
  assert.equal(retryDelay(0, () => 0), 500);
  assert.equal(retryDelay(0, () => 1), 1_000);
  assert.equal(retryDelay(3, () => 1), 8_000);
  for (const n of [5, 10, 1_000, 1e9]) {
    assert.equal(retryDelay(n, () => 0), 15_000);
    assert.equal(retryDelay(n, () => 1), 30_000);
  }
});

test("a token is found in itself and in a link, and nowhere else", DEADLINE, () => {
  const token = "fbs_demo_1795475000000_r_1abc";
  assert.equal(tokenIn(` ${token}\n`), token);
  assert.equal(tokenIn(`https://api.example.com/#session=${token}`), token);
  assert.equal(tokenIn(`https://api.example.com/#tab=quote&session=${token}`), token);
  for (const text of ["", "fbs_", "fb_live_x", `${token} x`, "fbs_a/b", "fbs_é", "#session=no"]) {
    assert.equal(tokenIn(text), null, text);
  }
});

test("times: words never promise too early, and nothing becomes 1970", DEADLINE, () => {
  assert.equal(untilWords(NOW + 8 * 86_400_000 - 1, NOW), "in 7 days");
  assert.equal(untilWords(NOW + 3 * 3_600_000 - 1, NOW), "in 2 hours");
  assert.equal(untilWords(NOW + 90_000, NOW), "in about a minute");
  assert.equal(untilWords(NOW, NOW), "now");
  assert.equal(agoWords(12_900), "12 s ago");
  assert.equal(agoWords(-5), "just now");
  assert.equal(utcTitle(Date.parse("2026-11-23T21:59:58.120Z")), "2026-11-23 21:59:58.120 UTC");
  for (const text of [null, undefined, "", "soon", 0]) assert.equal(instant(text), null);
});

test("an alert is one line of the customer's own amounts, and an unknown kind is passed over", DEADLINE, () => {
  assert.equal(alertWords({ type: "limit.threshold", data: { percent: 80, limit: { id: "month" } } }), "80 % of limit month used");
  assert.match(alertWords({ type: "summary.week", data: { week: "2026-11-16", spent: "9.5", currency: "USD" } }), /^Week of 2026-11-16: .*9\.50/);
  assert.equal(alertWords({ type: "of.tomorrow", data: {} }), undefined);
});

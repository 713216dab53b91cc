// An archive as the gate writes it: sealed records of four models, of a few meters each.

import { createHash } from "node:crypto";

const MODELS = [["gpt-4o-mini", 15, 60], ["gpt-4o", 250, 1_000], ["gpt-4.1-mini", 40, 160], ["claude-haiku-4-5", 100, 500]];
const hex = (text) => createHash("sha256").update(text).digest("hex");

/** Hundredths of a microdollar, as an exact decimal. */
function money(units) {
  const digits = String(units).padStart(9, "0");
  const text = `${digits.slice(0, -8)}.${digits.slice(-8)}`;
  return text.replace(/\.?0+$/, "");
}

const uuid = (n) => `019ab000-0000-7000-8000-${String(n).padStart(12, "0")}`;

/** Record number `seq`, as one line. */
export function line(seq) {
  const [model, input, output] = MODELS[seq % MODELS.length];
  const [asked, answered] = [200 + (seq % 1_900), 50 + (seq % 700)];
  const quantity = (meter, n) => ({ meter, provenance: "reported", quantity: String(n), unit: meter === "requests" ? "request" : "token" });
  const cost = [asked * input, answered * output];
  const charged = (meter, n, rate, amount) => ({ amount: money(amount), meter, per: "1000000", quantity: String(n), rate: money(rate * 1_000_000) });
  const at = new Date(Date.UTC(2026, 9, 1) + seq * 2_000).toISOString();
  const record = {
    amount: money(cost[0] + cost[1]), attempt_id: uuid(seq), book_version: "2026-11-20", class: "settled", currency: "USD",
    customer: "acme", endpoint: "/v1/chat/completions", features: ["stream"], finished_at: at, first_byte_at: at, flags: [], held: "0.0125",
    key_id: "k1", lines: [charged("input_uncached", asked, input, cost[0]), charged("output_total", answered, output, cost[1])],
    mode: "live", model, outcome: "complete", prev: hex(`prev ${seq}`), private: hex(`private ${seq}`),
    quantities: [quantity("input_total", asked), quantity("input_uncached", asked), quantity("output_total", answered), quantity("requests", 1)],
    received_at: at, recorded_at: at, request_id: uuid(seq), seq, served_model: `${model}-2026`, stream: true, upstream_status: 200, v: 1,
  };
  return JSON.stringify({ record, signature: { alg: "HMAC-SHA256", key_id: 1, tag: hex(`tag ${seq}`) } });
}

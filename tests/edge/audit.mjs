// The archive, checked from first principles: its chain, its signatures, how every attempt ended,
// and what all of them cost. Reads on from where it stopped, so that it can be asked again and again.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { sleep } from './gate.mjs';

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

/** Exact sums of decimal strings, in units of 10^-15. */
export const units = (text) => {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return BigInt(sign + whole + fraction.padEnd(15, '0'));
};

/** Every attempt ends once: settled, voided or unresolved, and an unresolved one is corrected at most once. */
const LIVES = /^(settled|voided|unresolved|unresolved, (settled|voided) correction)$/;

export class Audit {
  constructor(gateSecrets, customer) {
    const [number, secret] = gateSecrets.FAREBOX_RECORD_SECRETS.split(':');
    Object.assign(this, { customer, number, secret: Buffer.from(secret, 'hex') });
    this.seq = 0;
    this.prev = '0'.repeat(64);
    this.settled = 0n;
    /** Name of the last object that was read. */
    this.after = undefined;
    this.attempts = new Map();
    this.byRequest = new Map();
  }

  /** Reads what was archived since, up to the ledger's `head`, and compares both. */
  async follow(gate, { head, spend }) {
    const end = Date.now() + 20_000;
    while (this.seq < head.seq) {
      const read = await this.#next(gate);
      assert.ok(read || Date.now() < end, `${this.customer}: ${this.seq} of ${head.seq} records archived`);
      if (!read) await sleep(20);
    }
    assert.deepEqual({ seq: this.seq, hash: this.prev }, head);
    assert.equal(this.settled, units(spend.settled), `${this.customer}: the records add up to the spend`);
  }

  async #next(gate) {
    const bucket = await gate.miniflare.getR2Bucket('RECORDS');
    const { objects } = await bucket.list({ prefix: `records/${this.customer}/`, startAfter: this.after });
    for (const { key } of objects) {
      const body = await (await bucket.get(key)).text();
      body.split('\n').filter(Boolean).forEach((line) => this.#add(line));
      this.after = key;
    }
    return objects.length > 0;
  }

  #add(line) {
    const [, raw, privateRaw] = /^\{"record":(\{.*?\}),"signature":\{"alg":.*?\},"private":(\{.*?\}),"salt":/.exec(line);
    const { record, signature, salt } = JSON.parse(line);
    this.seq += 1;
    assert.equal(record.seq, this.seq, 'no gap, nothing twice');
    assert.equal(record.prev, this.prev, `record ${record.seq} names the one before it`);
    this.prev = sha256(raw);
    assert.equal(String(signature.key_id), this.number);
    assert.equal(signature.tag, createHmac('sha256', this.secret).update(raw).digest('hex'));
    assert.equal(record.private, sha256(Buffer.from(salt, 'hex'), privateRaw));
    this.settled += units(record.amount);
    const life = this.attempts.get(record.attempt_id) ?? { seqs: [], words: [], cost: 0n };
    life.seqs.push(record.seq);
    life.words.push(record.corrects ? `${record.class} correction` : record.class);
    life.cost += units(record.amount);
    assert.match(life.words.join(', '), LIVES, record.attempt_id);
    if (record.corrects) assert.equal(record.corrects, life.seqs[0]);
    this.attempts.set(record.attempt_id, life);
    this.byRequest.set(record.request_id, (this.byRequest.get(record.request_id) ?? new Set()).add(record.attempt_id));
  }

  /** What a client was told that a request cost stands in the archive: once, settled, at that cost. */
  acknowledged({ id, cost }) {
    const [attempt, ...more] = this.byRequest.get(id) ?? [];
    assert.ok(attempt, `acknowledged ${id} is lost`);
    assert.equal(more.length, 0, `acknowledged ${id} is doubled`);
    const { words, cost: charged } = this.attempts.get(attempt);
    assert.match(words.at(-1), /^settled/);
    assert.equal(charged, units(cost), `${id} is charged what was acknowledged`);
  }
}

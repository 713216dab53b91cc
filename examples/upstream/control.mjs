// What the tests can see and steer while answers are under way: counters,
// holds (answers kept back until released) and locksteps (one chunk per ack).

const newCounters = () => ({ requests: 0, byPath: {}, open: 0, aborted: 0, completed: 0, cut: 0, last: null });

export class Control {
  #counters = newCounters();
  #held = new Set(); // {id, exchange}
  #released = new Set(); // ids
  #locks = new Map(); // id -> {sent, acked, waiters}
  #failures = new Map(); // id -> hits so far

  /** Count a request from its arrival to its end, whichever way it ends. */
  track(exchange, path) {
    const counters = this.#counters; // reset() starts new ones; old requests keep theirs
    counters.requests += 1;
    counters.open += 1;
    counters.byPath[path] = (counters.byPath[path] ?? 0) + 1;
    let settled = false;
    const settle = (outcome) => {
      if (settled) return;
      settled = true;
      counters.open -= 1;
      counters[outcome] += 1;
    };
    exchange.res.once('finish', () => settle('completed'));
    exchange.res.once('close', () => settle(exchange.cutByUs ? 'cut' : 'aborted'));
  }

  remember(req, body) {
    this.#counters.last = { method: req.method, path: req.url, headers: req.headers, body };
  }

  async hold(id, exchange) {
    if (this.#released.has(id)) return;
    const entry = { id, exchange };
    this.#held.add(entry);
    await exchange.until(() => this.#released.has(id));
    this.#held.delete(entry);
  }

  release(id) {
    this.#released.add(id);
    let released = 0;
    for (const entry of this.#held) {
      if (entry.id !== id) continue;
      entry.exchange.wake();
      released += 1;
    }
    return { released };
  }

  /** The turnstile of one stream: turn() waits for the acks, sent() counts a chunk. */
  joinLockstep(id, exchange) {
    const lock = this.#lock(id);
    lock.waiters.add(exchange);
    return {
      turn: () => exchange.until(() => lock.acked >= lock.sent),
      sent: () => { lock.sent += 1; },
      leave: () => lock.waiters.delete(exchange),
    };
  }

  ack(id) {
    const lock = this.#lock(id);
    lock.acked += 1;
    for (const exchange of lock.waiters) exchange.wake();
    return this.lockstep(id);
  }

  lockstep(id) {
    const { sent, acked } = this.#locks.get(id) ?? { sent: 0, acked: 0 };
    return { sent, acked };
  }

  /** Whether this hit must fail: `status=` alone always, with `fail_times=` the first N of an id. */
  mustFail(d) {
    if (d.status === undefined) return false;
    if (d.fail_times === undefined) return true;
    const hits = this.#failures.get(d.id) ?? 0;
    this.#failures.set(d.id, hits + 1);
    return hits < d.fail_times;
  }

  stats() {
    const { byPath, last, ...numbers } = this.#counters;
    const waiting = [...this.#held].map((entry) => entry.id);
    return { ...numbers, by_path: { ...byPath }, waiting, last };
  }

  /** Forget everything; answers still waiting on a hold or an ack are broken off. */
  reset() {
    const waiting = [...this.#held].map((entry) => entry.exchange);
    for (const lock of this.#locks.values()) waiting.push(...lock.waiters);
    this.#counters = newCounters();
    for (const forgotten of [this.#held, this.#released, this.#locks, this.#failures]) forgotten.clear();
    for (const exchange of waiting) exchange.destroy();
    return { ok: true };
  }

  #lock(id) {
    if (!this.#locks.has(id)) this.#locks.set(id, { sent: 0, acked: 0, waiters: new Set() });
    return this.#locks.get(id);
  }
}

// One request and its answer, with the waits in between. Every wait here ends:
// when its reason is met, when the client goes, or after MAX_WAIT_MS.

const MAX_WAIT_MS = 600_000;

export class Exchange {
  #wake = null;

  constructor(req, res) {
    this.req = req;
    this.res = res;
    this.startedAt = performance.now();
    this.closed = false;
    /** Set when this server itself broke the answer off. */
    this.cutByUs = false;
    /** The directives of this request, once they are known. */
    this.directives = {};
    res.once('close', () => {
      this.closed = true;
      this.wake();
    });
    // A write that loses the race with the client's leaving is no one's fault.
    res.on('error', () => this.destroy());
  }

  /** End the wait under way, if there is one; it then looks at its reason again. */
  wake() {
    this.#wake?.();
  }

  async sleep(ms) {
    const end = performance.now() + ms;
    for (let left = ms; left > 0 && !this.closed; left = end - performance.now()) {
      await this.#pause(left);
    }
  }

  /** Wait until `met()` holds. Whoever makes it hold must call wake(). */
  async until(met) {
    const end = performance.now() + MAX_WAIT_MS;
    while (!this.closed && !met()) {
      const left = end - performance.now();
      if (left <= 0) return this.destroy();
      await this.#pause(left);
    }
  }

  /** Keep the connection open and say nothing more. */
  stall() {
    return this.until(() => false);
  }

  /** Break the answer off, after what was written so far has left. */
  async cut() {
    await this.#flushed();
    this.destroy();
  }

  destroy() {
    if (this.closed) return;
    this.closed = true; // at once, so that nothing writes before 'close' is told
    this.cutByUs = true;
    this.res.destroy();
  }

  // An empty write to the socket is called back once all before it is gone;
  // destroying the socket earlier would drop the chunks a test waits for.
  #flushed() {
    let gone = false;
    this.res.socket?.write('', () => {
      gone = true;
      this.wake();
    });
    return this.until(() => gone);
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }
}

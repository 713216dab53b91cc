// A refusal that is not yet in any provider's shape. Whatever throws it knows
// what is wrong; only the provider's own file knows how that looks on the wire.

export class Problem extends Error {
  /**
   * @param {number} status HTTP status
   * @param {string} message text shown to the client
   * @param {{type?: string, param?: string|null, code?: string|null}} [detail]
   */
  constructor(status, message, detail = {}) {
    super(message);
    this.status = status;
    this.detail = detail;
  }
}

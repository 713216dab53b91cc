// The floor: an object whose calls are empty but for one durable row each.

import { DurableObject } from 'cloudflare:workers';

export class LedgerObject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT');
  }

  apply() {
    this.ctx.storage.sql.exec("INSERT INTO rows (body) VALUES ('')");
    return '';
  }
}

export default { fetch: () => new Response('ok') };

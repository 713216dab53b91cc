// What runs inside workerd for `run.mjs`: calls a ledger object as the gate does, without the rest
// of a request. Bundled once with the project's own Worker, once with the floor's object.

import { WorkerEntrypoint } from 'cloudflare:workers';
import * as subject from 'farebox-subject';

/** The ledger without its archive: what is measured is reserve and settle. */
export class LedgerObject extends subject.LedgerObject {
  constructor(ctx, env) {
    super(ctx, { ...env, RECORDS: undefined });
  }
}

/** Lets a request through the gate and keeps the commands it sends to its ledger. */
async function capture(request, env, ctx) {
  const commands = [];
  const keep = (name) => {
    const stub = env.LEDGER.getByName(name);
    return { apply: (command) => { commands.push(command); return stub.apply(command); }, look: (query) => stub.look(query) };
  };
  const path = request.headers.get('x-path');
  const inner = new Request(new URL(path, request.url), request);
  const waiting = [];
  const context = { waitUntil: (promise) => waiting.push(promise), passThroughOnException() {} };
  const answer = await subject.default.fetch(inner, { ...env, LEDGER: { getByName: keep } }, context);
  const text = await answer.text();
  await Promise.all(waiting);
  return Response.json({ status: answer.status, text, commands });
}

const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** A fresh id of version 7. */
function freshId() {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(2).slice(1)}-8${hex(2).slice(1)}-${hex(6)}`;
}

/** Reserves and settles `pairs` times, `open` at once. `ids` are replaced by fresh ones in each pair. */
async function drive({ customer, pairs, open, reserve, settle, ids }, env) {
  let left = pairs;
  const loop = async () => {
    while (left > 0) {
      left -= 1;
      const stub = env.LEDGER.getByName(customer);
      const fresh = ids.map(freshId);
      const own = (text) => ids.reduce((made, id, at) => made.replaceAll(id, fresh[at]), text);
      const held = await stub.apply(own(reserve));
      const settled = await stub.apply(own(settle));
      if (subject.refused?.(held, settled)) throw new Error(`${held} ${settled}`);
    }
  };
  await Promise.all(Array.from({ length: open }, loop));
  return new Response('done');
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/capture') return capture(request, this.env, this.ctx);
    if (pathname === '/drive') return drive(await request.json(), this.env);
    return subject.default.fetch(request, this.env, this.ctx);
  }
}

// A gate whose calls to the ledger can be made to fail: the built Worker behind a module that hands
// it another `LEDGER`. Nothing in the product knows of it.

import { startGate } from './gate.mjs';

const WRAPPER = `
import main from './index.js';
export { LedgerObject } from './index.js';

let fault = null;
const tries = {};

async function struck(stub, text) {
  const command = JSON.parse(text);
  const kind = typeof command === 'string' ? command : Object.keys(command)[0];
  tries[kind] = (tries[kind] ?? 0) + 1;
  const strikes = fault !== null && fault.commands.includes(kind) && fault.times > 0;
  if (!strikes) return stub.apply(text);
  fault.times -= 1;
  if (fault.how === 'silent') await new Promise((resolve) => setTimeout(resolve, 60_000));
  if (fault.how === 'lost') await stub.apply(text);
  throw Object.assign(new Error('the ledger is away'), { overloaded: fault.how === 'overloaded' });
}

const ledgers = (real) => ({
  getByName(name) {
    const stub = real.getByName(name);
    return { apply: (text) => struck(stub, text), look: (text) => stub.look(text), fetch: (request) => stub.fetch(request) };
  },
});

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === '/v1/test/fault') {
      fault = await request.json();
      for (const kind of Object.keys(tries)) delete tries[kind];
      return new Response('ok');
    }
    if (new URL(request.url).pathname === '/v1/test/tries') return Response.json(tries);
    return main.fetch(request, Object.create(env, { LEDGER: { value: ledgers(env.LEDGER) } }), ctx);
  },
};
`;

/**
 * Starts one. `strike(how, commands, times)` makes the next `times` tries of these commands fail:
 * 'down' (they do not arrive), 'lost' (they do, their answers not), 'overloaded', 'silent' (no word
 * for a minute). `heal()` ends that; `tries()` counts the tries since.
 */
export async function startFaulty(options = {}) {
  const gate = await startGate({ ...options, wrapper: WRAPPER });
  const fault = (body) => gate.fetch('/v1/test/fault', { method: 'POST', body: JSON.stringify(body) }).then((answer) => answer.text());
  return Object.assign(gate, {
    strike: (how, commands, times = 1_000_000) => fault({ how, commands, times }),
    heal: () => fault(null),
    tries: () => gate.fetch('/v1/test/tries').then((answer) => answer.json()),
  });
}

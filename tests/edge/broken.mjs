// A gate whose ledger objects break where real ones do: in the middle of a transaction, by a reset,
// or between a commit and its answer. The built Worker behind a module; nothing in it knows of that.

import { startGate } from './gate.mjs';

const WRAPPER = `
import main, { LedgerObject as Real } from './index.js';

export class LedgerObject extends Real {
  #fault = null;

  constructor(ctx, env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    const exec = sql.exec.bind(sql);
    sql.exec = (text, ...parameters) => {
      if (this.#fault !== null && /^\\s*(INSERT|UPDATE|DELETE|REPLACE)/i.test(text)) {
        this.#fault.writes += 1;
        if (this.#fault.writes === this.#fault.at) {
          this.#fault.writes = 0;
          this.#fault.struck += 1;
          throw new Error(this.#fault.message);
        }
      }
      return exec(text, ...parameters);
    };
  }

  /** Fails the statement \`at\` of each write from now on. */
  breakSql(at, message) { this.#fault = { at, message, writes: 0, struck: 0 }; }
  mendSql() {
    const struck = this.#fault?.struck ?? 0;
    this.#fault = null;
    return struck;
  }
  reset() { this.ctx.abort('deployed anew'); }
}

let stuck = null;
const seen = {};

async function applied(stub, text) {
  const command = JSON.parse(text);
  const kind = typeof command === 'string' ? command : Object.keys(command)[0];
  seen[kind] = text;
  const reply = await stub.apply(text);
  if (stuck?.kind !== kind) return reply;
  seen.stuck = true;
  return new Promise((resolve) => { if (stuck.ms) setTimeout(resolve, stuck.ms, reply); });
}

/** Many commands at once: how many were carried out, and what became of the others. */
async function flood(object, command, count) {
  const all = await Promise.allSettled(Array.from({ length: count }, () => object.apply(command)));
  const refused = all.filter(({ status }) => status === 'rejected').map(({ reason }) => [String(reason), reason.overloaded === true]);
  return { done: count - refused.length, refused: refused.length, words: [...new Set(refused.map(String))] };
}

const ledgers = (real) => ({
  getByName(name) {
    const stub = real.getByName(name);
    return { apply: (text) => applied(stub, text), look: (text) => stub.look(text), fetch: (request) => stub.fetch(request) };
  },
});

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith('/v1/test/')) return main.fetch(request, Object.create(env, { LEDGER: { value: ledgers(env.LEDGER) } }), ctx);
    const { customer, ...asked } = await request.json();
    const object = customer && env.LEDGER.getByName(customer);
    const actions = {
      break: () => object.breakSql(asked.at, asked.message),
      mend: () => object.mendSql(),
      flood: () => flood(object, asked.command, asked.count),
      reset: () => object.reset().catch(String),
      apply: () => object.apply(asked.command),
      stick: () => { stuck = asked; },
      seen: () => seen,
    };
    return Response.json((await actions[pathname.slice(9)]()) ?? null);
  },
};
`;

/**
 * Starts one. `at(action, body)` acts on the objects: `break {customer, at, message}` fails the
 * statement of that number in each write, `mend` ends that and says how often it struck, `reset`
 * throws the object out of memory, `apply {customer, command}` sends a command past the gate, `flood
 * {customer, command, count}` sends it many times at once, `stick {kind, ms}` lets commands of a
 * kind be carried out and answered so much later, or never, `seen` is the last command of each kind.
 */
export async function startBroken(options = {}) {
  const gate = await startGate({ ...options, wrapper: WRAPPER });
  const at = (action, body = {}) => gate.fetch(`/v1/test/${action}`, { method: 'POST', body: JSON.stringify(body) }).then((answer) => answer.json());
  return Object.assign(gate, { at });
}

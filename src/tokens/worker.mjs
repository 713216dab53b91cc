// The tokeniser for NAME in a Worker: import() this file when it is first needed, never at the top.
// The runtime hands the Wasm over compiled; making the instance takes a tenth of a millisecond.

import { initSync } from './NAME.js';

// By import(), too: a bundler would move a plain one to the top of the Worker.
const { default: module } = await import('./NAME.wasm');
initSync({ module });

// `restart` makes a fresh instance in place of one that has trapped.
export { Counter, count, countTill, vocabulary, __wbg_reset_state as restart } from './NAME.js';

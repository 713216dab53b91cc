// The tokeniser for NAME in a Worker: import() this file when it is first needed, never at the top.
// The runtime hands the Wasm over compiled; making the instance takes a tenth of a millisecond.

import wasm from './NAME.wasm';
import { initSync } from './NAME.js';

initSync({ module: wasm });

export { Counter, count, countTill, vocabulary } from './NAME.js';

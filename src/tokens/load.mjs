// Tokenisers for a Worker, each loaded when it is first needed: a deployment that never counts, or
// only in one vocabulary, spends neither the start nor the memory on the others.

const LOADERS = {
  o200k_base: () => import('./o200k.worker.mjs'),
  cl100k_base: () => import('./cl100k.worker.mjs'),
};
const loaded = new Map();

/**
 * The tokeniser of a vocabulary: its `count`, `countTill` and `Counter`. Null where the Worker was
 * deployed without it or it cannot start: a text then stays uncounted, no request fails for it.
 * @param {string} vocabulary as the engine names it: o200k_base, cl100k_base
 */
export function tokeniser(vocabulary) {
  if (!loaded.has(vocabulary)) {
    const load = Object.hasOwn(LOADERS, vocabulary) ? LOADERS[vocabulary]() : Promise.resolve(null);
    loaded.set(vocabulary, load.catch(() => null));
  }
  return loaded.get(vocabulary);
}

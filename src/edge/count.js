// Counts text in tokens, where nobody reported how many they are. The tokeniser is a Wasm of its
// own, loaded when the first such answer ends.

import { tokeniser } from 'farebox-tokens';
import { within } from './glue.js';

/** How long a tokeniser may take to load: it is there in some milliseconds, or something is wrong. */
const LOAD_MS = 2_000;

/**
 * How many tokens `texts` are, all together. Rejects where that cannot be told: the tokeniser is not
 * there, not there in time, or has trapped. The next count then gets a fresh instance.
 */
export async function countTokens(vocabulary, texts) {
  const tokens = await within(tokeniser(vocabulary), LOAD_MS);
  if (!tokens) throw new Error(`no tokeniser for ${vocabulary}`);
  try {
    return texts.reduce((sum, text) => sum + (tokens.count(text) ?? 0), 0);
  } catch (error) {
    tokens.restart();
    throw error;
  }
}

// The quote engine: the same Rust that prices a request at the door, as Wasm in this page, with the
// customer's own price book. Once both are here it needs no server.

import { Problem, readBook } from "./api.js";

/** `quote(endpoint, bodyText)` and the engine's version; rejects with a `Problem`. */
export async function loadEngine(token, tries = 0) {
  const [engine, bytes] = await Promise.all([loadWasm(tries), readBook(token)]);
  const book = openBook(engine, bytes);
  return {
    version: engine.version(),
    quote: (endpoint, bodyText) => quote(book, endpoint, bodyText),
  };
}

/** Once: what is asked more often is the price of a request. */
function openBook(engine, bytes) {
  try {
    return engine.PriceBook.fromBytes(bytes);
  } catch (error) {
    const detail = `Your price book could not be read: ${error?.message ?? error}`;
    throw new Problem({ status: 0, code: "engine_failed", detail });
  }
}

async function loadWasm(tries) {
  // Some browsers remember a failed import for the page's life: a retry needs another name.
  const name = tries > 0 ? `./pkg/farebox.js?try=${tries}` : "./pkg/farebox.js";
  try {
    const module = await import(name);
    await module.default();
    return module;
  } catch {
    const detail = "The quote engine could not be loaded.";
    throw new Problem({ status: 0, code: "engine_unavailable", detail });
  }
}

function quote(book, endpoint, bodyText) {
  const fault = notAnObject(bodyText);
  if (fault) return { error: { code: "invalid_json", message: fault } };
  // The body goes in as typed, not parsed and written again: its bytes are what is counted.
  const request = `{"endpoint":${JSON.stringify(endpoint)},"body":${bodyText}}`;
  try {
    return JSON.parse(book.quote(request));
  } catch {
    return { error: { code: "engine_failed", message: "The quote engine stopped. Reload the page." } };
  }
}

function notAnObject(text) {
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return null;
    return "A request body is a JSON object: { … }.";
  } catch (error) {
    return `This is not JSON yet: ${error.message}.`;
  }
}

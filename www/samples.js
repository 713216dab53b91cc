// A request to start from, for each endpoint the quote box knows.

const chat = {
  model: "gpt-4o-mini",
  max_tokens: 1024,
  messages: [{ role: "user", content: "Why do tides come twice a day?" }],
};

const messages = {
  model: "claude-haiku-4-5",
  max_tokens: 1024,
  messages: [{ role: "user", content: "Why do tides come twice a day?" }],
};

/** Endpoint → request body, as text. */
export const SAMPLES = {
  "/v1/chat/completions": JSON.stringify(chat, null, 2),
  "/v1/messages": JSON.stringify(messages, null, 2),
};

// What is asked of the floor and of the gate. The requests are those of an official SDK: a short
// prompt, `max_tokens`, and what the demo upstream is to do in double brackets.

const CHUNKS = 100;

const openai = (say, more) => ({
  path: '/v1/chat/completions',
  ending: more.stream ? '[DONE]' : '}',
  body: JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 500, messages: [{ role: 'user', content: say }], ...more }),
});
const anthropic = (say, more) => ({
  path: '/v1/messages',
  ending: more.stream ? 'message_stop' : '}',
  body: JSON.stringify({ model: 'claude-haiku-4-5', max_tokens: 500, messages: [{ role: 'user', content: say }], ...more }),
});
const ASKED = { stream: true, stream_options: { include_usage: true } };
const chunks = (count, gap) => `Tell me a story. [[chunks=${count}${gap ? ` gap_ms=${gap}` : ''}]]`;

const FAST = 'OpenAI stream, usage asked for';
const SLOW = 'OpenAI stream, usage not asked for';
const CLAUDE = 'Anthropic stream';
const WHOLE = 'OpenAI, not streamed';

/**
 * CPU cases. `requests` is what one round sends: at least half a second of the floor's CPU, since
 * the kernel counts in hundredths. `goal` is a ratio to the floor.
 */
export const CPU = [
  { name: WHOLE, goal: 4, connections: 1, requests: 1500, ...openai('Say hi', {}) },
  { name: WHOLE, goal: 4, connections: 8, requests: 1500, ...openai('Say hi', {}) },
  { name: FAST, goal: 1.6, connections: 8, requests: 300, ...openai(chunks(CHUNKS), ASKED) },
  { name: FAST, goal: 1.6, connections: 64, requests: 320, ...openai(chunks(CHUNKS), ASKED) },
  { name: FAST, goal: 1.6, gap: 5, connections: 8, requests: 120, ...openai(chunks(CHUNKS, 5), ASKED) },
  { name: FAST, goal: 1.6, gap: 5, connections: 64, requests: 320, ...openai(chunks(CHUNKS, 5), ASKED) },
  { name: CLAUDE, goal: 1.6, connections: 8, requests: 300, ...anthropic(chunks(CHUNKS), { stream: true }) },
  { name: CLAUDE, goal: 1.6, connections: 64, requests: 320, ...anthropic(chunks(CHUNKS), { stream: true }) },
  { name: SLOW, connections: 8, requests: 300, ...openai(chunks(CHUNKS), { stream: true }) },
  { name: SLOW, connections: 64, requests: 320, ...openai(chunks(CHUNKS), { stream: true }) },
  { name: SLOW, gap: 5, connections: 8, requests: 120, ...openai(chunks(CHUNKS, 5), { stream: true }) },
  { name: SLOW, gap: 5, connections: 64, requests: 320, ...openai(chunks(CHUNKS, 5), { stream: true }) },
];

/**
 * Latency cases: `time` names what is taken. Each connection pauses between its requests, so that
 * what shows is the way through the gate and not a queue for the processor.
 */
export const LATENCY = [
  { name: WHOLE, time: 'totalMs', connections: 1, requests: 200, pauseMs: 20, ...openai('Say hi', {}) },
  { name: WHOLE, time: 'totalMs', connections: 8, requests: 600, pauseMs: 20, ...openai('Say hi', {}) },
  { name: FAST, time: 'firstMs', goal: 1, connections: 1, requests: 100, pauseMs: 20, ...openai(chunks(10, 5), ASKED) },
  { name: FAST, time: 'firstMs', goal: 1, connections: 8, requests: 400, pauseMs: 20, ...openai(chunks(10, 5), ASKED) },
];

/** Memory cases: streams that say half and then stand still. */
const HALF = `Tell me a story. [[chunks=${CHUNKS} stall_after=${CHUNKS / 2}]]`;
export const MEMORY = [
  { name: FAST, streams: 500, ...openai(HALF, ASKED) },
  { name: SLOW, streams: 500, ...openai(HALF, { stream: true }) },
];

/** One word for a case, to pick it by. */
export const label = ({ name, gap, connections, streams }) =>
  [name, gap ? `${gap} ms apart` : '', connections ? `${connections} open` : `${streams} open`].filter(Boolean).join(', ');

// The Anthropic messages format: what it asks of a request, and the shapes of
// its answers, streams and errors.

import { nextId } from './ids.mjs';
import { contentText, shownUsage, wholeText } from './plan.mjs';
import { Problem } from './problem.mjs';

export const name = 'anthropic';
export const path = '/v1/messages';
export const refusedDirectives = [];

const VERSIONS = ['2023-06-01', '2026-10-21'];
const STOP_REASON = { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use' };
const TIER = { default: 'standard', priority: 'priority', flex: 'batch' };

// The API answers an alias with the dated name it stands for.
const SERVED = {
  'claude-3-5-haiku-latest': 'claude-3-5-haiku-20241022',
  'claude-3-7-sonnet-latest': 'claude-3-7-sonnet-20250219',
  'claude-sonnet-4-0': 'claude-sonnet-4-20250514',
  'claude-sonnet-4-5': 'claude-sonnet-4-5-20250929',
  'claude-haiku-4-5': 'claude-haiku-4-5-20251001',
  'claude-opus-4-1': 'claude-opus-4-1-20250805',
};

const MODELS = [
  ['claude-sonnet-4-5-20250929', 'Claude Sonnet 4.5', '2025-09-29T00:00:00Z'],
  ['claude-haiku-4-5-20251001', 'Claude Haiku 4.5', '2025-10-01T00:00:00Z'],
  ['claude-opus-4-1-20250805', 'Claude Opus 4.1', '2025-08-05T00:00:00Z'],
];

// ---- requests

export function authorise(headers, key) {
  checkKey(headers, key);
  const version = headers['anthropic-version'];
  // The real API answers 400, not 401, when only the version is wrong.
  if (!version) throw new Problem(400, 'anthropic-version: header is required');
  if (!VERSIONS.includes(version)) throw new Problem(400, `anthropic-version: "${version}" is not a valid version`);
}

// Older SDKs send `x-api-key`, those since API version 2026-10-21 a bearer
// token. The API takes either, and with both the first one counts.
function checkKey(headers, key) {
  const apiKey = headers['x-api-key'];
  const bearer = headers.authorization;
  if (apiKey !== undefined) {
    if (apiKey !== key) throw new Problem(401, 'invalid x-api-key');
  } else if (bearer === undefined) {
    throw new Problem(401, 'x-api-key header is required');
  } else if (bearer !== `Bearer ${key}`) {
    throw new Problem(401, 'Invalid bearer token');
  }
}

export const badJson = () => new Problem(400, 'The request body is not valid JSON');

/** Check a body as the API would and give the facts an answer is made from. */
export function readRequest(body, headers) {
  if (headers['anthropic-version'] >= '2026-10-21') refuseSampling(body);
  for (const field of ['model', 'max_tokens', 'messages']) {
    if (body[field] == null) throw new Problem(400, `${field}: Field required`);
  }
  if (!Array.isArray(body.messages)) throw new Problem(400, 'messages: Input should be a valid array');
  if (body.messages.length === 0) throw new Problem(400, 'messages: at least one message is required');
  if (!Number.isInteger(body.max_tokens) || body.max_tokens < 1) {
    throw new Problem(400, 'max_tokens: Input should be a valid integer greater than or equal to 1');
  }
  if (String(body.model).startsWith('unknown-')) throw new Problem(404, `model: ${body.model}`);
  const system = body.system == null ? [] : [contentText(body.system)];
  return {
    model: SERVED[body.model] ?? String(body.model),
    stream: body.stream === true,
    maxTokens: body.max_tokens,
    choices: 1,
    texts: [...system, ...body.messages.map((message) => contentText(message?.content))],
    lastUserText: contentText(body.messages.findLast((message) => message?.role === 'user')?.content),
    toolName: body.tools?.[0]?.name ?? 'lookup',
  };
}

function refuseSampling(body) {
  const field = ['temperature', 'top_p', 'top_k'].find((name) => name in body);
  if (field) throw new Problem(400, `${field}: Extra inputs are not permitted`);
}

// ---- answers

export function responseHeaders(requestId) {
  const reset = `${new Date().toISOString().slice(0, 19)}Z`;
  return {
    'request-id': requestId,
    'anthropic-organization-id': '00000000-0000-4000-8000-000000000000',
    'anthropic-ratelimit-requests-limit': '4000',
    'anthropic-ratelimit-requests-remaining': '3999',
    'anthropic-ratelimit-requests-reset': reset,
    'anthropic-ratelimit-tokens-limit': '480000',
    'anthropic-ratelimit-tokens-remaining': '479000',
    'anthropic-ratelimit-tokens-reset': reset,
    'anthropic-ratelimit-input-tokens-limit': '400000',
    'anthropic-ratelimit-input-tokens-remaining': '399000',
    'anthropic-ratelimit-input-tokens-reset': reset,
    'anthropic-ratelimit-output-tokens-limit': '80000',
    'anthropic-ratelimit-output-tokens-remaining': '80000',
    'anthropic-ratelimit-output-tokens-reset': reset,
  };
}

/** The answer as one JSON value. */
export function wholeAnswer(request, plan, d) {
  return {
    ...messageShell(request),
    content: [contentBlock(request, plan, wholeText(plan))],
    stop_reason: STOP_REASON[plan.finish],
    stop_sequence: null,
    usage: shownUsage(d, usageOf(plan, d, plan.tokens.completion)),
  };
}

const messageShell = (request) => ({ id: nextId('msg_'), type: 'message', role: 'assistant', model: request.model });

function contentBlock(request, plan, text) {
  if (!plan.toolCall) return { type: 'text', text };
  return { ...toolUse(request), input: parsedInput(text) };
}

const toolUse = (request) => ({ type: 'tool_use', id: nextId('toolu_'), name: request.toolName, input: {} });

// Arguments cut short by max_tokens are no JSON; the object is then empty.
function parsedInput(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// Tokens read from or written to the cache stand beside the input here, not in it.
function usageOf(plan, d, outputTokens) {
  const { prompt, cached, cacheWrite5m, cacheWrite1h } = plan.tokens;
  return {
    input_tokens: prompt,
    cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
    cache_read_input_tokens: cached,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    output_tokens: outputTokens,
    service_tier: TIER[d.tier ?? 'default'],
  };
}

/** The usage of message_delta: totals so far, without the breakdown. */
function finalUsage(plan, d) {
  const { cache_creation, service_tier, ...totals } = usageOf(plan, d, plan.tokens.completion);
  return totals;
}

/** The answer as the events of a stream. */
export function streamScript(request, plan, d) {
  const started = {
    ...messageShell(request),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: shownUsage(d, usageOf(plan, d, 1)),
  };
  const block = plan.toolCall ? toolUse(request) : { type: 'text', text: '' };
  const [deltaType, deltaKey] = plan.toolCall ? ['input_json_delta', 'partial_json'] : ['text_delta', 'text'];
  const deltaStart = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    + `"delta":{"type":"${deltaType}","${deltaKey}":`;
  return {
    head: [
      event('message_start', { message: started }),
      event('content_block_start', { index: 0, content_block: block }),
      event('ping', {}),
    ],
    chunk: (text) => `${deltaStart}${JSON.stringify(text)}}}\n\n`,
    tail: [
      event('content_block_stop', { index: 0 }),
      event('message_delta', {
        delta: { stop_reason: STOP_REASON[plan.finish], stop_sequence: null },
        usage: shownUsage(d, finalUsage(plan, d)),
      }),
      ...(d.no_done ? [] : [event('message_stop', {})]),
    ],
    error: () => `event: error\ndata: ${JSON.stringify(errorBody(failure(529), null))}\n\n`,
  };
}

const event = (type, rest) => `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`;

export function modelList() {
  const data = MODELS.map(([id, display_name, created_at]) => ({ type: 'model', id, display_name, created_at }));
  return { data, has_more: false, first_id: data[0].id, last_id: data.at(-1).id };
}

// ---- errors

const ERROR_TYPE = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  503: 'api_error',
  529: 'overloaded_error',
};

const FAILURES = {
  400: 'The request could not be understood.',
  401: 'invalid x-api-key',
  403: 'Your API key does not have permission to use the specified resource.',
  404: 'Not found',
  413: 'Request exceeds the maximum size',
  429: 'This request would exceed your rate limit. Please try again later.',
  500: 'Internal server error',
  503: 'Service unavailable',
  529: 'Overloaded',
};

/** What the API says when it fails with this status by itself. */
export const failure = (status) => new Problem(status, FAILURES[status]);

export const leak = (headers) => (
  new Problem(400, `Bad headers Authorization: ${headers.authorization}, x-api-key: ${headers['x-api-key']}`)
);

export const noRoute = () => new Problem(404, 'Not Found');

/** @param {string|null} requestId null inside a stream, whose headers already told it */
export function errorBody(problem, requestId) {
  const error = { type: ERROR_TYPE[problem.status], message: problem.message };
  return { type: 'error', error, request_id: requestId };
}

// The OpenAI chat-completions format: what it asks of a request, and the
// shapes of its answers, streams and errors.

import { nextId } from './ids.mjs';
import { contentText, shownUsage, wholeText } from './plan.mjs';
import { Problem } from './problem.mjs';

export const name = 'openai';
export const path = '/v1/chat/completions';
export const refusedDirectives = ['cache_write', 'cache_write_1h'];

const MAX_CHOICES = 128;
const FINGERPRINT = 'fp_demo0upstream';
const FINISH = { stop: 'stop', length: 'length', tool: 'tool_calls' };

// The API answers an alias with the dated name it stands for.
const SERVED = {
  'gpt-4o': 'gpt-4o-2024-08-06',
  'gpt-4o-mini': 'gpt-4o-mini-2024-07-18',
  'gpt-4.1': 'gpt-4.1-2025-04-14',
  'gpt-4.1-mini': 'gpt-4.1-mini-2025-04-14',
  'gpt-4.1-nano': 'gpt-4.1-nano-2025-04-14',
  'gpt-5': 'gpt-5-2025-08-07',
  'gpt-5-mini': 'gpt-5-mini-2025-08-07',
  'o3-mini': 'o3-mini-2025-01-31',
  'o4-mini': 'o4-mini-2025-04-16',
};

const MODELS = ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-4.1-mini', 'gpt-5-mini'];

// ---- requests

export function authorise(headers, key) {
  const given = headers.authorization;
  if (!given) {
    throw new Problem(401, "You didn't provide an API key. You need to provide your API key in an "
      + 'Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).');
  }
  if (given !== `Bearer ${key}`) {
    throw new Problem(401, 'Incorrect API key provided. You can find your API key at '
      + 'https://platform.openai.com/account/api-keys.', { code: 'invalid_api_key' });
  }
}

export function badJson() {
  return new Problem(400, "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
    + 'using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)');
}

/** Check a body as the API would and give the facts an answer is made from. */
export function readRequest(body) {
  if (!body.model) throw new Problem(400, 'you must provide a model parameter');
  checkMessages(body.messages);
  checkOptions(body);
  if (String(body.model).startsWith('unknown-')) {
    throw new Problem(404, `The model \`${body.model}\` does not exist or you do not have access to it.`,
      { code: 'model_not_found' });
  }
  return {
    model: SERVED[body.model] ?? String(body.model),
    stream: body.stream === true,
    includeUsage: body.stream_options?.include_usage === true,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    choices: body.n ?? 1,
    texts: body.messages.map((message) => contentText(message?.content)),
    lastUserText: contentText(body.messages.findLast((message) => message?.role === 'user')?.content),
    toolName: body.tools?.[0]?.function?.name ?? 'lookup',
  };
}

function checkMessages(messages) {
  const invalid = (message, code) => new Problem(400, message, { param: 'messages', code });
  if (messages === undefined) throw invalid("Missing required parameter: 'messages'.", 'missing_required_parameter');
  if (!Array.isArray(messages)) throw invalid("Invalid type for 'messages': expected an array of objects.", 'invalid_type');
  if (messages.length === 0) {
    throw invalid("Invalid 'messages': empty array. Expected an array with minimum length 1, "
      + 'but got an empty array instead.', 'empty_array');
  }
}

function checkOptions(body) {
  if (body.stream_options != null && body.stream !== true) {
    throw new Problem(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
      { param: 'stream_options' });
  }
  if (body.max_tokens != null && body.max_completion_tokens != null) {
    throw new Problem(400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
      { param: 'max_tokens', code: 'invalid_parameter_combination' });
  }
  checkInteger(body, 'max_tokens', Infinity);
  checkInteger(body, 'max_completion_tokens', Infinity);
  checkInteger(body, 'n', MAX_CHOICES);
}

function checkInteger(body, param, max) {
  const value = body[param];
  if (value == null || (Number.isInteger(value) && value >= 1 && value <= max)) return;
  throw new Problem(400, `Invalid '${param}': expected an integer of at least 1.`, { param, code: 'invalid_value' });
}

// ---- answers

export function responseHeaders(requestId, tookMs) {
  return {
    'x-request-id': requestId,
    'openai-organization': 'org-demo',
    'openai-processing-ms': String(Math.round(tookMs)),
    'openai-version': '2020-10-01',
    'x-ratelimit-limit-requests': '10000',
    'x-ratelimit-limit-tokens': '2000000',
    'x-ratelimit-remaining-requests': '9999',
    'x-ratelimit-remaining-tokens': '1999980',
    'x-ratelimit-reset-requests': '6ms',
    'x-ratelimit-reset-tokens': '0s',
  };
}

/** The answer as one JSON value. */
export function wholeAnswer(request, plan, d) {
  const text = wholeText(plan);
  const choices = [];
  for (let index = 0; index < request.choices; index += 1) {
    choices.push({ index, message: messageOf(request, plan, text), logprobs: null, finish_reason: FINISH[plan.finish] });
  }
  return {
    id: nextId('chatcmpl-'),
    object: 'chat.completion',
    created: now(),
    model: request.model,
    choices,
    usage: shownUsage(d, usageOf(plan)),
    service_tier: d.tier ?? 'default',
    system_fingerprint: FINGERPRINT,
  };
}

function messageOf(request, plan, text) {
  const message = { role: 'assistant', content: plan.toolCall ? null : text, refusal: null, annotations: [] };
  if (!plan.toolCall) return message;
  return { ...message, tool_calls: [toolCall(request, text)] };
}

const toolCall = (request, args) => (
  { id: nextId('call_'), type: 'function', function: { name: request.toolName, arguments: args } }
);

// Cached tokens are part of the prompt here, so the prompt grows by them.
function usageOf(plan) {
  const { prompt, cached, reasoning, completion } = plan.tokens;
  return {
    prompt_tokens: prompt + cached,
    completion_tokens: completion,
    total_tokens: prompt + cached + completion,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** The answer as the events of a stream. */
export function streamScript(request, plan, d) {
  const common = JSON.stringify({
    id: nextId('chatcmpl-'),
    object: 'chat.completion.chunk',
    created: now(),
    model: request.model,
    service_tier: d.tier ?? 'default',
    system_fingerprint: FINGERPRINT,
  }).slice(0, -1);
  const withUsageKey = request.includeUsage && !d.no_usage;
  const end = withUsageKey ? ',"usage":null}\n\n' : '}\n\n';
  const event = (choices) => `data: ${common},"choices":[${choices}]${end}`;

  // `delta` and `finish` are JSON already: a chunk costs one string, not one object tree.
  const choice = (index, delta, finish) => (
    event(`{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}`)
  );
  const eachChoice = (delta, finish) => {
    let events = '';
    for (let index = 0; index < request.choices; index += 1) events += choice(index, delta, finish);
    return events;
  };

  const usage = withUsageKey
    ? [`data: ${common},"choices":[],"usage":${JSON.stringify(shownUsage(d, usageOf(plan)))}}\n\n`]
    : [];
  return {
    head: [eachChoice(firstDelta(request, plan), 'null')],
    chunk: (text) => eachChoice(contentDelta(plan, text), 'null'),
    tail: [
      eachChoice('{}', `"${FINISH[plan.finish]}"`),
      ...usage,
      ...(d.no_done ? [] : ['data: [DONE]\n\n']),
    ],
    error: () => `data: ${JSON.stringify(errorBody(failure(500)))}\n\n`,
  };
}

function firstDelta(request, plan) {
  const delta = { role: 'assistant', content: plan.toolCall ? null : '', refusal: null };
  if (!plan.toolCall) return JSON.stringify(delta);
  return JSON.stringify({ ...delta, tool_calls: [{ index: 0, ...toolCall(request, '') }] });
}

function contentDelta(plan, text) {
  const json = JSON.stringify(text);
  return plan.toolCall ? `{"tool_calls":[{"index":0,"function":{"arguments":${json}}}]}` : `{"content":${json}}`;
}

export function modelList() {
  const data = MODELS.map((id) => ({ id, object: 'model', created: 1_715_367_049, owned_by: 'system' }));
  return { object: 'list', data };
}

// ---- errors

const FAILURES = {
  400: ['The request could not be understood.', { code: null }],
  401: ['Incorrect API key provided.', { code: 'invalid_api_key' }],
  403: ['You are not allowed to sample from this model.', { code: null }],
  404: ['The requested resource does not exist.', { code: null }],
  413: ['The request is too large.', { code: null }],
  429: ['Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 1s.',
    { type: 'requests', code: 'rate_limit_exceeded' }],
  500: ['The server had an error while processing your request. Sorry about that!', {}],
  503: ['The engine is currently overloaded, please try again later.', {}],
  529: ['The engine is currently overloaded, please try again later.', {}],
};

/** What the API says when it fails with this status by itself. */
export function failure(status) {
  const [message, detail] = FAILURES[status];
  return new Problem(status, message, detail);
}

export const leak = (headers) => new Problem(400, `Bad header Authorization: ${headers.authorization}`);

export const noRoute = (method, path) => new Problem(404, `Invalid URL (${method} ${path})`);

export function errorBody(problem) {
  const { type, param = null, code = null } = problem.detail;
  const usual = problem.status >= 500 ? 'server_error' : 'invalid_request_error';
  return { error: { message: problem.message, type: type ?? usual, param, code } };
}

const now = () => Math.floor(Date.now() / 1000);

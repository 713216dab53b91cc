// A provider of batches, as OpenAI, Anthropic, Mistral and Gemini run them: files, batches under way until the test
// ends them, results that come in pieces. One account, whoever asks.

import http from 'node:http';

const ZEROS = { processing: 0, succeeded: 0, errored: 0, canceled: 0, expired: 0 };

/** What an answered line used, in each API's words. */
const chatUsage = ({ input, output, cached = 0 }) => ({
  prompt_tokens: input, completion_tokens: output, total_tokens: input + output, prompt_tokens_details: { cached_tokens: cached },
});
const messageUsage = ({ input, output }) => ({
  input_tokens: input, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: output, service_tier: 'batch',
});

/** One line of OpenAI's results: `used` or an `error`. */
function openaiLine(custom_id, { model = 'gpt-4o-mini-2024-07-18', error, used, text = 'Noted.' }, n) {
  const body = error
    ? { error: { message: error, type: 'invalid_request_error', param: null, code: null } }
    : { id: `chatcmpl-${n}`, object: 'chat.completion', created: 1790000000, model, choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null, finish_reason: 'stop' }], usage: chatUsage(used) };
  return { id: `batch_req_${n}`, custom_id, response: { status_code: error ? 400 : 200, request_id: `req_${n}`, body }, error: null };
}

function anthropicLine(custom_id, { model = 'claude-haiku-4-5-20251001', error, used, text = 'Noted.' }, n) {
  if (error) return { custom_id, result: { type: 'errored', error: { type: 'error', error: { type: 'invalid_request_error', message: error }, request_id: null } } };
  const message = { id: `msg_${n}`, type: 'message', role: 'assistant', model, content: [{ type: 'text', text }], stop_reason: 'end_turn', stop_sequence: null, usage: messageUsage(used) };
  return { custom_id, result: { type: 'succeeded', message } };
}

/** One answer inside a Gemini batch: no name of its own but its place. */
function geminiItem(custom_id, { error, used, text = 'Noted: "}],[{' }) {
  if (error) return { error: { code: 400, message: error }, metadata: { key: custom_id } };
  const usageMetadata = { promptTokenCount: used.input, candidatesTokenCount: used.output, totalTokenCount: used.input + used.output };
  return { response: { candidates: [{ content: { parts: [{ text }], role: 'model' }, finishReason: 'STOP', index: 0 }], usageMetadata, modelVersion: 'gemini-2.5-flash' }, metadata: { key: custom_id } };
}

/** The file and its purpose in an upload. */
function formOf(body, type) {
  const boundary = /boundary=(.*)$/.exec(type)[1];
  const fields = {};
  for (const part of body.toString().split(`--${boundary}`)) {
    const [, name, value] = /name="([^"]+)"[^]*?\r\n\r\n([^]*)\r\n$/.exec(part) ?? [];
    if (name) fields[name] = value;
  }
  return fields;
}

export async function startBatchHouse() {
  const files = new Map();
  const batches = new Map();
  const seen = [];
  let count = 0;
  /** How results are sent: how many bytes, and then what. */
  let pace = null;

  const openaiBatch = (id, more) => ({
    id, object: 'batch', endpoint: '/v1/chat/completions', errors: null, completion_window: '24h', status: 'validating', output_file_id: null,
    error_file_id: null, created_at: 1790000000 + count, request_counts: { total: 0, completed: 0, failed: 0 }, metadata: null, ...more,
  });

  function openai(request, path, body) {
    const [, kind, id, verb] = path.split('/').slice(1);
    const of = `${request.method} ${kind}${id ? '/id' : ''}${verb ? `/${verb}` : ''}`;
    if (of === 'POST files') {
      const { purpose, file } = formOf(body, request.headers['content-type']);
      const file_id = `file-${count += 1}`;
      files.set(file_id, file);
      return { id: file_id, object: 'file', bytes: file.length, created_at: 1790000000, filename: 'batch.jsonl', purpose };
    }
    if (of === 'POST batches') {
      const { input_file_id, endpoint } = JSON.parse(body);
      if (!files.has(input_file_id)) return [400, { error: { message: 'no such file', type: 'invalid_request_error' } }];
      const batch_id = `batch_${count += 1}`;
      batches.set(batch_id, openaiBatch(batch_id, { input_file_id, endpoint }));
      return batches.get(batch_id);
    }
    if (of === 'GET files/id/content' && files.has(id)) return { results: files.get(id), type: 'application/octet-stream' };
    if (of === 'GET files/id' && files.has(id)) return { id, object: 'file', bytes: files.get(id).length };
    if (of === 'DELETE files/id' && files.delete(id)) return { id, object: 'file', deleted: true };
    if (of === 'POST batches/id/cancel') Object.assign(batches.get(id) ?? {}, { status: 'cancelling' });
    if (kind === 'batches' && batches.has(id)) return batches.get(id);
    return [404, { error: { message: 'not found', type: 'invalid_request_error' } }];
  }

  function mistral(request, path, body) {
    const [id, verb] = path.split('/').slice(4);
    if (!id) {
      const { input_files, endpoint, model = null } = JSON.parse(body);
      if (!files.has(input_files[0])) return [404, { message: 'no such file' }];
      const job = `7f0c-${count += 1}`;
      batches.set(job, { id: job, object: 'batch', input_files, metadata: null, endpoint, model, agent_id: null, output_file: null, error_file: null, errors: [], outputs: null, status: 'QUEUED', created_at: 1790000000, total_requests: 0, completed_requests: 0, succeeded_requests: 0, failed_requests: 0, started_at: null, completed_at: null });
      return batches.get(job);
    }
    if (verb === 'cancel') Object.assign(batches.get(id) ?? {}, { status: 'CANCELLATION_REQUESTED' });
    return batches.get(id) ?? [404, { message: 'not found' }];
  }

  function gemini(request, path, body) {
    const [, model] = /models\/(.*):batchGenerateContent$/.exec(path) ?? [];
    if (model) {
      const { requests } = JSON.parse(body).batch.inputConfig.requests;
      const id = `b${count += 1}`;
      batches.set(id, { name: `batches/${id}`, metadata: { '@type': 'type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch', model: `models/${model}`, createTime: '2026-11-24T00:00:00Z', batchStats: { requestCount: `${requests.length}`, pendingRequestCount: `${requests.length}` }, state: 'BATCH_STATE_PENDING', name: `batches/${id}` } });
      return batches.get(id);
    }
    const [id, verb] = path.split('/').at(-1).split(':');
    if (!batches.has(id)) return [404, { error: { code: 404, message: 'not found', status: 'NOT_FOUND' } }];
    if (verb === 'cancel' || (request.method === 'DELETE' && batches.delete(id))) return {};
    return files.has(id) ? { results: files.get(id), type: 'application/json; charset=UTF-8' } : batches.get(id);
  }

  function anthropic(request, path, body) {
    const [id, verb] = path.split('/').slice(4);
    const of = `${request.method} ${id ? 'id' : ''}${verb ? `/${verb}` : ''}`;
    if (of === 'POST ') {
      const batch_id = `msgbatch_${count += 1}`;
      const { requests } = JSON.parse(body);
      const request_counts = { ...ZEROS, processing: requests.length };
      batches.set(batch_id, { id: batch_id, type: 'message_batch', processing_status: 'in_progress', request_counts, ended_at: null, created_at: '2026-11-24T00:00:00Z', expires_at: '2026-11-25T00:00:00Z', results_url: null });
      return batches.get(batch_id);
    }
    const batch = batches.get(id);
    if (!batch) return [404, { type: 'error', error: { type: 'not_found_error', message: 'not found' } }];
    if (of === 'GET id/results') return { results: files.get(id), type: 'application/x-jsonl' };
    if (of === 'DELETE id' && batches.delete(id)) return { id, type: 'message_batch_deleted' };
    if (of === 'POST id/cancel') batch.processing_status = 'canceling';
    return batch;
  }

  async function send(response, { results, type }) {
    const bytes = Buffer.from(results);
    const { bytes: first = bytes.length, then } = pace ?? {};
    response.writeHead(200, { 'content-type': type, ...(pace ? {} : { 'content-length': bytes.length }) });
    response.write(bytes.subarray(0, first));
    if (then === 'cut') { setTimeout(() => response.destroy(), 100); return; }
    if (then) await then;
    response.end(bytes.subarray(first));
  }

  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const path = request.url.split('?')[0];
    seen.push({ method: request.method, path, headers: request.headers, body });
    const house = [['/v1/messages/', anthropic], ['/v1/batch/', mistral], ['/v1beta/', gemini]].find(([at]) => path.startsWith(at))?.[1] ?? openai;
    const answered = house(request, path, body);
    if (answered.results !== undefined) { await send(response, answered); return; }
    const [status, object] = Array.isArray(answered) ? answered : [200, answered];
    const text = JSON.stringify(object);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;

  return {
    url, seen, files, batches,
    /** The next results come so: `{bytes, then}`, `then` a promise to wait for or 'cut'. */
    paced: (how) => { pace = how; },
    /** Ends a batch with these lines: `[custom id, {used} or {error}]`. Answers the bytes of its results. */
    ends(id, lines, { status = 'completed', sums = true } = {}) {
      const batch = batches.get(id);
      if (id.startsWith('b') && !id.startsWith('batch')) {
        const answered = lines.filter(([, { used }]) => used).length;
        const state = status === 'cancelled' ? 'BATCH_STATE_CANCELLED' : 'BATCH_STATE_SUCCEEDED';
        const list = `[${lines.map(([name, what]) => JSON.stringify(geminiItem(name, what))).join('\n,')}]`;
        const output = lines.length ? `"output": {"inlinedResponses": {"inlinedResponses": ${list}}}` : '"endTime": "2026-11-24T01:00:00Z"';
        const head = JSON.stringify({ ...batch.metadata, state, batchStats: { requestCount: `${lines.length}`, ...(answered ? { successfulRequestCount: `${answered}` } : {}) } }).slice(0, -1);
        const response = lines.length ? `, "response": {"@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput", "inlinedResponses": {"inlinedResponses": ${list}}}` : '';
        files.set(id, `{"name": "batches/${id}", "metadata": ${head}, ${output}}, "done": true${response}}`);
        return files.get(id);
      }
      const of = id.startsWith('msgbatch') ? anthropicLine : openaiLine;
      const written = (list) => list.map(([name, what], n) => `${JSON.stringify(of(name, what, n))}\n`).join('');
      const [good, bad] = [lines.filter(([, { used }]) => used), lines.filter(([, { error }]) => error)];
      if (of === anthropicLine) {
        files.set(id, written(lines));
        Object.assign(batch, { processing_status: 'ended', ended_at: '2026-11-24T01:00:00Z', results_url: `${url}/v1/messages/batches/${id}/results`, request_counts: { ...ZEROS, succeeded: good.length, errored: bad.length } });
        return files.get(id);
      }
      if (id.startsWith('7f0c')) {
        if (good.length) files.set(batch.output_file = `out-${count += 1}`, written(good));
        if (bad.length) files.set(batch.error_file = `err-${count += 1}`, written(bad));
        Object.assign(batch, { status: status === 'cancelled' ? 'CANCELLED' : 'SUCCESS', total_requests: lines.length, completed_requests: lines.length, succeeded_requests: good.length, failed_requests: bad.length });
        return files.get(batch.output_file);
      }
      if (good.length) files.set(batch.output_file_id = `file-${count += 1}`, written(good));
      if (bad.length) files.set(batch.error_file_id = `file-${count += 1}`, written(bad));
      const sum = (what) => good.reduce((all, [, { used }]) => all + (used[what] ?? 0), 0);
      const usage = sums ? { usage: { input_tokens: sum('input'), input_tokens_details: { cached_tokens: sum('cached') }, output_tokens: sum('output'), output_tokens_details: { reasoning_tokens: 0 }, total_tokens: sum('input') + sum('output') } } : {};
      Object.assign(batch, { status, request_counts: { total: lines.length, completed: good.length, failed: bad.length }, ...usage });
      return files.get(batch.output_file_id);
    },
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

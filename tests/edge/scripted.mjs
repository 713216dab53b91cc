// An upstream whose answers a test writes byte for byte, for what no well-kept server would send.

import net from 'node:net';

/** Starts one. `answer(socket, request)` is set by the test; `request` is `{head, body}`. */
export async function scripted() {
  const upstream = { answer: null, hits: 0, requests: [], ended: 0 };
  const sockets = new Set();
  const server = net.createServer((socket) => {
    let got = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => {}); // a gate that ends its call is no fault
    socket.on('close', () => { sockets.delete(socket); upstream.ended += 1; });
    socket.on('data', (part) => {
      got = Buffer.concat([got, part]);
      const end = got.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = got.subarray(0, end).toString('latin1');
      const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
      if (got.length < end + 4 + length) return;
      const request = { head, body: got.subarray(end + 4, end + 4 + length).toString() };
      got = got.subarray(end + 4 + length);
      upstream.hits += 1;
      upstream.requests.push(request);
      upstream.answer(socket, request);
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return Object.assign(upstream, {
    url: `http://127.0.0.1:${server.address().port}`,
    stats: () => ({ requests: upstream.hits }),
    close: () => new Promise((closed) => {
      server.close(closed);
      sockets.forEach((socket) => socket.destroy());
    }),
  });
}

/** An HTTP answer's bytes; headers are lines, written as they are. */
export const http = (status, headers, body = '') => `HTTP/1.1 ${status} X\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${body}`;

/** A whole JSON answer, after which the connection is closed. */
export const whole = (body, { status = 200, headers = [] } = {}) => http(status, [
  'content-type: application/json', `content-length: ${Buffer.byteLength(body)}`, 'connection: close', ...headers,
], body);

/** The head of an event stream that ends with its connection. */
export const STREAM = http(200, ['content-type: text/event-stream', 'connection: close']);

export const event = (value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;

/** A chunk of OpenAI's with this content. */
export const piece = (content, finish_reason = null) => event({
  id: 'x', object: 'chat.completion.chunk', model: 'gpt-4o-mini', choices: [{ index: 0, delta: content ? { content } : {}, finish_reason }],
});

/** OpenAI's last chunk, with the usage alone. */
export const usageChunk = (usage) => event({ id: 'x', model: 'gpt-4o-mini', choices: [], usage });

export const USAGE = { prompt_tokens: 11, completion_tokens: 345, total_tokens: 356 };

/** A whole completion of OpenAI's. */
export const completion = (usage = USAGE, content = 'word') => JSON.stringify({
  id: 'x', object: 'chat.completion', model: 'gpt-4o-mini', choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }], usage,
});

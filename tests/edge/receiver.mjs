// A webhook receiver for tests: verifies with the reference library, and answers as it is told.

import http from 'node:http';
import { Webhook } from 'standardwebhooks';

/** `answer(n, message)` gives `{ status, headers?, delayMs? }` for the n-th message, from 1. */
export async function startReceiver(answer = () => ({ status: 204 })) {
  const received = [];
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      const message = { path: request.url, headers: request.headers, body, at: Date.now() };
      received.push(message);
      const { status, headers = {}, delayMs = 0 } = answer(received.length, message);
      setTimeout(() => response.writeHead(status, headers).end('what a receiver says is never shown'), delayMs);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/hook`;
  return {
    url,
    received,
    /** The messages of a kind, each verified with `secret`; throws where a signature is not good. */
    verified(secret, type) {
      const webhook = new Webhook(secret);
      return received.map(({ headers, body }) => ({ id: headers['webhook-id'], ...webhook.verify(body, headers) }))
        .filter((message) => !type || message.type === type);
    },
    async until(count, ms = 10_000) {
      const end = Date.now() + ms;
      while (received.length < count) {
        if (Date.now() > end) throw new Error(`${received.length} messages of ${count} in ${ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    },
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}

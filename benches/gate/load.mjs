// The load generator: a closed loop over connections that stay open, as SDKs keep them.

import http from 'node:http';

const ANSWER_MS = 60_000; // a run that hangs must end in an error, not in silence

/** A keep-alive agent of so many connections. */
export const connectionsTo = (count) => new http.Agent({ keepAlive: true, maxSockets: count, maxFreeSockets: count });

/** Sends one request; `{status, firstMs, totalMs, tail}`, times from when it was handed to the socket. */
export function send(agent, url, { path, headers, body }) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let firstMs;
    let tail = '';
    const request = http.request(url + path, { method: 'POST', agent, headers: { ...headers, 'content-length': Buffer.byteLength(body) } }, (response) => {
      response.on('data', (part) => {
        firstMs ??= performance.now() - began;
        tail = part.length >= 128 ? part.subarray(-128).toString('latin1') : (tail + part.toString('latin1')).slice(-128);
      });
      response.on('end', () => resolve({ status: response.statusCode, firstMs, totalMs: performance.now() - began, tail }));
      response.on('error', reject);
    });
    request.setTimeout(ANSWER_MS, () => request.destroy(new Error(`no answer in ${ANSWER_MS} ms`)));
    request.on('error', reject);
    request.end(body);
  });
}

/** Resolves with the status of a GET over a connection of its own. */
export const get = (url) => new Promise((resolve, reject) => {
  http.get(url, { agent: false }, (response) => {
    response.resume().on('end', () => resolve(response.statusCode));
  }).on('error', reject);
});

/**
 * Sends `requests` requests over `connections` connections, each waiting `pauseMs` between its own,
 * and makes sure that every answer is whole. Answers what `send` answered for each.
 */
export async function load({ url, ask, ending, connections, requests, pauseMs = 0 }) {
  const agent = connectionsTo(connections);
  const answers = [];
  let left = requests;
  const loop = async () => {
    while (left > 0) {
      left -= 1;
      const answer = await send(agent, url, ask);
      if (answer.status !== 200 || !answer.tail.includes(ending)) {
        throw new Error(`${url}${ask.path}: ${answer.status} …${answer.tail}`);
      }
      answers.push(answer);
      if (pauseMs) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  await Promise.all(Array.from({ length: connections }, loop));
  agent.destroy();
  return answers;
}

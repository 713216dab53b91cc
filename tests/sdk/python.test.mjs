// Runs the Python SDKs' tests in a virtual environment of the project's own.

import { execFile } from 'node:child_process';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { say, startGate } from '../edge/gate.mjs';
import { SKIP_PYTHON, python } from '../python.mjs';

const run = promisify(execFile);
const here = fileURLToPath(new URL('python', import.meta.url));

/** A door in front of the gate that counts who comes through. */
async function countingDoor(gateUrl) {
  let count = 0;
  const door = http.createServer((request, response) => {
    if (request.url === '/count') return response.end(String(count));
    count += 1;
    const { method, headers } = request;
    const onward = http.request(gateUrl + request.url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    return request.pipe(onward);
  });
  await new Promise((resolve) => door.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${door.address().port}`, close: () => { door.closeAllConnections(); door.close(); } };
}

test('the official Python SDKs meet the gate as they meet the provider', { skip: SKIP_PYTHON, timeout: 800_000 }, async () => {
  const gate = await startGate();
  const door = await countingDoor(gate.url);
  try {
    const key = await gate.customer('python', '1');
    const spentKey = await gate.customer('spent', '1');
    await (await gate.messages(spentKey, { max_tokens: 450, ...say('Hi [[reasoning=400]]') })).text();
    const { spend } = await gate.idle('spent');
    const limits = [{ id: 'main', window: 'month', kind: 'hard', limit: spend.settled }];
    await gate.admin('PUT', 'customers/spent', { currency: 'USD', limits });
    // Room for one hold of the tests' slow requests (some 0.0012 USD each), not for two.
    const narrowKey = await gate.customer('narrow', '0.002');
    const env = { ...process.env, FAREBOX_URL: gate.url, FAREBOX_COUNTED_URL: door.url, FAREBOX_KEY: key, FAREBOX_SPENT_KEY: spentKey, FAREBOX_NARROW_KEY: narrowKey };
    const binary = await python('.venv', join(here, 'requirements.txt'));
    await run(binary, [join(here, 'test_sdks.py')], { env, timeout: 120_000 });
  } finally {
    door.close();
    await gate.stop();
  }
});

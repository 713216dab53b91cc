// Runs the Python SDKs' tests in a virtual environment of the project's own.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { say, startGate } from '../edge/gate.mjs';

const run = promisify(execFile);
const here = fileURLToPath(new URL('python', import.meta.url));
const venv = fileURLToPath(new URL('../../.venv', import.meta.url));

function hasPython() {
  try {
    execFileSync('python3', ['-c', 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 9))'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The environment's Python, made or brought up to date where the requirements have changed. */
async function python() {
  const wanted = readFileSync(join(here, 'requirements.txt'), 'utf8');
  const mark = join(venv, 'requirements');
  const binary = join(venv, 'bin/python');
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== wanted) {
    await run('python3', ['-m', 'venv', venv], { timeout: 120_000 });
    await run(binary, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', join(here, 'requirements.txt')], { timeout: 600_000 });
    writeFileSync(mark, wanted);
  }
  return binary;
}

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

const skip = hasPython() ? false : 'python3 (3.9 or newer) with venv is not installed';
test('the official Python SDKs meet the gate as they meet the provider', { skip, timeout: 800_000 }, async () => {
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
    await run(await python(), [join(here, 'test_sdks.py')], { env, timeout: 120_000 });
  } finally {
    door.close();
    await gate.stop();
  }
});

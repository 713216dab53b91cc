// Counts beside the reference implementation's; see against_tiktoken.py. FAREBOX_TOKENS_LONG=1 (make
// test-tokens) compares many more, and every character there is.

import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SKIP_PYTHON, python } from '../python.mjs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const here = join(root, 'tests/tokens');
const LONG = process.env.FAREBOX_TOKENS_LONG === '1';

test('counts are tiktoken\'s, on generated strings and on this repository', { skip: SKIP_PYTHON, timeout: 1_200_000 }, async (t) => {
  const binary = await python('.venv-tokens', join(here, 'requirements.txt'));
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean);
  const amount = LONG ? ['--strings', '200000', '--seed', '2026', '--every-character'] : ['--strings', '5000'];
  const args = [join(here, 'against_tiktoken.py'), join(root, 'target/native/farebox'), ...amount, '--files', ...files];
  const { stdout } = await run(binary, args, { cwd: root, maxBuffer: 1 << 24 }).catch((error) => {
    throw new Error(`${error.stdout}\n${error.stderr}`);
  });
  stdout.trim().split('\n').forEach((line) => t.diagnostic(line));
});

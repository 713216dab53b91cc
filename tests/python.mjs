// Python for tests, in virtual environments of the project's own.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

function hasPython() {
  try {
    execFileSync('python3', ['-c', 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 9))'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Why tests that need Python are skipped; false where they are not. */
export const SKIP_PYTHON = hasPython() ? false : 'python3 (3.9 or newer) with venv is not installed';

/**
 * An environment's Python, made or brought up to date where its requirements have changed.
 * @param {string} name the environment's folder, in the project's
 * @param {string} requirements path of its requirements.txt
 */
export async function python(name, requirements) {
  const venv = join(root, name);
  const wanted = readFileSync(requirements, 'utf8');
  const mark = join(venv, 'requirements');
  const binary = join(venv, 'bin/python');
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== wanted) {
    await run('python3', ['-m', 'venv', venv], { timeout: 120_000 });
    await run(binary, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements], { timeout: 600_000 });
    writeFileSync(mark, wanted);
  }
  return binary;
}

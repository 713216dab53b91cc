// The texts: the Debian Reference in English and Chinese (packages of Debian's; its tables' lines
// left out), this project's own source, and the worst input there is.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = fileURLToPath(new URL('target/corpus', import.meta.url));
const MEBI = 1024 * 1024;

function book(language) {
  const text = join(folder, `usr/share/debian-reference/debian-reference.${language}.txt.gz`);
  if (!existsSync(text)) {
    execFileSync('apt-get', ['download', '-qq', `debian-reference-${language}`], { cwd: folder, stdio: 'ignore' });
    execFileSync('sh', ['-c', `dpkg-deb -x debian-reference-${language}_*.deb .`], { cwd: folder });
  }
  const lines = gunzipSync(readFileSync(text)).toString('utf8').split('\n');
  return lines.filter((line) => !/[─-╿]/.test(line)).join('\n').slice(0, MEBI - 64 * 1024);
}

function source() {
  const files = execFileSync('git', ['ls-files', 'src/*.rs'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
  return files.map((file) => readFileSync(join(root, file), 'utf8')).join('');
}

/** Letters that follow no pattern, and the same ones every time. */
function letters() {
  let state = 1;
  return Array.from({ length: MEBI }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return String.fromCharCode(97 + (state >>> 16) % 26);
  }).join('');
}

/** Writes the texts and answers their paths by name. */
export function corpus() {
  mkdirSync(folder, { recursive: true });
  const texts = {
    prose: () => book('en'), code: source, Chinese: () => book('zh-cn'),
    '1 MiB of a': () => 'a'.repeat(MEBI), '1 MiB of spaces': () => ' '.repeat(MEBI), '1 MiB of letters': letters,
  };
  return Object.fromEntries(Object.entries(texts).map(([name, make]) => {
    const path = join(folder, `${name}.txt`);
    writeFileSync(path, make());
    return [name, path];
  }));
}

// Ids that are unique, cheap to make, and look like the providers' own.

import { randomBytes } from 'node:crypto';

const run = randomBytes(6).toString('hex');
let made = 0;

export function nextId(prefix) {
  made += 1;
  return prefix + run + made.toString(36).padStart(12, '0');
}

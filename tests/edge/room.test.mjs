// The room for request bodies: no customer can take so much of it that others wait for it.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { clearRoom, giveRoom, ROOM_BYTES, SHARE_BYTES, SHARE_WAITERS, takeRoom } from '../../src/edge/room.js';

const MB = 1024 * 1024;
beforeEach(clearRoom);
const settled = async (promise) => Promise.race([promise, new Promise((resolve) => { setTimeout(resolve, 5, 'waits'); })]);

test('one customer\'s bodies leave room for another\'s longest', async () => {
  assert.ok(ROOM_BYTES - SHARE_BYTES >= 16 * MB);
  assert.equal(await takeRoom(16 * MB, 'greedy'), true);
  assert.equal(await takeRoom(16 * MB, 'greedy'), true);
  const third = takeRoom(16 * MB, 'greedy');
  assert.equal(await settled(third), 'waits');
  assert.equal(await settled(takeRoom(16 * MB, 'other')), true, 'passes who waits for its own share');
  giveRoom(16 * MB, 'greedy');
  assert.equal(await settled(third), true);
  giveRoom(16 * MB, 'greedy');
});

test('who is next in line is not passed by a smaller one', async () => {
  await takeRoom(16 * MB, 'a');
  await takeRoom(16 * MB, 'b');
  await takeRoom(12 * MB, 'c');
  const next = takeRoom(16 * MB, 'd');
  const small = takeRoom(MB, 'e');
  assert.deepEqual([await settled(next), await settled(small)], ['waits', 'waits']);
  giveRoom(16 * MB, 'a');
  assert.deepEqual([await settled(next), await settled(small)], [true, true]);
});

test('one customer cannot fill the line', async () => {
  await takeRoom(SHARE_BYTES, 'greedy');
  const waiting = Array.from({ length: SHARE_WAITERS }, () => takeRoom(MB, 'greedy'));
  assert.equal(await takeRoom(MB, 'greedy'), false);
  assert.equal(await settled(takeRoom(MB, 'other')), true);
  giveRoom(SHARE_BYTES, 'greedy');
  assert.equal((await Promise.all(waiting.slice(0, 32))).every(Boolean), true);
  for (let n = 0; n < SHARE_WAITERS; n += 1) giveRoom(MB, 'greedy');
});

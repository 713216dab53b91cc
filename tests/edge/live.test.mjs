// The customer's view: live figures over a WebSocket, spend and requests, each customer's own only.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { mintKey, quantity, refusal, requestId, say, sleep, startGate, within } from './gate.mjs';

const rule = (name, run, timeout = 30_000) => test(name, { timeout }, run);

let gate, key, otherKey;
before(async () => {
  gate = await startGate({ vars: { FAREBOX_ALLOW_CRASH: 'true' } });
  key = await gate.customer('acme', '100');
  otherKey = await gate.customer('bigco', '100');
});
after(() => gate?.stop());

const session = async (customer, body = {}) => (await gate.admin('POST', `customers/${customer}/sessions`, body)).token;
const get = (path, token, headers = {}) => gate.raw(`/v1/farebox/${path}`, { method: 'GET', headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers } });
const own = async (path, token) => {
  const answer = await get(path, token);
  assert.equal(answer.status, 200, answer.body.toString());
  return JSON.parse(answer.body);
};

/** An open socket and the frames it brought. */
async function live(token) {
  const socket = new WebSocket(`${gate.url.replace('http', 'ws')}/v1/farebox/live`, ['farebox.v1', token]);
  const frames = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => { frames.push(JSON.parse(data)); wake(); };
  const closed = new Promise((resolve) => { socket.onclose = ({ code }) => { resolve(code); wake(); }; });
  await within(5_000, new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('refused'));
  }), 'no socket');
  return {
    frames, closed, protocol: socket.protocol,
    close: (code) => { socket.close(code); return closed; },
    /** Waits until a frame is there that `check` accepts. */
    async until(check, ms = 5_000) {
      for (const end = Date.now() + ms; ;) {
        const found = frames.find(check);
        if (found) return found;
        assert.ok(Date.now() < end, `not seen: ${JSON.stringify(frames.map(({ type, head }) => [type, head])).slice(0, 500)}`);
        await Promise.race([new Promise((resolve) => { wake = resolve; }), sleep(50)]);
      }
    },
  };
}

/** What the handshake answers to a socket that is refused. */
const handshake = (protocols) => get('live', null, {
  connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  ...(protocols ? { 'sec-websocket-protocol': protocols } : {}),
});

rule('a dashboard gets the whole picture, and then each change', async () => {
  await gate.chat(key, {});
  const socket = await live(await session('acme'));
  assert.equal(socket.protocol, 'farebox.v1');
  const first = await socket.until(({ type }) => type === 'snapshot');
  assert.deepEqual([first.customer, first.currency, first.requests.length, first.limits[0].limit], ['acme', 'USD', first.head.seq, '100']);
  const answer = await gate.chat(key, {});
  const id = requestId(answer);
  const update = await socket.until(({ type, requests }) => type === 'update' && requests.some((row) => row.request_id === id));
  const [row] = update.requests;
  assert.deepEqual([update.requests.length, Number(row.seq), row.outcome, row.amount], [1, first.head.seq + 1, 'settled', answer.headers.get('x-farebox-cost')]);
  assert.deepEqual([update.head.seq, update.spend.held], [Number(row.seq), '0']);
  await socket.close(1000);
});

rule('what is held shows while it is held', async () => {
  const socket = await live(await session('acme'));
  const running = gate.chat(key, say('hi [[hold=shown]]'));
  const during = await socket.until(({ spend }) => spend.open === 1);
  assert.ok(Number(during.spend.held) > 0);
  gate.upstream.release('shown');
  await running;
  await socket.until(({ type, spend }) => type === 'update' && spend.open === 0 && spend.held === '0');
  await socket.close(1000);
});

rule('under load every record arrives once, in few frames', async () => {
  const sockets = [await live(await session('acme')), await live(await session('acme'))];
  const from = (await gate.status('acme')).head.seq;
  const began = Date.now();
  await Promise.all(Array.from({ length: 40 }, () => gate.chat(key, {})));
  const { head } = await gate.idle('acme');
  for (const socket of sockets) {
    await socket.until(({ head: seen }) => seen.seq === head.seq);
    const updates = socket.frames.filter(({ type }) => type === 'update');
    const seqs = updates.flatMap(({ requests }) => requests.map(({ seq }) => Number(seq))).filter((seq) => seq > from);
    assert.deepEqual(seqs.sort((a, b) => a - b), Array.from({ length: 40 }, (_, n) => from + 1 + n));
    assert.ok(updates.length <= 2 + (Date.now() - began) / 100, `${updates.length} frames`);
    await socket.close(1000);
  }
});

rule('one customer\'s socket hears nothing of another', async () => {
  const socket = await live(await session('bigco'));
  await gate.chat(key, {});
  await gate.chat(otherKey, {});
  await socket.until(({ type }) => type === 'update');
  await sleep(300);
  for (const frame of socket.frames) assert.equal(frame.customer, 'bigco');
  assert.ok(!JSON.stringify(socket.frames).includes('acme'));
  await socket.close(1000);
});

rule('S48: a socket needs a session of its own: no, forged, expired and foreign tokens are refused', async () => {
  const token = await session('acme');
  const [, customer, expires, rights, ending] = token.split('_');
  const built = (changes) => Object.values({ fbs: 'fbs', customer, expires, rights, ending, ...changes }).join('_');
  const short = await session('acme', { seconds: 1 });
  await sleep(1_100);
  const bad = [
    undefined, 'farebox.v1', 'farebox.v1, fbs_', `farebox.v1, ${key}`, `farebox.v1, ${gate.secretVars.FAREBOX_ADMIN_TOKEN}`, `farebox.v1, ${short}`,
    `farebox.v1, ${built({ customer: 'bigco' })}`, `farebox.v1, ${built({ expires: String(Number(expires) + 1) })}`, `farebox.v1, ${built({ rights: 'w' })}`,
    `farebox.v1, ${built({ ending: `${ending.slice(0, -1)}${ending.at(-1) === 'a' ? 'b' : 'a'}` })}`, `farebox.v1, ${token}x`, `farebox.v1, ${token}_x`, `farebox.v1, x${token}`,
  ];
  for (const protocols of bad) {
    const { status, code } = await refusal(await handshake(protocols), 'own');
    assert.deepEqual([status, code], [401, 'invalid_key'], protocols);
  }
  for (const protocols of bad.slice(2)) await assert.rejects(live(protocols.split(', ')[1]), /refused/);
  assert.equal((await refusal(await get('live', token), 'own')).status, 400, 'it speaks WebSocket only');
  const inUrl = await get(`live?token=${token}`, null, { connection: 'Upgrade', upgrade: 'websocket' });
  assert.equal((await refusal(inUrl, 'own')).status, 401, 'a token in the URL does not count');
});

/**
 * A socket read frame by frame: `{texts, closed}`, where `closed` is the close code the server sent.
 * (A WebSocket tells its close only when the connection is gone, which the platform leaves to time.)
 */
function frames(token) {
  const socket = net.connect(new URL(gate.url).port, '127.0.0.1');
  socket.write(`GET /v1/farebox/live HTTP/1.1\r\nhost: gate\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n`
    + `sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: farebox.v1, ${token}\r\n\r\n`);
  const texts = [];
  let bytes = Buffer.alloc(0);
  let open = false;
  const closed = new Promise((resolve) => {
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      if (!open && bytes.includes('\r\n\r\n')) {
        open = true;
        bytes = bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
      }
      while (open && bytes.length >= 2) {
        const short = bytes[1] & 0x7f;
        const head = { 126: 4, 127: 10 }[short] ?? 2;
        if (bytes.length < head) return;
        const length = { 126: () => bytes.readUInt16BE(2), 127: () => Number(bytes.readBigUInt64BE(2)) }[short]?.() ?? short;
        if (bytes.length < head + length) return;
        const payload = bytes.subarray(head, head + length);
        if ((bytes[0] & 0x0f) === 8) resolve(length ? payload.readUInt16BE() : 1005);
        else texts.push(JSON.parse(payload));
        bytes = bytes.subarray(head + length);
      }
    });
  });
  closed.then(() => socket.destroy());
  return { texts, closed };
}

rule('S12: a socket whose session is over is closed with 4401, and hears nothing after it', async () => {
  const { texts, closed } = frames(await session('acme', { seconds: 2 }));
  await sleep(500);
  await gate.chat(key, {});
  await sleep(500);
  assert.deepEqual([texts[0].type, texts.at(-1).type], ['snapshot', 'update']);
  await sleep(1_200);
  await gate.idle('acme');
  const heard = texts.length;
  await gate.chat(key, {});
  assert.equal(await within(3_000, closed, 'not closed'), 4401);
  assert.equal(texts.length, heard);
});

rule('a socket whose session is over is closed even where nothing happens', async () => {
  await gate.customer('quiet', '1');
  const { closed } = frames(await session('quiet', { seconds: 2 }));
  assert.equal(await within(6_000, closed, 'an idle socket is not closed'), 4401);
});

rule('a client\'s own close is answered at once', async () => {
  const socket = await live(await session('acme'));
  const began = performance.now();
  await socket.close();
  assert.ok(performance.now() - began < 2_000, `${(performance.now() - began).toFixed(0)} ms`);
});

rule('a dashboard survives a panic of the engine', async () => {
  const socket = await live(await session('acme'));
  const crashed = await gate.raw('/v1/chat/completions', { headers: { authorization: `Bearer ${key}`, 'x-farebox-crash': '1' }, body: '{}' });
  assert.equal(crashed.status, 500);
  const id = requestId(await gate.chat(key, {}));
  await socket.until(({ requests }) => requests.some((row) => row.request_id === id));
  await socket.close(1000);
});

rule('S11: a session sees its own spend and book; a key or another session does not open them', async () => {
  const token = await session('acme');
  const spend = await own('spend', token);
  const status = await gate.status('acme');
  assert.deepEqual([spend.customer, spend.spend, spend.head], ['acme', status.spend, status.head]);
  assert.equal((await own('spend', await session('bigco'))).customer, 'bigco');
  const book = JSON.stringify(await own('book', token));
  assert.ok(book.includes('gpt-4o-mini'));
  assert.doesNotMatch(book, /"(cost|margin|upstream)"/);
  for (const path of ['spend', 'book']) {
    const { status: code } = await refusal(await get(path, null), 'own');
    assert.equal(code, 401);
  }
});

rule('S11: a request is seen by its own customer\'s key and session, and is not there for any other', async () => {
  const id = requestId(await gate.chat(key, say('canary words')));
  for (const token of [key, await session('acme')]) {
    const { cost, records: [{ record, signature, ...rest }] } = await own(`requests/${id}`, token);
    assert.deepEqual([record.request_id, record.customer, record.amount, rest], [id, 'acme', cost, {}], 'nothing private');
    assert.equal(signature.alg, 'HMAC-SHA256');
    assert.ok(Number(quantity(record, 'input_total')) > 0);
    assert.ok(!JSON.stringify(record).includes('canary'));
  }
  const nowhere = '018bcfe5-6800-7707-8707-070707070707';
  const answers = [];
  for (const token of [otherKey, await session('bigco')]) {
    for (const each of [id, nowhere]) {
      const { status, code, text, id: own } = await refusal(await get(`requests/${each}`, token), 'own');
      assert.deepEqual([status, code], [404, 'not_found']);
      answers.push(text.replaceAll(own, 'ID'));
    }
  }
  assert.equal(new Set(answers).size, 1, 'another\'s request is not to be told from one that never was');
  assert.equal((await refusal(await get(`requests/${id}`, null), 'own')).status, 401);
});

rule('S12: a revoked or foreign key opens nothing', async () => {
  const gone = await gate.customer('gone', '1');
  const id = requestId(await gate.chat(gone, {}));
  await gate.bill(gone, { headers: { 'x-farebox-request-id': id } });
  await gate.admin('DELETE', 'customers/gone/keys/k1');
  const signedOnly = mintKey(gate.secretVars.FAREBOX_KEY_SECRETS, 'gone', 'k1').key;
  for (const token of [gone, signedOnly]) assert.equal((await refusal(await get(`requests/${id}`, token), 'own')).status, 401);
});

rule('S12: a session lasts an hour at most, and not past its end', async () => {
  const { expires_at: end, url, token } = await gate.admin('POST', 'customers/acme/sessions', { seconds: 86_400 });
  assert.ok(Date.parse(end) - Date.now() <= 3_600_000);
  assert.equal(url, `${gate.url}/#session=${token}`);
  const short = await session('acme', { seconds: 1 });
  await sleep(1_100);
  const { status, message } = await refusal(await get('spend', short), 'own');
  assert.equal(status, 401);
  assert.match(message, /expired/);
});

rule('a session of a customer that does not exist shows nothing', async () => {
  const token = await session('nobody');
  assert.equal((await refusal(await get('spend', token), 'own')).status, 404);
  await assert.rejects(live(token), /refused/);
});

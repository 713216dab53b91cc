// Alerts: raised once in the ledger, delivered as Standard Webhooks until they are taken.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { say, secrets, sleep, startGate } from './gate.mjs';
import { startReceiver } from './receiver.mjs';

const vars = { FAREBOX_ALERT_RETRY_SECONDS: '0.2' };
const gate = await startGate({ vars });
const open = [];
after(async () => {
  await gate.stop();
  await Promise.all(open.map((each) => each.close()));
});

async function receiver(answer) {
  const made = await startReceiver(answer);
  open.push(made);
  return made;
}

const put = (name, id, body) => gate.admin('PUT', `customers/${name}/endpoints/${id}`, body);
/** A limit that one request reaches to more than half and less than four fifths. */
const TIGHT = [{ id: 'main', window: 'month', kind: 'soft', limit: '0.00001' }];

/** Spends once, and ends with the alerts that were raised, oldest first. */
async function spend(name, key, over = gate) {
  assert.equal((await over.chat(key, say('hi'))).status, 200);
  await over.idle(name);
  return (await over.admin('GET', `customers/${name}/alerts`)).alerts.reverse();
}

async function deliveries(name, check, ms = 10_000, over = gate) {
  const end = Date.now() + ms;
  for (;;) {
    const { deliveries: found } = await over.admin('GET', `customers/${name}/deliveries`);
    if (found.length > 0 && check(found)) return found;
    if (Date.now() > end) throw new Error(`deliveries: ${JSON.stringify(found)}`);
    await sleep(50);
  }
}

test('what crosses a threshold reaches a receiver that the reference library verifies, each once', { timeout: 60_000 }, async () => {
  const hook = await receiver();
  const key = await gate.customer('once', null);
  await gate.admin('PUT', 'customers/once', { currency: 'USD', limits: TIGHT });
  const { secret } = await put('once', 'hook', { url: hook.url });
  const raised = await spend('once', key);
  const percents = raised.map(({ data }) => data.percent).sort((a, b) => a - b);
  assert.ok(percents.length > 0);
  await hook.until(raised.length);
  await spend('once', key);
  await deliveries('once', (all) => all.every(({ state }) => state === 'delivered'));
  const told = hook.verified(secret, 'limit.threshold');
  assert.equal(new Set(told.map(({ id }) => id)).size, told.length, 'each under an id of its own');
  assert.deepEqual(told.map(({ data }) => data.percent).slice(0, percents.length).sort((a, b) => a - b), percents);
  const [first] = told;
  assert.deepEqual([first.customer, first.data.limit.id, first.data.limit.unit], ['once', 'main', 'USD']);
  assert.equal(typeof first.data.limit.settled, 'string');
  const { alerts, forecast } = await gate.status('once');
  assert.equal(alerts.length, told.length, 'the snapshot shows them');
  assert.deepEqual([forecast.month.status, forecast.month.expected], ['unknown', undefined]);
});

test('a receiver that is down, fails or asks to wait is tried again under the same id; then no more', { timeout: 60_000 }, async () => {
  const answers = [{ status: 500 }, { status: 302, headers: { location: '/elsewhere' } }, { status: 429, headers: { 'retry-after': '1' } }];
  const hook = await receiver((n) => answers[n - 1] ?? { status: 200 });
  await gate.customer('retry', null);
  const { secret } = await put('retry', 'hook', { url: hook.url });
  await gate.admin('POST', 'customers/retry/endpoints/hook/test');
  await hook.until(4, 20_000);
  const [done] = await deliveries('retry', ([{ state }]) => state === 'delivered');
  assert.deepEqual([done.tries, done.status], [4, 200]);
  const messages = hook.verified(secret);
  assert.equal(new Set(messages.map(({ id }) => id)).size, 1);
  assert.ok(hook.received.every(({ path }) => path === '/hook'), 'no redirect is followed');
  assert.ok(hook.received[3].at - hook.received[2].at >= 950, 'Retry-After is kept');
  await sleep(500);
  assert.equal(hook.received.length, 4);
});

test('a receiver that acts and answers too late gets the message again, under the same id', { timeout: 60_000 }, async () => {
  const hook = await receiver((n) => ({ status: 200, delayMs: n === 1 ? 11_000 : 0 }));
  await gate.customer('slow', null);
  const { secret } = await put('slow', 'hook', { url: hook.url });
  await gate.admin('POST', 'customers/slow/endpoints/hook/test');
  await hook.until(2, 25_000);
  assert.equal(new Set(hook.verified(secret).map(({ id }) => id)).size, 1);
  const [done] = await deliveries('slow', ([{ state }]) => state === 'delivered');
  assert.equal(done.tries, 2);
});

test('one that says it is gone is sent nothing more, and what was given up can be replayed', { timeout: 60_000 }, async () => {
  let status = 410;
  const hook = await receiver(() => ({ status }));
  await gate.customer('gone', null);
  await put('gone', 'hook', { url: hook.url });
  await gate.admin('POST', 'customers/gone/endpoints/hook/test');
  const [dead] = await deliveries('gone', ([{ state }]) => state === 'dead');
  assert.equal(dead.status, 410);
  assert.equal((await gate.admin('GET', 'customers/gone/endpoints')).endpoints[0].gone, true);
  status = 204;
  await put('gone', 'hook', { url: hook.url });
  assert.deepEqual(await gate.admin('POST', 'customers/gone/deliveries/replay', { endpoint: 'hook' }), { replayed: 1 });
  await deliveries('gone', ([{ state }]) => state === 'delivered');
  assert.equal(hook.received.length, 2);
  const shown = JSON.stringify(await gate.admin('GET', 'customers/gone/deliveries'));
  assert.ok(!shown.includes('what a receiver says'), 'its words are never shown');
});

test('an endpoint that is changed while the old one says it is gone stays, and hears the next', { timeout: 60_000 }, async () => {
  const [old, fresh] = [await receiver(() => ({ status: 410, delayMs: 1_000 })), await receiver()];
  await gate.customer('changed', null);
  await put('changed', 'hook', { url: old.url });
  await gate.admin('POST', 'customers/changed/endpoints/hook/test');
  await old.until(1);
  await put('changed', 'hook', { url: fresh.url });
  await deliveries('changed', ([{ state }]) => state === 'dead');
  const [endpoint] = (await gate.admin('GET', 'customers/changed/endpoints')).endpoints;
  assert.deepEqual([endpoint.gone, endpoint.url], [false, fresh.url]);
  await gate.admin('POST', 'customers/changed/endpoints/hook/test');
  await fresh.until(1);
});

test('a pause that a receiver asks for holds for what is raised meanwhile; one that is gone is not tested', { timeout: 60_000 }, async () => {
  const hook = await receiver((n) => (n === 1 ? { status: 429, headers: { 'retry-after': '2' } } : { status: 200 }));
  await gate.customer('paused', null);
  await put('paused', 'hook', { url: hook.url });
  await gate.admin('POST', 'customers/paused/endpoints/hook/test');
  await deliveries('paused', ([{ tries }]) => tries === 1);
  await gate.admin('POST', 'customers/paused/endpoints/hook/test');
  await hook.until(3, 20_000);
  assert.ok(hook.received[1].at - hook.received[0].at >= 1_950, 'both wait');
  const dying = await receiver(() => ({ status: 410 }));
  await put('paused', 'dying', { url: dying.url });
  await gate.admin('POST', 'customers/paused/endpoints/dying/test');
  await deliveries('paused', (all) => all.some(({ state }) => state === 'dead'));
  await assert.rejects(gate.admin('POST', 'customers/paused/endpoints/dying/test'), /409.*put it again/s);
  await assert.rejects(gate.admin('POST', 'customers/paused/deliveries/replay', { endpoint: 'dying' }), /409.*put it again/s);
  await assert.rejects(gate.admin('POST', 'customers/paused/endpoints/none/test'), /404.*`none`/s);
});

test('tests are a hundred a day at most, and lists go on after the last of the page before', { timeout: 90_000 }, async () => {
  const hook = await receiver();
  await gate.customer('tested', null);
  await put('tested', 'hook', { url: hook.url });
  for (let n = 0; n < 100; n += 1) await gate.admin('POST', 'customers/tested/endpoints/hook/test');
  await assert.rejects(gate.admin('POST', 'customers/tested/endpoints/hook/test'), /409.*wait a day/s);
  const all = (await gate.admin('GET', 'customers/tested/alerts')).alerts.map(({ id }) => id);
  assert.equal(new Set(all).size, 100);
  const after = await gate.admin('GET', `customers/tested/alerts?before=${all[39]}`);
  assert.deepEqual(after.alerts.map(({ id }) => id), all.slice(40), 'also those of the same moment');
  await assert.rejects(gate.admin('GET', 'customers/tested/alerts?before=noon'), /400.*`before`/s);
});

test('after a rotation both secrets verify, and no listing shows one', { timeout: 60_000 }, async () => {
  const hook = await receiver();
  await gate.customer('rotate', null);
  const { secret: old } = await put('rotate', 'hook', { url: hook.url });
  const { secret: fresh } = await gate.admin('POST', 'customers/rotate/endpoints/hook/rotate');
  assert.notEqual(old, fresh);
  await gate.admin('POST', 'customers/rotate/endpoints/hook/test');
  await hook.until(1);
  assert.equal(hook.received[0].headers['webhook-signature'].split(' ').length, 2);
  for (const secret of [old, fresh]) assert.equal(hook.verified(secret)[0].type, 'alert.test');
  assert.throws(() => hook.verified(`whsec_${randomBytes(32).toString('base64')}`));
  assert.ok(!JSON.stringify(await gate.admin('GET', 'customers/rotate/endpoints')).includes('whsec_'));
});

test('a customer sets and sees its own endpoints, with a session that may write', { timeout: 60_000 }, async () => {
  const hook = await receiver();
  const key = await gate.customer('own', null);
  await put('own', 'ops', { url: hook.url });
  const session = async (rights) => (await gate.admin('POST', 'customers/own/sessions', { rights })).token;
  const call = async (token, method, path, body) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await gate.fetch(`/v1/farebox/${path}`, { method, headers, body: body && JSON.stringify(body) });
    return [answer.status, await answer.json()];
  };
  const [read, write] = [await session('read'), await session('write')];
  assert.equal((await call(read, 'PUT', 'endpoints/mine', { url: hook.url }))[0], 403);
  const [status, made] = await call(write, 'PUT', 'endpoints/mine', { url: hook.url });
  assert.deepEqual([status, made.endpoint.owner], [200, 'customer']);
  const [taken, why] = await call(write, 'PUT', 'endpoints/ops', { url: hook.url });
  assert.equal(taken, 409, "the operator's are not its own");
  assert.match(why.detail, /`ops` is taken.*another name/);
  assert.equal((await call(write, 'PUT', 'endpoints/me', { mail: 'a@example.com' }))[0], 400);
  assert.equal((await call(write, 'DELETE', 'endpoints/ops'))[0], 404);
  const shown = async (token) => (await call(token, 'GET', 'endpoints'))[1].endpoints.map(({ id, url }) => [id, url]);
  const host = `${new URL(hook.url).origin}/…`;
  assert.deepEqual(await shown(read), [['mine', host]], 'an address may carry a secret');
  assert.deepEqual(await shown(key), [['mine', host]]);
  assert.deepEqual(await shown(write), [['mine', hook.url]]);
  const [refused, told] = await call(write, 'PUT', 'endpoints/mine', { url: hook.url, types: ['limit.treshold'] });
  assert.equal(refused, 400);
  assert.match(told.detail, /`limit\.treshold`.*limit\.threshold/);
  assert.equal((await call(key, 'GET', 'forecast'))[1].month.status, 'unknown');
  assert.deepEqual((await call(key, 'GET', 'alerts'))[1], { alerts: [] });
});

test('settings are kept, shown, and refused where they are wrong', { timeout: 60_000 }, async () => {
  await gate.customer('settings', null);
  await gate.admin('PUT', 'customers/settings/alert-settings', { thresholds: [90], burn: null });
  const shown = await gate.admin('GET', 'customers/settings/alert-settings');
  assert.deepEqual([shown.thresholds, shown.burn, shown.balance.percent], [[90], null, 20]);
  await assert.rejects(gate.admin('PUT', 'customers/settings/alert-settings', { thresholds: [0] }), /thresholds/);
  await assert.rejects(gate.admin('PUT', 'customers/settings/alert-settings', { colour: 'red' }), /colour/);
});

test('killed between the crossing and the delivery: delivered all the same, and raised once', { timeout: 90_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-alerts-'));
  const secretVars = secrets();
  let down = true;
  const hook = await receiver(() => ({ status: down ? 503 : 200 }));
  let first;
  let second;
  try {
    first = await startGate({ vars, persist: folder, secretVars });
    const key = await first.customer('kill', null);
    await first.admin('PUT', 'customers/kill', { currency: 'USD', limits: TIGHT });
    const { secret } = await first.admin('PUT', 'customers/kill/endpoints/hook', { url: hook.url });
    const raised = await spend('kill', key, first);
    assert.ok(raised.length > 0);
    process.kill(first.pid, 'SIGKILL');
    await first.stop().catch(() => {});
    down = false;
    const failed = hook.received.length;
    second = await startGate({ vars, persist: folder, secretVars });
    await second.status('kill'); // an object lives when it is called
    await second.admin('GET', 'customers/kill/alerts');
    await deliveries('kill', (all) => all.length === raised.length && all.every(({ state }) => state === 'delivered'), 20_000, second);
    const told = hook.verified(secret).slice(failed).map(({ id }) => id).sort();
    assert.deepEqual(told, raised.map(({ id }) => id).sort());
    assert.deepEqual((await second.admin('GET', 'customers/kill/alerts')).alerts.map(({ id }) => id).sort(), told);
  } finally {
    await second?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('of alerts whose window is never over the newest 4,096 are kept, and all whose window is open', { timeout: 90_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'farebox-alerts-'));
  const secretVars = secrets();
  let running;
  try {
    running = await startGate({ persist: folder, secretVars });
    const key = await running.customer('full', null);
    await running.stop();
    const file = readdirSync(folder, { recursive: true }).map(String)
      .find((each) => /LedgerObject\/[0-9a-f]{64}\.sqlite$/.test(each));
    const rows = (run) => {
      const database = new DatabaseSync(join(folder, file));
      try {
        return run(database);
      } finally {
        database.close();
      }
    };
    rows((database) => database.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
      INSERT INTO alerts SELECT 'standing-' || i, i, NULL, 1, 1, '{}' FROM n;
      INSERT INTO alerts VALUES ('open', 0, ${Date.now() + 86_400_000}, 1, 1, '{}');`));
    running = await startGate({ persist: folder, secretVars });
    assert.equal((await running.chat(key, say('hi'))).status, 200);
    const counted = () => rows((database) => database.prepare(
      'SELECT COUNT(until IS NULL OR NULL) AS standing, MIN(CASE WHEN until IS NULL THEN at END) AS oldest, SUM(id = ?) AS open FROM alerts',
    ).get('open'));
    const end = Date.now() + 30_000;
    while (counted().standing > 4096 && Date.now() < end) await sleep(200);
    const { standing, oldest, open: isOpen } = counted();
    assert.deepEqual([standing, oldest, isOpen], [4096, 5000 - 4095, 1]);
  } finally {
    await running?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the operator hears of every customer, and mail leaves by its HTTPS mailer, signed', { timeout: 90_000 }, async () => {
  const [hook, mailer] = [await receiver(), await receiver()];
  const secret = () => `whsec_${randomBytes(32).toString('base64')}`;
  const [hookSecret, mailSecret] = [secret(), secret()];
  const alerts = {
    webhook: { url: hook.url, secret: 'HOOK' },
    mail: { from: 'farebox@example.com', url: mailer.url, secret: 'MAIL' },
  };
  const other = await startGate({ vars: { ...vars, FAREBOX_ALERTS: JSON.stringify(alerts), HOOK: hookSecret, MAIL: mailSecret } });
  try {
    const key = await other.customer('wide', null);
    await other.admin('PUT', 'customers/wide', { currency: 'USD', limits: TIGHT });
    await other.admin('PUT', 'customers/wide/endpoints/ops', { mail: 'ops@example.com' });
    const raised = await spend('wide', key, other);
    await Promise.all([hook.until(raised.length), mailer.until(raised.length)]);
    assert.equal(hook.verified(hookSecret)[0].customer, 'wide');
    const mail = new Webhook(mailSecret).verify(mailer.received[0].body, mailer.received[0].headers);
    assert.deepEqual([mail.from, mail.to], ['farebox@example.com', 'ops@example.com']);
    assert.match(mail.subject, /^wide: \d+ % of the limit "main" is used$/);
    assert.match(mail.text, /Used: +0\.0000\d+ of 0\.00001 USD/);
    assert.match(mail.html, /<h1 [^>]*>\d+ % of the limit &quot;main&quot; is used\.<\/h1>/);
  } finally {
    await other.stop();
  }
});

test('outside dev no private address is sent to, in whatever disguise (S21)', { timeout: 60_000 }, async () => {
  const strict = await startGate({ vars: { FAREBOX_ENV: '', FAREBOX_UPSTREAMS: '{}' } });
  try {
    await strict.customer('safe', null);
    for (const url of [
      'http://hooks.example.com/', 'https://127.0.0.1/', 'https://2130706433/', 'https://0x7f.1/', 'https://[::1]/',
      'https://[::ffff:10.0.0.1]/', 'https://169.254.169.254/latest/meta-data', 'https://metadata.google.internal/',
      'https://localhost/', 'https://LOCALHOST./', 'https://user:pass@hooks.example.com/', 'ftp://hooks.example.com/', 'nonsense',
    ]) {
      await assert.rejects(strict.admin('PUT', 'customers/safe/endpoints/hook', { url }), /: 400 /, url);
    }
    await strict.admin('PUT', 'customers/safe/endpoints/hook', { url: 'https://hooks.example.com/' });
  } finally {
    await strict.stop();
  }
});

test('the cron pages over the directory of customers, and wakes each', { timeout: 60_000 }, async () => {
  await gate.customer('paged', null);
  const worker = await gate.miniflare.getWorker();
  await worker.scheduled({ cron: '*/15 * * * *' });
  const db = await gate.miniflare.getD1Database('DB');
  const { results } = await db.prepare('SELECT customer FROM customers ORDER BY customer').all();
  assert.ok(results.some(({ customer }) => customer === 'paged'));
  assert.deepEqual((await db.prepare("SELECT value FROM cursors WHERE name = 'wake'").all()).results, [{ value: '' }]);
  assert.ok(!gate.logs.some((line) => /could not be woken/.test(line)), 'each was woken');
});

// The dashboard on a real gate: the Worker on workerd, its ledger object, its socket, its Wasm.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { say, startGate } from '../edge/gate.mjs';
import { DEADLINE, launch, shut, textOf, withPage } from './harness.mjs';

const output = fileURLToPath(new URL('../output', import.meta.url));
let gate;
let key;
before(async () => {
  gate = await startGate();
  key = await gate.customer('acme', '0.05');
  await launch();
});
after(async () => {
  await shut();
  await gate?.stop();
});

const session = async (customer, body = {}) => (await gate.admin('POST', `customers/${customer}/sessions`, body)).url;
const spent = (page) => page.locator('.spent .figure data').getAttribute('value');

test('spend moves when a request is made, without a reload and without an error', { timeout: DEADLINE }, async () => {
  await withPage(await session('acme'), {}, async ({ page, faults }) => {
    await page.locator('.spent .figure').waitFor();
    assert.equal(await page.locator('.requests tbody tr').count(), 0);
    await (await gate.chat(key, {})).text();
    await page.locator('.requests tbody tr').first().waitFor();
    const status = await gate.idle('acme');
    await page.waitForFunction(() => /0\.0000/.test(document.querySelector('.requests tbody').innerText));
    assert.equal(status.requests.length, 1);
    for (const text of ['[[cached=2000 chunks=60]]', '[[reasoning=400]]', '[[status=500]]', '[[no_usage chunks=9]]']) {
      await (await gate.chat(key, { model: 'gpt-4.1', max_tokens: 600, stream: text.includes('no_usage'), ...say(text) })).text();
    }
    await (await gate.messages(key, { stream: true, ...say('[[cache_write=1200 cache_write_1h=300 chunks=80]]') })).text();
    await gate.idle('acme');
    await page.locator('.requests tbody tr:nth-child(6)').waitFor();
    mkdirSync(output, { recursive: true });
    await page.locator('.bounds').waitFor(); // the quote box has its Wasm
    await page.screenshot({ path: `${output}/dashboard.png`, fullPage: true });
    assert.deepEqual(faults, []);
    assert.ok(!page.url().includes('fbs_'), 'the token is out of the address');
  });
});

test('what is held shows while a request runs, and goes when it has settled', { timeout: DEADLINE }, async () => {
  await withPage(await session('acme'), {}, async ({ page }) => {
    await page.locator('.spent .figure').waitFor();
    const running = gate.chat(key, say('[[hold=shown]]'));
    await page.waitForFunction(() => !/\.part\.none/.test('') && document.querySelector('.spent .part:not(.none) .held'));
    gate.upstream.release('shown');
    await (await running).text();
    await page.locator('.spent .part.none .held').waitFor();
  });
});

test('the quote in the page is the quote of the gate, byte for byte', { timeout: DEADLINE }, async () => {
  await withPage(await session('acme'), {}, async ({ page }) => {
    await page.locator('.bounds').waitFor();
    const request = '{"endpoint":"/v1/chat/completions","body":{"model":"gpt-4o-mini","max_tokens":77,"messages":[{"role":"user","content":"Wie viel?"}]}}';
    const inPage = await page.evaluate(async (text) => {
      const { default: init, quote } = await import('/pkg/farebox.js');
      await init();
      const token = sessionStorage.getItem(Object.keys(sessionStorage).find((name) => sessionStorage.getItem(name).startsWith('fbs_')));
      const book = await (await fetch('/v1/farebox/book', { headers: { authorization: `Bearer ${token}` } })).text();
      return quote(book, text);
    }, request);
    const atGate = await gate.fetch('/v1/farebox/quote', { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: request });
    // The gate knows the account, too, and says at the end what is left in it.
    const [quoted, account] = (await atGate.text()).split(',"account":');
    assert.equal(inPage, `${quoted}}`);
    assert.match(account, /^\{"remaining":"0\.\d+","affordable_max_tokens":"\d+"\}\}$/);
  });
});

test('a spent limit says so in words', { timeout: DEADLINE }, async () => {
  const poor = await gate.customer('poor', '0.0001');
  let status = 200;
  for (let tries = 0; status === 200 && tries < 5; tries += 1) {
    const response = await gate.chat(poor, say('[[reasoning=80]]'));
    await response.text();
    status = response.status;
  }
  assert.equal(status, 402);
  await withPage(await session('poor'), {}, async ({ page }) => {
    await page.locator('.state.stopped').waitFor();
    assert.match(await textOf(page, '.state h2'), /Stopped/i);
  });
});

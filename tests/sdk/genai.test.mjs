// Google's own SDK, with nothing changed but `baseUrl` and `apiKey`, takes the gate for Gemini.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApiError, GoogleGenAI } from '@google/genai';
import { quantity, wiretap } from '../edge/gate.mjs';
import { golden, startProviders } from '../edge/providers.mjs';

const rule = (name, run) => test(name, { timeout: 30_000 }, run);
const model = 'gemini-2.5-flash';
const ask = { model, contents: 'When is the next tram?', config: { maxOutputTokens: 500 } };

let setup, tap;
const clientOf = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: tap.url } });
before(async () => {
  setup = await startProviders();
  tap = await wiretap(setup.gate.url);
});
after(async () => {
  await tap?.close();
  await setup?.stop();
});

/** The bill of what the SDK asked for last. */
const billed = async () => {
  const { records: [record], cost } = await setup.gate.bill(setup.key, { headers: { 'x-farebox-request-id': await lastId() } });
  return { record, cost };
};
const lastId = async () => (await setup.gate.idle('acme')).requests[0].request_id;

rule('an answer comes whole, and is charged by what Gemini reports of it', async () => {
  setup.upstream.answer = golden('gemini/thoughts');
  const answer = await clientOf(setup.key).models.generateContent(ask);
  assert.equal(answer.text, 'Noted.');
  assert.equal(answer.usageMetadata.thoughtsTokenCount, 640);
  const { record, cost } = await billed();
  assert.deepEqual([quantity(record, 'output_total'), quantity(record, 'reasoning'), cost], ['711', '640', '0.007162']);
});

rule('a stream comes in pieces, and is charged by its last word', async () => {
  setup.upstream.answer = golden('gemini/plain-stream');
  let text = '';
  for await (const chunk of await clientOf(setup.key).models.generateContentStream(ask)) text += chunk.text ?? '';
  assert.equal(text, 'Noted.');
  const { record, cost } = await billed();
  assert.deepEqual([record.stream, quantity(record, 'output_total'), cost], [true, '27', '0.000284']);
});

rule('counting and embedding go through, each as it is priced', async () => {
  setup.upstream.answer = golden('gemini/count-tokens');
  assert.equal((await clientOf(setup.key).models.countTokens({ model, contents: 'Hi' })).totalTokens, 31);
  assert.equal((await billed()).cost, '0');
  setup.upstream.answer = golden('gemini/batch-embed');
  const { embeddings } = await clientOf(setup.key).models.embedContent({ model: 'gemini-embedding-001', contents: ['a', 'b'] });
  assert.equal(embeddings.length, 2);
  const { record, cost } = await billed();
  assert.equal(record.quantities.find(({ meter }) => meter === 'input_total').provenance, 'counted', 'Gemini reports no usage here');
  assert.ok(Number(cost) > 0, cost);
});

rule('at the limit the SDK raises its own typed error, at once and without a retry', async () => {
  for (const call of ['generateContent', 'generateContentStream']) {
    const [knocks, hits, began] = [tap.exchanges.length, setup.upstream.seen.length, performance.now()];
    const error = await clientOf(setup.poor).models[call](ask).then(() => assert.fail('nothing was raised'), (thrown) => thrown);
    assert.ok(error instanceof ApiError, error.constructor.name);
    assert.equal(error.status, 402);
    assert.match(error.message, /RESOURCE_EXHAUSTED/);
    assert.match(error.message, /SPEND_LIMIT_EXCEEDED/);
    assert.deepEqual([tap.exchanges.length - knocks, setup.upstream.seen.length - hits], [1, 0]);
    assert.ok(performance.now() - began < 1_500);
  }
});

rule('a bad key and a model that is not sold are its own errors, too, once each', async () => {
  for (const [client, extra, status] of [[clientOf('bad'), {}, 401], [clientOf(setup.key), { model: 'gemini-9' }, 400]]) {
    const [knocks, hits] = [tap.exchanges.length, setup.upstream.seen.length];
    const error = await client.models.generateContent({ ...ask, ...extra }).then(() => assert.fail('nothing was raised'), (thrown) => thrown);
    assert.ok(error instanceof ApiError, String(error));
    assert.deepEqual([error.status, tap.exchanges.length - knocks, setup.upstream.seen.length - hits], [status, 1, 0]);
  }
});

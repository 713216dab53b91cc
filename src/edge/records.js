// The archive, read back: for the operator's tools only, never for a customer's request.

const PAGES_MAX = 10; // of a thousand names each; beyond, the newest may be missed, and the answer says so

/** The newest objects of the archive as one NDJSON text, and whether it is certain to be the newest. */
export async function recentRecords(bucket, objectsMax, bytesMax) {
  let newest = [];
  let listed = { truncated: true, cursor: undefined };
  for (let page = 0; page < PAGES_MAX && listed.truncated; page += 1) {
    listed = await bucket.list({ prefix: 'records/', cursor: listed.cursor });
    newest = [...newest, ...listed.objects].sort((a, b) => b.uploaded - a.uploaded).slice(0, objectsMax);
  }
  const texts = [];
  let bytes = 0;
  for (const { key, size } of newest) {
    bytes += size;
    if (bytes > bytesMax) break;
    texts.push(await (await bucket.get(key)).text());
  }
  return [texts.join(''), listed.truncated ? 'true' : 'false'];
}

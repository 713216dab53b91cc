// Parses server-sent events with eventsource-parser. Stdin: one JSON line {body: base64, cuts: [sizes]} a stream,
// fed in pieces of those sizes; stdout: one JSON line a stream, its events as [event, data].
// usage: node sse_parsers.mjs NODE_MODULES

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';

const entry = resolve(process.argv[2], 'eventsource-parser/dist/index.js');
const { createParser } = await import(pathToFileURL(entry));

for await (const line of createInterface({ input: process.stdin })) {
  const { body, cuts } = JSON.parse(line);
  const bytes = Buffer.from(body, 'base64');
  const events = [];
  const parser = createParser({ onEvent: ({ event, data }) => events.push([event === 'message' ? '' : event ?? '', data]) });
  // The parser removes the byte order mark itself.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let at = 0;
  for (const size of cuts) {
    parser.feed(decoder.decode(bytes.subarray(at, at + size), { stream: true }));
    at += size;
  }
  parser.feed(decoder.decode());
  console.log(JSON.stringify(events));
}

// A stand-in for an R2 bucket, for plain workerd: what its `r2Bucket` binding speaks over HTTP, on
// top of a folder. One file an object, written aside and renamed, so that whatever is killed, an
// object is there whole or not at all.
// As a library: `startBucket()`. As a program: `node r2-stand-in.mjs --folder DIR`.
//
// The protocol is workerd's own: a request's fields are JSON, in the header `cf-r2-request` (head,
// get, list) or at the front of the body (put, delete), with their length in
// `cf-r2-metadata-size`; answers put JSON in front of the object's bytes in the same way.

import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const LIST_MAX = 1000;
const TEMPORARY = '%writing'; // no key is ever encoded so

/** What the runtime is told, by R2's own numbers. */
class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}
const noSuchKey = () => new Refusal(404, 10007, 'The specified key does not exist.');
const notMet = () => new Refusal(412, 10031, 'At least one of the pre-conditions you specified did not hold.');
const notOffered = (method) => new Refusal(501, 10001, `The stand-in does not do ${method}.`);

/** The objects of a folder: a file each, its name the key, its first line what is known of it. */
export class Bucket {
  constructor(folder) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  #path(key) {
    return join(this.folder, encodeURIComponent(key));
  }

  /** Every key, sorted. */
  keys() {
    return readdirSync(this.folder).filter((name) => !name.endsWith(TEMPORARY)).map(decodeURIComponent).sort();
  }

  /** `{about, bytes}`, or undefined. */
  read(key) {
    let file;
    try {
      file = readFileSync(this.#path(key));
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
    const end = file.indexOf('\n');
    return { about: JSON.parse(file.subarray(0, end)), bytes: file.subarray(end + 1) };
  }

  /** Writes an object. No await between the look and the write: a condition holds when it commits. */
  put(key, bytes, { onlyIf, httpFields = {}, customFields = [] } = {}) {
    if (!holds(onlyIf, this.read(key)?.about)) throw notMet();
    const etag = createHash('md5').update(bytes).digest('hex');
    const about = {
      name: key,
      version: randomBytes(16).toString('hex'),
      size: bytes.length,
      etag,
      uploaded: Date.now(),
      httpFields,
      customFields,
      checksums: { 0: etag },
    };
    const path = this.#path(key);
    writeFileSync(path + TEMPORARY, Buffer.concat([Buffer.from(`${JSON.stringify(about)}\n`), bytes]));
    renameSync(path + TEMPORARY, path);
    return about;
  }

  delete(key) {
    rmSync(this.#path(key), { force: true });
  }

  /** A page of objects in the order of their keys. The cursor is the last key of the page before. */
  list({ prefix = '', limit = LIST_MAX, cursor, startAfter, delimiter = '' }) {
    const from = cursor === undefined ? startAfter : Buffer.from(cursor, 'base64').toString();
    const objects = [];
    const folded = new Set();
    let last;
    let truncated = false;
    for (const key of this.keys()) {
      if (!key.startsWith(prefix) || (from !== undefined && key <= from)) continue;
      const cut = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      const group = cut === -1 ? undefined : key.slice(0, cut + delimiter.length);
      if (!folded.has(group) && objects.length + folded.size === limit) {
        truncated = true;
        break;
      }
      if (group === undefined) objects.push(this.read(key).about);
      else folded.add(group);
      last = key;
    }
    const next = truncated ? { cursor: Buffer.from(last).toString('base64') } : {};
    return { objects, truncated, ...next, delimitedPrefixes: [...folded] };
  }
}

/** Whether a condition holds for what is there (`about`; undefined where nothing is). */
function holds(condition, about) {
  if (condition === undefined) return true;
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter } = condition;
  if (about === undefined) return etagMatches === undefined && uploadedAfter === undefined;
  const among = (etags) => etags.some(({ type, value }) => type === 'wildcard' || value === about.etag);
  if (etagMatches !== undefined && !among(etagMatches)) return false;
  if (etagDoesNotMatch !== undefined && among(etagDoesNotMatch)) return false;
  if (uploadedBefore !== undefined && about.uploaded >= Number(uploadedBefore)) return false;
  return uploadedAfter === undefined || about.uploaded > Number(uploadedAfter);
}

function rangeOf({ range, rangeHeader }, size) {
  if (rangeHeader !== undefined) throw notOffered('range headers');
  if (range === undefined) return { offset: 0, length: size };
  const { offset, length, suffix } = Object.fromEntries(Object.entries(range).map(([k, v]) => [k, Number(v)]));
  if (suffix !== undefined) return { offset: Math.max(0, size - suffix), length: Math.min(suffix, size) };
  const start = offset ?? 0;
  if (start > size) throw new Refusal(416, 10039, 'The requested range is not satisfiable');
  return { offset: start, length: Math.min(length ?? size, size - start) };
}

/** `[json, bytes]` for one request, or a Refusal. */
function answer(bucket, request, value) {
  const { method, object } = request;
  if (method === 'put') return [bucket.put(object, value, request)];
  if (method === 'list') return [bucket.list(request)];
  if (method === 'delete') {
    for (const key of request.objects ?? [object]) bucket.delete(key);
    return [];
  }
  if (method !== 'head' && method !== 'get') throw notOffered(method);
  const found = bucket.read(object);
  if (found === undefined) throw noSuchKey();
  if (method === 'head') return [found.about];
  if (!holds(request.onlyIf, found.about)) throw Object.assign(notMet(), { about: found.about });
  const range = rangeOf(request, found.about.size);
  return [{ ...found.about, range }, found.bytes.subarray(range.offset, range.offset + range.length)];
}

async function parse(message) {
  const header = message.headers['cf-r2-request'];
  if (header !== undefined) return [JSON.parse(header)];
  const parts = [];
  for await (const part of message) parts.push(part);
  const body = Buffer.concat(parts);
  const length = Number(message.headers['cf-r2-metadata-size']);
  return [JSON.parse(body.subarray(0, length)), body.subarray(length)];
}

function send(response, status, json, bytes, headers = {}) {
  const front = Buffer.from(json === undefined ? '' : JSON.stringify(json));
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/json',
    'content-length': front.length + (bytes?.length ?? 0),
    ...(json !== undefined && { 'cf-r2-metadata-size': front.length }),
  });
  response.end(bytes ? Buffer.concat([front, bytes]) : front);
}

/**
 * @param {{folder: string, port?: number, before?: (request: object) => unknown, after?: (request: object) => unknown}} options
 *   before: called with each request's fields; may wait, or throw to fail it with nothing done
 *   after: the same once it is done; a throw then is an acknowledgement that was lost
 */
export async function startBucket({ folder, port = 0, before, after }) {
  const bucket = new Bucket(folder);
  const server = createServer(async (message, response) => {
    try {
      const [request, value] = await parse(message);
      await before?.(request);
      const [json, bytes] = answer(bucket, request, value);
      await after?.(request);
      send(response, 200, json, bytes);
    } catch (error) {
      const { status = 500, code = 10001, about } = error;
      const told = JSON.stringify({ version: 1, v4code: code, message: error.message });
      send(response, status, about, undefined, { 'cf-r2-error': told });
    }
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    bucket,
    port: server.address().port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { folder: { type: 'string' }, port: { type: 'string', default: '0' } } });
  if (!values.folder) {
    console.error('usage: node r2-stand-in.mjs --folder DIR [--port N]');
    process.exit(64);
  }
  const { port } = await startBucket({ folder: values.folder, port: Number(values.port) });
  console.log(JSON.stringify({ listening: `http://127.0.0.1:${port}` }));
}

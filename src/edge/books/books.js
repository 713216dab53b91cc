// Books in the bucket and rows in the database: what the platform does in one call each.

/** The rows of a D1 query, each an array of its columns. */
export async function d1Query(db, sql, parameters) {
  return db.prepare(sql).bind(...parameters).raw();
}

/** Carries out a migration: all of its statements, or none. */
export async function d1Migrate(db, sql) {
  const statements = sql.replace(/^--.*$/gm, '').split(';').map((each) => each.trim()).filter(Boolean);
  await db.batch(statements.map((each) => db.prepare(each)));
}

const key = (hash) => `books/${hash}.json`;

/** SHA-256 in hex. */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A book's bytes. Fails where it is missing, longer than `max`, or not what its name says. */
export async function readBook(bucket, hash, max) {
  const found = await bucket.get(key(hash));
  if (found === null) throw new Error(`${key(hash)} is missing`);
  if (found.size > max) throw new Error(`${key(hash)} is longer than a book`);
  const bytes = new Uint8Array(await found.arrayBuffer());
  if (await sha256(bytes) !== hash) throw new Error(`${key(hash)} is damaged`);
  return bytes;
}

/** Keeps a book under its hash, where nothing is kept under it; what is there must be the same. */
export async function keepBook(bucket, hash, bytes) {
  const put = await bucket.put(key(hash), bytes, { onlyIf: { etagDoesNotMatch: '*' }, sha256: hash });
  if (put === null) await readBook(bucket, hash, bytes.byteLength);
}

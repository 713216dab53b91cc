// The operator's directory, a D1 database.

/** The first row of a statement, as a list of its columns; null where there is none. */
export async function firstRow(database, sql, parameters) {
  const rows = await database.prepare(sql).bind(...parameters).raw();
  return rows[0] ?? null;
}

-- Every version of the price book that was ever pushed. The documents lie in R2, by their hash.
CREATE TABLE IF NOT EXISTS books (
  version TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, models INTEGER NOT NULL,
  currency TEXT NOT NULL, effective_from INTEGER NOT NULL, pushed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which version applies from when on, when that became known, and who said so. Only ever added to.
CREATE TABLE IF NOT EXISTS activations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, version TEXT NOT NULL, sha256 TEXT NOT NULL,
  effective_at INTEGER NOT NULL, known_at INTEGER NOT NULL, said_by TEXT
) STRICT;

CREATE INDEX IF NOT EXISTS activations_by_effect ON activations (effective_at, seq);

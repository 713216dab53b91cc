-- Keys that an operator issued by itself: which customer's ledger decides on them. The key itself is
-- never stored; its SHA-256 is.
CREATE TABLE IF NOT EXISTS keys (
  sha256 TEXT PRIMARY KEY,
  customer TEXT NOT NULL,
  key_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

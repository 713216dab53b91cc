-- Every customer that was ever put, so that the cron can page over them; and how far it has come.
CREATE TABLE IF NOT EXISTS customers (customer TEXT PRIMARY KEY, put_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

//! From the ledger to durable storage: records leave in batches, and count as sent only once the
//! sink has acknowledged them. The records table itself is the outbox; a sink is a cursor over it.

use worker::{Bucket, Conditional};

use super::sql::{Cursor, Failed, Store};
use crate::ids::Name;

/// The archive's cursor.
pub const R2: &str = "r2";

/// Records in one object of the archive: about a megabyte.
const BATCH_MAX: u64 = 500;
/// Batches sent by one alarm; the next alarm takes up the rest.
const BATCHES_MAX: u32 = 20;

/// Sends what is unsent to the archive, a batch at a time.
pub async fn to_r2(
    store: &Store,
    bucket: &Bucket,
    customer: &Name,
    head: u64,
) -> Result<(), Failed> {
    for _ in 0..BATCHES_MAX {
        let cursor = store.cursor(R2)?;
        if cursor.sent >= head {
            return Ok(());
        }
        let first = cursor.sent.saturating_add(1);
        let last =
            cursor.batch_last.unwrap_or_else(|| head.min(cursor.sent.saturating_add(BATCH_MAX)));
        // Persisted before the first try: a retry after a crash writes the same object again.
        store.put_cursor(R2, Cursor { batch_last: Some(last), ..cursor })?;
        let lines = store.archive(first, last)?;
        let mut body = String::new();
        for (line, _) in &lines {
            body.push_str(line);
            body.push('\n');
        }
        put(bucket, key(customer, first, last), body).await?;
        store.put_cursor(R2, Cursor { sent: last, batch_last: None })?;
    }
    Ok(())
}

/// Writes an object that is not there yet; one that is there is the same one, from a try whose
/// acknowledgement was lost.
async fn put(bucket: &Bucket, key: String, body: String) -> Result<(), Failed> {
    let fresh = Conditional {
        etag_matches: None,
        etag_does_not_match: Some("*".into()),
        uploaded_before: None,
        uploaded_after: None,
    };
    let put = bucket.put(key, body.into_bytes()).only_if(fresh).execute().await;
    put.map(drop).map_err(|error| format!("R2 put: {error}"))
}

/// `records/<customer>/<first>-<last>.ndjson`, in the order of its names.
fn key(customer: &Name, first: u64, last: u64) -> String {
    format!("records/{customer}/{first:012}-{last:012}.ndjson")
}

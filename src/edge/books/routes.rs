//! The operator's routes to the price book: push, list, read, activate.

use js_sys::Uint8Array;
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen_futures::JsFuture;

use super::{Directory, PUSHED_MAX, SHELF, bucket, current, document, forget, keep_book, sha256};
use crate::api::{Code, Problem};
use crate::book::{Book, BookError, SCHEDULED_MAX, Timeline};
use crate::clock::Timestamp;
use crate::edge::d1::Pushed;
use crate::edge::http::{self, Incoming, internal};
use crate::edge::{js, own};
use crate::wire::query::decoded;

/// Past activations in a listing.
const HISTORY_SHOWN: usize = 8;
/// Longest name of whoever activates.
const BY_MAX: usize = 64;

/// Below `/v1/farebox/admin/books`.
pub async fn route(
    incoming: &Incoming,
    method: &str,
    parts: &[&str],
) -> Result<web_sys::Response, Problem> {
    match (method, parts) {
        ("PUT" | "POST", []) => push(incoming).await,
        ("GET", []) => list(incoming).await,
        ("GET", [version]) => show(incoming, &decoded(version)).await,
        ("POST", [version, "activate"]) => activate(incoming, &decoded(version)).await,
        _ => Err(Problem::new(Code::NotFound, "There is no such route here.")),
    }
}

fn directory(incoming: &Incoming) -> Result<Directory, Problem> {
    Directory::of(&incoming.env).ok_or_else(|| {
        let message = "Books cannot be pushed here: no D1 database is bound as DB.";
        Problem::new(Code::Misconfigured, message)
    })
}

fn unavailable(reason: impl std::fmt::Display) -> Problem {
    js::log(&format!("price book: {reason}"));
    Problem::new(Code::MeteringUnavailable, format!("The books cannot be reached: {reason}."))
}

fn conflict(message: impl Into<String>) -> Problem {
    Problem::new(Code::Conflict, message)
}

/// Every fault with its path. Nothing was kept, and what is in force stays.
fn wrong(error: &BookError) -> Problem {
    let message = format!("{error}. Nothing was changed: the book in force stays.");
    let details = Some(json!({ "faults": error.faults, "more": error.more }));
    Problem { details, ..Problem::new(Code::InvalidRequest, message) }
}

/// Keeps a book. It applies only once it is activated.
async fn push(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let reading = js::read_body(&incoming.request, f64::from(PUSHED_MAX));
    let body = JsFuture::from(reading).await.map_err(|error| internal(&error))?;
    if body.is_null() {
        let message =
            format!("A book may have {PUSHED_MAX} bytes at most. The book in force stays.");
        return Err(Problem::new(Code::RequestTooLarge, message));
    }
    let bytes = Uint8Array::new(&body);
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("The book: {error}.")))?;
    let mut pushed = {
        // Dropped before anything is awaited: of a large book it is most of the memory there is.
        let book = Book::parse(&text).map_err(|error| wrong(&error))?;
        Pushed {
            version: book.version().to_owned(),
            sha256: String::new(),
            bytes: u64::from(bytes.length()),
            models: u64::try_from(book.models().count()).unwrap_or(u64::MAX),
            currency: book.currency().to_owned(),
            effective_from: book.effective_from(),
            pushed_at: js::now(),
        }
    };
    let hash = JsFuture::from(sha256(&bytes)).await.map_err(|error| internal(&error))?;
    pushed.sha256 = hash.as_string().unwrap_or_default();
    let is_new = keep(incoming, &pushed, &text, &bytes).await?;
    let mut answer = json!(pushed);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("status".into(), if is_new { "pushed" } else { "known" }.into());
    }
    http::json(&incoming.id, if is_new { 201 } else { 200 }, answer.to_string())
}

/// First the bytes, then the row that names them: a crash between the two leaves an object nobody
/// speaks of. False where the very same book is there already.
async fn keep(
    incoming: &Incoming,
    pushed: &Pushed,
    text: &str,
    bytes: &Uint8Array,
) -> Result<bool, Problem> {
    let version = &pushed.version;
    let config = incoming.config()?;
    if version == config.book.version() && text != config.book_text {
        return Err(conflict(format!(
            "The configuration's own book has version {version:?} and other prices. Give this one \
             a version of its own."
        )));
    }
    let directory = directory(incoming)?;
    directory.migrate().await.map_err(unavailable)?;
    if let Some(known) = directory.book(version).await.map_err(unavailable)? {
        return same(&known, pushed).map(|()| false);
    }
    let Some(bucket) = bucket(&incoming.env) else {
        let message = "Books cannot be pushed here: no R2 bucket is bound as RECORDS.";
        return Err(Problem::new(Code::Misconfigured, message));
    };
    let kept = JsFuture::from(keep_book(&bucket, &pushed.sha256, bytes)).await;
    kept.map_err(|error| unavailable(js::reason(&error)))?;
    if directory.add(pushed).await.map_err(unavailable)? {
        return Ok(true);
    }
    // Somebody pushed this version at the same time.
    match directory.book(version).await.map_err(unavailable)? {
        Some(known) => same(&known, pushed).map(|()| false),
        None => Err(unavailable("the book was not kept".to_owned())),
    }
}

/// A version never changes.
fn same(known: &Pushed, pushed: &Pushed) -> Result<(), Problem> {
    if known.sha256 == pushed.sha256 {
        return Ok(());
    }
    Err(conflict(format!(
        "Version {:?} was pushed at {} with other bytes. A version never changes: give this one a \
         version of its own.",
        known.version, known.pushed_at
    )))
}

/// Which books there are, which is in force, which will be, and which were.
async fn list(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let directory = directory(incoming)?;
    let timeline = Timeline::new(directory.activations().await.map_err(unavailable)?);
    let books = directory.books().await.map_err(unavailable)?;
    let now = js::now();
    // What this isolate would price by; a book that cannot be read shows here.
    let in_use = current(incoming).await.ok();
    let broken = SHELF.with_borrow(|shelf| shelf.broken.clone());
    let answer = json!({
        "active": timeline.at(now).and_then(|(active, _)| active),
        "scheduled": timeline.scheduled(now).collect::<Vec<_>>(),
        "history": timeline.past(now).skip(1).take(HISTORY_SHOWN).collect::<Vec<_>>(),
        "books": books,
        "configured": incoming.config()?.book.version(),
        "in_use": in_use.map(|in_use| in_use.book.version().to_owned()),
        "problem": broken,
    });
    http::json(&incoming.id, 200, answer.to_string())
}

fn unknown(version: &str) -> Problem {
    Problem::new(Code::NotFound, format!("No book of version {version:?} was pushed."))
}

/// A book, byte for byte; that of the configuration as well.
async fn show(incoming: &Incoming, version: &str) -> Result<web_sys::Response, Problem> {
    let found = match Directory::of(&incoming.env) {
        Some(directory) => directory.book(version).await.map_err(unavailable)?,
        None => None,
    };
    if let Some(found) = found {
        let text = document(bucket(&incoming.env).as_ref(), &found.sha256).await;
        return http::json(&incoming.id, 200, text.map_err(unavailable)?);
    }
    let config = incoming.config()?;
    if config.book.version() == version {
        return http::json(&incoming.id, 200, config.book_text.to_string());
    }
    Err(unknown(version))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activate {
    /// From when on; absent: from now on, or from when on the book says that it applies.
    #[serde(default)]
    at: Option<Timestamp>,
    /// Who says so.
    #[serde(default)]
    by: Option<String>,
}

/// Makes a book apply from a time on. Back to an older one is the same.
async fn activate(incoming: &Incoming, version: &str) -> Result<web_sys::Response, Problem> {
    let Activate { at, by } = own::body(incoming).await?;
    let bad = |message: String| Problem::new(Code::InvalidRequest, message);
    if by.as_ref().is_some_and(|by| by.len() > BY_MAX) {
        return Err(bad(format!("by: a name has {BY_MAX} bytes at most.")));
    }
    let directory = directory(incoming)?;
    let found = directory.book(version).await.map_err(unavailable)?;
    let book = found.ok_or_else(|| unknown(version))?;
    // Nothing is activated that could not be used.
    let text = document(bucket(&incoming.env).as_ref(), &book.sha256).await;
    let usable = text.and_then(|text| Book::open(&text).map_err(|error| error.to_string()));
    if let Err(reason) = usable {
        return Err(conflict(format!("Version {version:?} cannot be used: {reason}.")));
    }
    let now = js::now();
    if let Some(at) = at.filter(|at| *at < now) {
        return Err(bad(format!("at: {at} is past. What was charged is not changed afterwards.")));
    }
    if let Some(at) = at.filter(|at| *at < book.effective_from) {
        let from = book.effective_from;
        return Err(bad(format!("at: {at} is before {from}, from when on this book applies.")));
    }
    let at = at.unwrap_or(now.max(book.effective_from));
    let done = directory.activate(&book, at, now, by.as_deref()).await.map_err(unavailable)?;
    let Some(activation) = done else {
        let message = format!("{SCHEDULED_MAX} activations wait for their time; no more are kept.");
        return Err(conflict(message));
    };
    forget();
    http::json(&incoming.id, 200, json!(activation).to_string())
}

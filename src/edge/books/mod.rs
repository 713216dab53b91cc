//! The price book in use. Books that were pushed lie in R2 under their hash and never change; which
//! applies when stands in D1. An isolate keeps a copy of that timeline and the books it uses, so
//! that no request waits for either; the ledger tells it where its copy is out of date.

pub mod routes;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::d1::Directory;
use super::http::Incoming;
use super::js;
use crate::api::{Code, Problem};
use crate::book::{Activation, Book, InForce, Timeline};
use crate::clock::Timestamp;

#[wasm_bindgen(module = "/src/edge/books/books.js")]
extern "C" {
    #[wasm_bindgen(js_name = sha256)]
    fn sha256(bytes: &Uint8Array) -> Promise;
    #[wasm_bindgen(js_name = readBook)]
    fn read_book(bucket: &JsValue, sha256: &str, max: u32) -> Promise;
    #[wasm_bindgen(js_name = keepBook)]
    fn keep_book(bucket: &JsValue, sha256: &str, bytes: &Uint8Array) -> Promise;
}

/// Longest book that is pushed: twice the catalogue of all public models. To check one takes some
/// sixteen times its length for a moment, and an isolate has 128 MB for everything.
pub const PUSHED_MAX: u32 = 4 * 1024 * 1024;

/// A copy of the timeline is looked up anew after this long, behind a request that uses it …
const FRESH_MS: u64 = 5_000;
/// … and before one where it is older: at most this long passes until a change that was made
/// without notice is known everywhere. One that was planned ahead applies at its very instant.
const STALE_MAX_MS: u64 = 10_000;

/// Books kept ready: the one in force, and the one before or after it.
const BOOKS_KEPT: usize = 2;

/// Only one request of an isolate looks things up at a time; others look again this often …
const TURN_MS: f64 = 10.0;
/// … and this many times: as long as the slowest look-up may take.
const TURNS_MAX: u32 = 600;
/// A look-up that takes longer has died with its request.
const BUSY_MAX_MS: u64 = 10_000;
/// Longest wait for a book from R2.
const BOOK_MS: f64 = 5_000.0;

/// The book a request is priced by, and what that rests on.
#[derive(Clone)]
pub struct InUse {
    pub book: Rc<Book>,
    pub in_force: InForce,
    /// By which look at the timeline.
    look: u64,
}

/// What an isolate knows.
#[derive(Default)]
struct Shelf {
    /// Absent until it was read for the first time.
    timeline: Option<Rc<Timeline>>,
    /// How often somebody looked, with or without success, and when last.
    looks: u64,
    looked_at: Option<Timestamp>,
    /// Since when somebody looks something up.
    busy_since: Option<Timestamp>,
    /// Books by their hash, the last read last.
    kept: Vec<(String, Rc<Book>)>,
    /// The last that was in use: what a broken one does not replace.
    good: Option<(Rc<Book>, InForce)>,
    /// The last book that could not be read, when, and why.
    broken: Option<Broken>,
    /// The customers' projection of a book.
    projection: Option<(Rc<Book>, Rc<str>)>,
}

#[derive(Clone, serde::Serialize)]
struct Broken {
    version: String,
    #[serde(skip)]
    sha256: String,
    at: Timestamp,
    reason: String,
}

thread_local! {
    static SHELF: RefCell<Shelf> = RefCell::new(Shelf::default());
}

/// The right to look things up; given back at its end.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        SHELF.with_borrow_mut(|shelf| {
            let now = js::now();
            if shelf.busy_since.is_some_and(|since| now.since(since) < BUSY_MAX_MS) {
                return None;
            }
            shelf.busy_since = Some(now);
            // Made only where it is handed out: its end takes the shelf again.
            Some(Self)
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        SHELF.with_borrow_mut(|shelf| shelf.busy_since = None);
    }
}

async fn pause() {
    let never = Promise::new(&mut |_, _| {});
    let _ = JsFuture::from(js::within(&never, TURN_MS)).await;
}

/// The book in force now.
pub async fn current(incoming: &Incoming) -> Result<InUse, Problem> {
    let Some(directory) = Directory::of(&incoming.env) else { return configured(incoming) };
    let (looks, is_known, looked_at) =
        SHELF.with_borrow(|shelf| (shelf.looks, shelf.timeline.is_some(), shelf.looked_at));
    let age = looked_at.map_or(u64::MAX, |at| js::now().since(at));
    if !is_known || age >= STALE_MAX_MS {
        look(&directory, incoming, looks).await;
    } else if age >= FRESH_MS
        && let Some(turn) = Turn::take()
    {
        let bucket = bucket(&incoming.env);
        incoming.keep(async move { look_now(&directory, bucket.as_ref(), &turn).await });
    }
    at(incoming, js::now()).await
}

/// The book in force by the ledger's clock, after it answered that `stale` is not.
pub async fn reload(incoming: &Incoming, stale: &InUse, now: Timestamp) -> Result<InUse, Problem> {
    let Some(directory) = Directory::of(&incoming.env) else { return configured(incoming) };
    look(&directory, incoming, stale.look).await;
    at(incoming, now).await
}

/// What was changed through this isolate is known to it at once.
fn forget() {
    SHELF.with_borrow_mut(|shelf| shelf.looked_at = None);
}

/// Without a database nothing can be pushed: the book of the configuration.
fn configured(incoming: &Incoming) -> Result<InUse, Problem> {
    let book = incoming.config()?.book.clone();
    Ok(InUse { book, in_force: InForce::configured(), look: 0 })
}

/// The bucket books are kept in, beside the records.
fn bucket(env: &JsValue) -> Option<JsValue> {
    let bucket = js_sys::Reflect::get(env, &"RECORDS".into()).ok()?;
    (!bucket.is_undefined()).then_some(bucket)
}

/// Sees to it that the timeline was looked up since `after`.
async fn look(directory: &Directory, incoming: &Incoming, after: u64) {
    for _ in 0..TURNS_MAX {
        if SHELF.with_borrow(|shelf| shelf.looks > after) {
            return;
        }
        if let Some(turn) = Turn::take() {
            let bucket = bucket(&incoming.env);
            return look_now(directory, bucket.as_ref(), &turn).await;
        }
        pause().await;
    }
}

/// Looks the timeline up, and gets what is in force by it ready before it is used. Where it cannot
/// be read, the copy that is there stays in use.
async fn look_now(directory: &Directory, bucket: Option<&JsValue>, turn: &Turn) {
    let read = directory.activations().await.map(Timeline::new);
    match &read {
        Ok(timeline) => {
            if let Some((Some(active), _)) = timeline.at(js::now()) {
                get_ready(bucket, active, turn).await;
            }
        }
        Err(reason) => js::log(&format!("price book: the timeline cannot be read: {reason}")),
    }
    SHELF.with_borrow_mut(|shelf| {
        if let Ok(timeline) = read {
            shelf.timeline = Some(Rc::new(timeline));
        }
        shelf.looks = shelf.looks.saturating_add(1);
        shelf.looked_at = Some(js::now());
    });
}

/// Gets a book ready unless it is, or was found broken a moment ago.
async fn get_ready(bucket: Option<&JsValue>, wanted: &Activation, _: &Turn) {
    let known = SHELF.with_borrow(|shelf| shelf.kept(wanted).is_some() || shelf.is_broken(wanted));
    if known {
        return;
    }
    let loaded = load(bucket, wanted).await;
    SHELF.with_borrow_mut(|shelf| match loaded {
        Ok(book) => {
            if shelf.kept.len() >= BOOKS_KEPT {
                shelf.kept.remove(0);
            }
            shelf.kept.push((wanted.sha256.clone(), Rc::new(book)));
            shelf.broken = None;
        }
        Err(reason) => {
            let (version, sha256) = (wanted.version.clone(), wanted.sha256.clone());
            js::log(&format!("price book {version:?} cannot be used: {reason}"));
            shelf.broken = Some(Broken { version, sha256, at: js::now(), reason });
        }
    });
}

/// A pushed book. It passed every check when it was pushed; its hash says that it is the same.
async fn load(bucket: Option<&JsValue>, wanted: &Activation) -> Result<Book, String> {
    let text = document(bucket, &wanted.sha256).await?;
    let book = Book::open(&text).map_err(|error| error.to_string())?;
    if book.version() != wanted.version {
        return Err(format!("it says that its version is {:?}", book.version()));
    }
    Ok(book)
}

/// A book's text, from the bucket.
async fn document(bucket: Option<&JsValue>, sha256: &str) -> Result<String, String> {
    let bucket = bucket.ok_or("there is no RECORDS bucket to read it from")?;
    let reading = js::within(&read_book(bucket, sha256, PUSHED_MAX), BOOK_MS);
    let bytes = JsFuture::from(reading).await.map_err(|error| js::reason(&error))?;
    let bytes: Uint8Array = bytes.dyn_into().map_err(|_| "it did not come in time")?;
    String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
}

/// The book in force at an instant, by the copy of the timeline that is there.
async fn at(incoming: &Incoming, now: Timestamp) -> Result<InUse, Problem> {
    for _ in 0..TURNS_MAX {
        let (timeline, look) = SHELF.with_borrow(|shelf| (shelf.timeline.clone(), shelf.looks));
        let Some((active, in_force)) = timeline.as_ref().and_then(|timeline| timeline.at(now))
        else {
            return Err(no_book("which price book is in force cannot be looked up"));
        };
        let Some(active) = active else {
            let book = incoming.config()?.book.clone();
            return Ok(SHELF.with_borrow_mut(|shelf| shelf.using(book, in_force, look)));
        };
        let found = SHELF.with_borrow_mut(|shelf| {
            let kept = shelf.kept(active).map(|book| shelf.using(book, in_force, look));
            kept.or_else(|| {
                shelf.is_broken(active).then(|| shelf.instead(in_force, look)).flatten()
            })
        });
        if let Some(found) = found {
            return Ok(found);
        }
        if SHELF.with_borrow(|shelf| shelf.is_broken(active)) {
            return Err(no_book("the price book in force cannot be read"));
        }
        match Turn::take() {
            Some(turn) => get_ready(bucket(&incoming.env).as_ref(), active, &turn).await,
            None => pause().await,
        }
    }
    Err(no_book("the price book did not come in time"))
}

fn no_book(what: &str) -> Problem {
    js::log(&format!("misconfigured: {what}"));
    let message =
        format!("Nothing can be priced at present: {what}. Its operator finds more in the log.");
    Problem::new(Code::Misconfigured, message)
}

impl Shelf {
    fn kept(&self, wanted: &Activation) -> Option<Rc<Book>> {
        self.kept.iter().find(|(hash, _)| *hash == wanted.sha256).map(|(_, book)| book.clone())
    }

    /// Whether a book was found broken a moment ago: it is tried again later.
    fn is_broken(&self, wanted: &Activation) -> bool {
        let recent = |broken: &&Broken| js::now().since(broken.at) < FRESH_MS;
        self.broken.as_ref().filter(recent).is_some_and(|broken| broken.sha256 == wanted.sha256)
    }

    fn using(&mut self, book: Rc<Book>, in_force: InForce, look: u64) -> InUse {
        self.good = Some((book.clone(), in_force));
        InUse { book, in_force, look }
    }

    /// The last good book, in the place of one that cannot be read, until the next applies.
    fn instead(&self, of: InForce, look: u64) -> Option<InUse> {
        let (book, good) = self.good.clone()?;
        Some(InUse { book, in_force: InForce { until: of.until, ..good }, look })
    }
}

/// A book as customers may see it, as JSON.
pub fn projection(book: &Rc<Book>) -> Result<Rc<str>, serde_json::Error> {
    let made = SHELF.with_borrow(|shelf| {
        let made = shelf.projection.as_ref().filter(|(of, _)| Rc::ptr_eq(of, book));
        made.map(|(_, text)| text.clone())
    });
    if let Some(text) = made {
        return Ok(text);
    }
    let text: Rc<str> = serde_json::to_string(&book.projection())?.into();
    SHELF.with_borrow_mut(|shelf| shelf.projection = Some((book.clone(), text.clone())));
    Ok(text)
}

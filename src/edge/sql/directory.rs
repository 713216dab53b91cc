//! Keys that the operator issued by itself, in a D1 database: SHA-256(key) → customer and key id.
//! It only says whose ledger to ask; whether a key is in force, that ledger decides each time, so a
//! revocation is immediate whatever is cached here.

use std::cell::RefCell;
use std::collections::HashMap;

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::api::{Code, Problem, invalid_key};
use crate::auth::ApiKey;
use crate::clock::{Millis, Timestamp};
use crate::edge::js;
use crate::ids::Name;
use crate::record::Digest;

/// Carried out before a key is put: the Worker needs no step of its own for it.
const TABLE: &str = include_str!("../../../migrations/0002_keys.sql");
const FIND: &str = "SELECT customer, key_id FROM keys WHERE sha256 = ?";
// Writes nothing new over what is there, and answers what there is.
const PUT: &str = "INSERT INTO keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sha256 = excluded.sha256 RETURNING customer, key_id";

/// Longest key of an operator's own.
const KEY_MAX: usize = 512;
/// How long it is remembered whose a key is: that hardly ever changes.
const KNOWN_LIFE: Millis = Millis::from_secs(60);
/// How long it is remembered that a key is nobody's: long enough to blunt a client that tries
/// again and again, short enough that a new key works almost at once.
const UNKNOWN_LIFE: Millis = Millis::from_secs(5);
/// Keys remembered in one isolate, of each kind; some 150 bytes each.
const CACHE_MAX: usize = 4_096;

#[wasm_bindgen(module = "/src/edge/directory.js")]
extern "C" {
    #[wasm_bindgen(js_name = firstRow)]
    fn first_row(database: &JsValue, sql: &str, parameters: &Array) -> Promise;
}

type Owner = (Name, Name);

thread_local! {
    static KNOWN: RefCell<HashMap<Digest, (Owner, Timestamp)>> = RefCell::default();
    static UNKNOWN: RefCell<HashMap<Digest, Timestamp>> = RefCell::default();
}

/// Whose key this text is.
pub async fn resolve(env: &JsValue, text: &str) -> Result<ApiKey, Problem> {
    if text.is_empty() || text.len() > KEY_MAX {
        return Err(invalid_key());
    }
    let sha256 = Digest::of(&[text.as_bytes()]);
    let now = js::now();
    let known = KNOWN.with_borrow(|known| known.get(&sha256).cloned());
    let owner = match known.filter(|(_, until)| now < *until) {
        Some((owner, _)) => owner,
        None if is_unknown(sha256, now) => return Err(invalid_key()),
        None => {
            let Some(owner) = find(env, sha256).await? else {
                remember(&UNKNOWN, sha256, now.plus(UNKNOWN_LIFE));
                return Err(invalid_key());
            };
            remember(&KNOWN, sha256, (owner.clone(), now.plus(KNOWN_LIFE)));
            owner
        }
    };
    let (customer, key_id) = owner;
    Ok(ApiKey::of_operator(customer, key_id, text.to_owned()))
}

/// Registers a key; whose it is never changes.
pub async fn put(env: &JsValue, sha256: Digest, owner: &Owner) -> Result<(), Problem> {
    row(env, TABLE, &[]).await?;
    let (customer, key_id) = owner;
    let parameters = [sha256.to_string(), customer.to_string(), key_id.to_string()];
    let row = row(env, PUT, &parameters).await?;
    UNKNOWN.with_borrow_mut(|unknown| unknown.remove(&sha256));
    if row.as_ref() == Some(owner) {
        return Ok(());
    }
    let message = "This key is registered already, for another customer or under another id.";
    Err(Problem::new(Code::InvalidRequest, message))
}

fn is_unknown(sha256: Digest, now: Timestamp) -> bool {
    UNKNOWN.with_borrow(|unknown| unknown.get(&sha256).is_some_and(|until| now < *until))
}

fn remember<T>(
    cache: &'static std::thread::LocalKey<RefCell<HashMap<Digest, T>>>,
    key: Digest,
    value: T,
) {
    cache.with_borrow_mut(|cache| {
        // All at once: simple, bounded, and looked up again where it mattered.
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(key, value);
    });
}

async fn find(env: &JsValue, sha256: Digest) -> Result<Option<Owner>, Problem> {
    row(env, FIND, &[sha256.to_string()]).await
}

async fn row(env: &JsValue, sql: &str, parameters: &[String]) -> Result<Option<Owner>, Problem> {
    let database = Reflect::get(env, &"DB".into()).unwrap_or(JsValue::UNDEFINED);
    if database.is_undefined() {
        js::log("misconfigured: FAREBOX_OWN_KEYS needs the D1 binding DB");
        return Err(Problem::new(Code::Misconfigured, "This gateway has no directory configured."));
    }
    let parameters: Array = parameters.iter().map(|text| JsValue::from_str(text)).collect();
    let found = match JsFuture::from(first_row(&database, sql, &parameters)).await {
        Ok(found) => found,
        // No key was ever put.
        Err(error) if js::reason(&error).contains("no such table") => return Ok(None),
        Err(error) => {
            js::log(&format!("directory: {}", js::reason(&error)));
            let message = "The directory of keys cannot be reached. Retry shortly.";
            return Err(Problem::new(Code::MeteringUnavailable, message));
        }
    };
    let Some(columns) = found.dyn_ref::<Array>() else { return Ok(None) };
    let name = |at| columns.get(at).as_string().and_then(|text| text.parse::<Name>().ok());
    Ok(name(0).zip(name(1)))
}

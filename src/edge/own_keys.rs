//! Keys that the operator issued by itself, in a D1 database: SHA-256(key) → customer and key id.
//! It only says whose ledger to ask; whether a key is in force, that ledger decides each time, so a
//! revocation is immediate whatever is cached here.

use std::cell::RefCell;
use std::collections::HashMap;

use wasm_bindgen::JsValue;

use super::d1::Directory;
use super::js;
use crate::api::{Code, Problem, invalid_key};
use crate::auth::ApiKey;
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;
use crate::record::Digest;

/// Longest key of an operator's own.
const KEY_MAX: usize = 512;
/// How long it is remembered whose a key is: that hardly ever changes.
const KNOWN_LIFE: Millis = Millis::from_secs(60);
/// How long it is remembered that a key is nobody's: long enough to blunt a client that tries
/// again and again, short enough that a new key works almost at once.
const UNKNOWN_LIFE: Millis = Millis::from_secs(5);
/// Keys remembered in one isolate, of each kind; some 150 bytes each.
const CACHE_MAX: usize = 4_096;

/// Whose a key is, and under which id.
pub type Owner = (Name, Name);

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
    let directory = directory(env)?;
    directory.migrate().await.map_err(|error| unreachable(&error))?;
    let row = directory.put_owner(sha256, owner).await.map_err(|error| unreachable(&error))?;
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
    directory(env)?.owner(sha256).await.map_err(|error| unreachable(&error))
}

fn directory(env: &JsValue) -> Result<Directory, Problem> {
    Directory::of(env).ok_or_else(|| {
        js::log("misconfigured: FAREBOX_OWN_KEYS needs the D1 binding DB");
        Problem::new(Code::Misconfigured, "This gateway has no directory configured.")
    })
}

fn unreachable(error: &str) -> Problem {
    js::log(&format!("directory: {error}"));
    let message = "The directory of keys cannot be reached. Retry shortly.";
    Problem::new(Code::MeteringUnavailable, message)
}

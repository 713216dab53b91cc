//! What the operator configured, read from the environment once per isolate.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use wasm_bindgen::JsValue;

use super::alerts::port::Port;
use super::upstream::{Upstream, upstreams};
use crate::auth::Ring;
use crate::book::{Book, DEFAULT};
use crate::clock::Millis;
use crate::ledger::Unresolved;
use crate::quote::signed::LABEL;
use crate::stop::{FailOpen, Policy};

const DAY_SECONDS: u32 = 86_400;
/// Longest life of a batch's hold: as long as Anthropic keeps results.
const BATCH_DAYS_MAX: u32 = 29;

/// Everything configured.
pub struct Config {
    /// Signs API keys.
    pub keys: Ring,
    /// Signs records.
    pub records: Ring,
    /// Signs dashboard sessions.
    pub sessions: Ring,
    /// Signs quotes; derived from the keys' secrets, for this purpose alone.
    pub quotes: Ring,
    /// Opens the operator's API; absent, there is none.
    pub admin_token: Option<String>,
    /// Upstreams by provider, as the book names them.
    pub upstreams: BTreeMap<String, Upstream>,
    /// The price book where none was ever pushed.
    pub book: Rc<Book>,
    /// The same as it is written.
    pub book_text: Cow<'static, str>,
    /// A hold's life between renewals.
    pub hold_ttl: Millis,
    /// How long a job's hold is kept while nobody asks for its end.
    pub job_ttl: Millis,
    /// How long a batch's hold is kept while nobody downloads its results.
    pub batch_ttl: Millis,
    /// What a job or batch is charged whose end nobody asked for.
    pub unresolved_jobs: Unresolved,
    /// How long an upstream may take to begin its answer, or be silent amid it.
    pub upstream_timeout: Millis,
    /// The operator issues keys of its own, and the directory knows whose they are.
    pub own_keys: bool,
    /// The header that carries a request's tag, where the operator named one.
    pub tag_header: Option<String>,
    /// How long records wait to be gathered into a batch.
    pub outbox_delay: Millis,
    /// Pass the usage chunk on to clients that did not ask for it: faster, and some clients crash.
    pub pass_usage_chunk: bool,
    /// What becomes of requests that do not fit whole, and of answers whose client leaves.
    pub policy: Policy,
    /// What may run while the ledger cannot be reached; absent, nothing.
    pub fail_open: Option<FailOpen>,
    /// Where the operator's alerts go, and how mail leaves.
    pub alerts: Port,
    /// Test builds only: a request may ask for a panic.
    pub allow_crash: bool,
}

thread_local! {
    static CONFIG: RefCell<Option<Rc<Config>>> = const { RefCell::new(None) };
}

/// The configuration, or why it cannot be used. The reason names settings, never their values.
pub fn config(env: &JsValue) -> Result<Rc<Config>, String> {
    if let Some(config) = CONFIG.with_borrow(Clone::clone) {
        return Ok(config);
    }
    let config = Rc::new(Config::read(env)?);
    CONFIG.set(Some(config.clone()));
    Ok(config)
}

/// A text setting; absent where it is unset or empty.
pub fn text(env: &JsValue, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &name.into()).ok()?;
    value.as_string().filter(|text| !text.trim().is_empty())
}

/// A setting in JSON.
fn read<T>(
    env: &JsValue,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let text = text(env, name);
    text.map(|text| parse(&text)).transpose().map_err(|error| format!("{name}: {error}"))
}

fn ring(env: &JsValue, name: &str) -> Result<Ring, String> {
    Ring::parse(&text(env, name).unwrap_or_default())
        .map_err(|error| format!("the secret {name} {error}; `farebox secret` prints a good one"))
}

fn seconds(env: &JsValue, name: &str, default: u32) -> Result<Millis, String> {
    seconds_up_to(env, name, default, DAY_SECONDS)
}

fn seconds_up_to(env: &JsValue, name: &str, default: u32, most: u32) -> Result<Millis, String> {
    let Some(text) = text(env, name) else { return Ok(Millis::from_secs(default)) };
    let most_ms = Millis::from_secs(most).0;
    match text.parse::<crate::money::Exact>().ok().and_then(|s| s.times(1000.into()).ok()) {
        Some(ms) if ms.to_u64().is_some_and(|ms| (100..=u64::from(most_ms)).contains(&ms)) => {
            Ok(Millis(u32::try_from(ms.to_u64().unwrap_or(0)).unwrap_or(u32::MAX)))
        }
        _ => Err(format!("{name} must be a number of seconds from 0.1 to {most}")),
    }
}

fn unresolved_jobs(env: &JsValue) -> Result<Unresolved, String> {
    let name = "FAREBOX_UNRESOLVED_JOBS";
    match text(env, name).as_deref() {
        None | Some("hold") => Ok(Unresolved::Hold),
        Some("floor") => Ok(Unresolved::Floor),
        Some(_) => Err(format!("{name} must be hold or floor")),
    }
}

impl Config {
    fn read(env: &JsValue) -> Result<Self, String> {
        let dev = text(env, "FAREBOX_ENV").as_deref() == Some("dev");
        let own = text(env, "FAREBOX_BOOK");
        let book = own.as_deref().map_or_else(|| Book::open(DEFAULT), Book::parse);
        let book = Rc::new(book.map_err(|error| format!("FAREBOX_BOOK: {error}"))?);
        let book_text = own.map_or(Cow::Borrowed(DEFAULT), Cow::Owned);
        let admin_token = text(env, "FAREBOX_ADMIN_TOKEN");
        if admin_token.as_ref().is_some_and(|token| token.len() < 32) {
            return Err("the secret FAREBOX_ADMIN_TOKEN must have at least 32 characters".into());
        }
        let tag_header = text(env, "FAREBOX_TAG_HEADER").map(|name| name.to_ascii_lowercase());
        let is_token = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !tag_header.iter().all(is_token) {
            return Err("FAREBOX_TAG_HEADER must be a header's name, such as x-team".into());
        }
        let keys = ring(env, "FAREBOX_KEY_SECRETS")?;
        let quotes = keys.derived(LABEL).ok_or("the secret FAREBOX_KEY_SECRETS cannot be used")?;
        Ok(Self {
            own_keys: text(env, "FAREBOX_OWN_KEYS").as_deref() == Some("true"),
            tag_header,
            keys,
            quotes,
            records: ring(env, "FAREBOX_RECORD_SECRETS")?,
            sessions: ring(env, "FAREBOX_SESSION_SECRETS")?,
            admin_token,
            upstreams: upstreams(env, dev)?,
            book,
            book_text,
            hold_ttl: seconds(env, "FAREBOX_HOLD_TTL_SECONDS", 60)?,
            job_ttl: seconds(env, "FAREBOX_JOB_TTL_SECONDS", 86_400)?,
            batch_ttl: seconds_up_to(
                env,
                "FAREBOX_BATCH_TTL_SECONDS",
                2 * DAY_SECONDS,
                BATCH_DAYS_MAX * DAY_SECONDS,
            )?,
            unresolved_jobs: unresolved_jobs(env)?,
            upstream_timeout: seconds(env, "FAREBOX_UPSTREAM_TIMEOUT_SECONDS", 600)?,
            outbox_delay: seconds(env, "FAREBOX_OUTBOX_DELAY_SECONDS", 5)?,
            pass_usage_chunk: text(env, "FAREBOX_PASS_USAGE_CHUNK").as_deref() == Some("true"),
            policy: read(env, "FAREBOX_STOPPING", Policy::parse)?.unwrap_or_default(),
            fail_open: read(env, "FAREBOX_FAIL_OPEN", FailOpen::parse)?,
            alerts: Port::parse(
                text(env, "FAREBOX_ALERTS").as_deref(),
                |name| text(env, name),
                seconds(env, "FAREBOX_ALERT_RETRY_SECONDS", 5)?,
                dev,
            )
            .map_err(|error| format!("FAREBOX_ALERTS: {error}"))?,
            allow_crash: dev && text(env, "FAREBOX_ALLOW_CRASH").as_deref() == Some("true"),
        })
    }
}

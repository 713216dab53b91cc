//! Our own routes, below `/v1/farebox/`: a customer's view and the operator's API.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::admit::{key_of, ledger_of};
use super::alerts::{ask, cron, routes};
use super::books;
use super::caps;
use super::http::{self, Incoming, bearer, internal};
use super::ledger_call::LedgerClient;
use super::own_keys;
use super::proxy::name;
use super::{js, quote};
use crate::api::{Code, Problem};
use crate::auth::{Denied, Rights, Session};
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;
use crate::ledger::{Admin, Allows, Command, LimitRule, Outlook, Party, Reply, Scope, Snapshot};
use crate::money::Exact;
use crate::record::{Class, Digest, Flag, Record, SealedLine};
use crate::wire::query::parameters;
use crate::wire::usage::Meter;

/// Longest body of an admin request.
const ADMIN_BODY_MAX: f64 = 65_536.0;

pub async fn route(incoming: &Incoming, rest: &str) -> Result<web_sys::Response, Problem> {
    let parts: Vec<&str> = rest.split('/').collect();
    let method = incoming.request.method();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => health(incoming).await,
        ("GET", ["spend"]) => standing(incoming, customer(incoming)?).await,
        ("GET", ["requests", id]) => request(incoming, id).await,
        ("GET", ["book"]) => book(incoming).await,
        ("POST", ["quote"]) => quote::answer(incoming).await,
        ("GET", ["live"]) => live(incoming).await,
        ("PUT", ["caps"]) => caps::put(incoming).await,
        (_, ["alerts" | "forecast" | "endpoints" | "deliveries", ..]) => {
            routes::own(incoming, &method, &parts).await
        }
        (_, ["admin", rest @ ..]) => admin(incoming, &method, rest).await,
        _ => Err(Problem::new(Code::NotFound, "There is no such route here.")),
    }
}

/// Whether this gateway can serve at all.
async fn health(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    incoming.config()?;
    let in_use = books::current(incoming).await?;
    let body = json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"),
                       "book_version": in_use.book.version() });
    http::json(&incoming.id, 200, body.to_string())
}

/// Whose data is asked for: by session, or by API key.
fn customer(incoming: &Incoming) -> Result<Name, Problem> {
    let token = bearer(incoming).or_else(|| incoming.header("x-api-key"));
    Ok(session(incoming, token.as_deref().unwrap_or_default())?.customer)
}

pub(super) fn session(incoming: &Incoming, token: &str) -> Result<Session, Problem> {
    let config = incoming.config()?;
    let message = match Session::verify(token, &config.sessions, js::now()) {
        Ok(session) => return Ok(session),
        Err(Denied::Expired) => "This dashboard session has expired. Ask for a new link.",
        Err(Denied::Invalid) => {
            "A dashboard session (fbs_…) is needed here. Ask whoever runs this service for a link, \
             or make one with `farebox session new`."
        }
    };
    Err(Problem::new(Code::InvalidKey, message))
}

/// Where a customer stands.
async fn standing(incoming: &Incoming, customer: Name) -> Result<web_sys::Response, Problem> {
    let ledger = LedgerClient::new(&incoming.env, customer)?;
    let found = ledger.look(r#"{"snapshot":{}}"#).await?;
    if found == "null" {
        return Err(Problem::new(Code::NotFound, "This customer does not exist."));
    }
    http::json(&incoming.id, 200, found)
}

/// One request's records, for whoever holds one of the customer's keys or a session.
async fn request(incoming: &Incoming, id: &str) -> Result<web_sys::Response, Problem> {
    let id: crate::ids::RequestId =
        id.parse().map_err(|()| Problem::new(Code::InvalidRequest, "A request id is a UUID."))?;
    let after = parameters(incoming.query()).find(|each| each.name == "after");
    let after = after.map_or(Ok(0), |after| after.value.parse::<u64>());
    let after = after
        .map_err(|_| Problem::new(Code::InvalidRequest, "`after` is the `seq` of a record."))?;
    let query = json!({ "request": { "id": id, "after": after } }).to_string();
    let customer = caller(incoming).await?;
    let found = LedgerClient::new(&incoming.env, customer)?.look(&query).await?;
    if found == "null" {
        let message = "No record of this request yet. It is written when the answer has ended.";
        return Err(Problem::new(Code::NotFound, message));
    }
    http::json(&incoming.id, 200, found)
}

/// Whose request this is: by an API key in force, or by a session.
pub async fn caller(incoming: &Incoming) -> Result<Name, Problem> {
    let token = bearer(incoming).or_else(|| incoming.header("x-api-key")).unwrap_or_default();
    let config = incoming.config()?;
    if token.starts_with("fbs_") || token.is_empty() {
        return Ok(session(incoming, &token)?.customer);
    }
    let key = key_of(incoming, &config, &token).await?;
    ledger_of(incoming, &key).await?;
    Ok(key.customer)
}

/// The price book as the customer may see it.
async fn book(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    customer(incoming)?;
    let in_use = books::current(incoming).await?;
    let text =
        books::projection(&in_use.book).map_err(|error| internal(&error.to_string().into()))?;
    http::json(&incoming.id, 200, text.to_string())
}

/// The dashboard's socket. The token comes in the subprotocol: a URL would end up in logs.
async fn live(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    if incoming.header("upgrade").is_none_or(|value| !value.eq_ignore_ascii_case("websocket")) {
        return Err(Problem::new(Code::InvalidRequest, "This route speaks WebSocket only."));
    }
    let offered = incoming.header("sec-websocket-protocol").unwrap_or_default();
    let token = offered.split(',').map(str::trim).find(|item| item.starts_with("fbs_"));
    let session = session(incoming, token.unwrap_or_default())?;
    let headers = web_sys::Headers::new().map_err(|error| internal(&error))?;
    let set = |name, value: &str| headers.set(name, value).map_err(|error| internal(&error));
    set("upgrade", "websocket")?;
    set("x-farebox-session-expires", &session.expires.ms().to_string())?;
    let init = web_sys::RequestInit::new();
    init.set_headers(&headers);
    let request = web_sys::Request::new_with_str_and_init("https://ledger/live", &init)
        .map_err(|error| internal(&error))?;
    LedgerClient::new(&incoming.env, session.customer)?.connect(&request).await
}

/// The operator's API; not there at all without a token in the configuration.
async fn admin(
    incoming: &Incoming,
    method: &str,
    parts: &[&str],
) -> Result<web_sys::Response, Problem> {
    let config = incoming.config()?;
    let absent = || Problem::new(Code::NotFound, "There is no such route here.");
    let token = config.admin_token.as_deref().ok_or_else(absent)?;
    let sent = bearer(incoming).unwrap_or_default();
    // Compared as digests: equal lengths, constant time.
    let same = Sha256::digest(sent.as_bytes()).ct_eq(&Sha256::digest(token.as_bytes()));
    if !bool::from(same) {
        let message = "The operator's API needs its own token (FAREBOX_ADMIN_TOKEN).";
        return Err(Problem::new(Code::Forbidden, message));
    }
    match (method, parts) {
        ("PUT", ["customers", customer]) => put_customer(incoming, customer).await,
        ("GET", ["customers", customer]) => standing(incoming, name(customer)?).await,
        ("PUT", ["customers", customer, "keys", key_id]) => {
            put_key(incoming, customer, key_id).await
        }
        ("PUT", ["customers", customer, "own-keys", key_id]) => {
            put_own_key(incoming, customer, key_id).await
        }
        ("DELETE", ["customers", customer, "keys", key_id]) => {
            let revoke = Admin::RevokeKey { key_id: name(key_id)? };
            carry_out(incoming, customer, revoke).await
        }
        ("PUT" | "DELETE", ["customers", customer, "freeze"]) => {
            let freeze = Admin::Freeze { key_id: None, frozen: method == "PUT" };
            carry_out(incoming, customer, freeze).await
        }
        ("PUT" | "DELETE", ["customers", customer, "keys", key_id, "freeze"]) => {
            let freeze = Admin::Freeze { key_id: Some(name(key_id)?), frozen: method == "PUT" };
            carry_out(incoming, customer, freeze).await
        }
        ("GET", ["customers", customer, "standing", scope, value]) => {
            party_standing(incoming, customer, scope, value).await
        }
        (_, ["books", rest @ ..]) => books::routes::route(incoming, method, rest).await,
        ("GET", ["records"]) => records(incoming).await,
        ("POST", ["customers", customer, "outcomes"]) => {
            super::own_terms::decide(incoming, customer).await
        }
        (_, ["customers", customer, rest @ ("plan" | "grants"), id @ ..]) => {
            super::own_terms::route(incoming, method, customer, rest, id).await
        }
        (
            _,
            [
                "customers",
                customer,
                rest @ ("alerts" | "alert-settings" | "forecast" | "endpoints" | "deliveries"),
                more @ ..,
            ],
        ) => routes::admin(incoming, method, customer, &[&[*rest], more].concat()).await,
        ("POST", ["customers", customer, "sessions"]) => new_session(incoming, customer).await,
        _ => Err(absent()),
    }
}

pub(super) async fn body<T: serde::de::DeserializeOwned>(
    incoming: &Incoming,
) -> Result<T, Problem> {
    let reading = js::read_body(&incoming.request, ADMIN_BODY_MAX);
    let body = wasm_bindgen_futures::JsFuture::from(reading).await;
    let bytes = js_sys::Uint8Array::new(&body.map_err(|error| internal(&error))?).to_vec();
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("The body: {error}.")))
}

/// A customer's terms. `limits` must be there: an empty list says "no limit" in so many words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    currency: String,
    limits: Vec<LimitRule>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    allows: Allows,
}

async fn put_customer(incoming: &Incoming, customer: &str) -> Result<web_sys::Response, Problem> {
    let Terms { currency, limits, zone, allows } = body(incoming).await?;
    let put = Admin::PutCustomer { customer: name(customer)?, currency, limits, zone, allows };
    let done = carry_out(incoming, customer, put).await?;
    cron::note(&incoming.env, &name(customer)?).await;
    Ok(done)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    secret_sha256: Digest,
    #[serde(default)]
    label: String,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    allows: Allows,
}

async fn put_key(
    incoming: &Incoming,
    customer: &str,
    key_id: &str,
) -> Result<web_sys::Response, Problem> {
    let NewKey { secret_sha256, label, expires_at, allows } = body(incoming).await?;
    let key_id = name(key_id)?;
    let put = Admin::PutKey { key_id, secret_sha256, label, expires_at, allows };
    carry_out(incoming, customer, put).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnKey {
    key_sha256: Digest,
    #[serde(default)]
    label: String,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    allows: Allows,
}

/// A key that the operator issued by itself: in the directory, so that it is found, and in the
/// ledger, which decides on it. Asking again does no harm, so a failure half-way is mended by it.
async fn put_own_key(
    incoming: &Incoming,
    customer: &str,
    key_id: &str,
) -> Result<web_sys::Response, Problem> {
    if !incoming.config()?.own_keys {
        let message = "Keys of the operator's own are turned off here (FAREBOX_OWN_KEYS).";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    let OwnKey { key_sha256, label, expires_at, allows } = body(incoming).await?;
    let (customer, key_id) = (name(customer)?, name(key_id)?);
    let owner = (customer.clone(), key_id.clone());
    own_keys::put(&incoming.env, key_sha256, &owner).await?;
    let put = Admin::PutKey { key_id, secret_sha256: key_sha256, label, expires_at, allows };
    carry_out(incoming, customer.as_str(), put).await
}

/// How each limit of one key, model or tag stands.
async fn party_standing(
    incoming: &Incoming,
    customer: &str,
    scope: &str,
    value: &str,
) -> Result<web_sys::Response, Problem> {
    let unknown = || Problem::new(Code::NotFound, "A party is a key, model or tag.");
    let scope: Scope = serde_json::from_value(scope.into()).map_err(|_| unknown())?;
    if matches!(scope, Scope::Customer | Scope::EndUser) {
        return Err(unknown());
    }
    let value = crate::wire::query::decoded(value);
    let ledger = LedgerClient::new(&incoming.env, name(customer)?)?;
    match ledger.ask(&Command::Standing(Party { scope, value })).await? {
        Reply::Standing(limits) => {
            http::json(&incoming.id, 200, json!({ "limits": limits }).to_string())
        }
        other => Err(internal(&format!("standing answered {other:?}").into())),
    }
}

pub(super) async fn carry_out(
    incoming: &Incoming,
    customer: &str,
    admin: Admin,
) -> Result<web_sys::Response, Problem> {
    let ledger = LedgerClient::new(&incoming.env, name(customer)?)?;
    match ledger.ask(&Command::Admin(admin)).await? {
        Reply::Done => http::json(&incoming.id, 200, r#"{"status":"done"}"#.to_owned()),
        Reply::Invalid(reason) => Err(Problem::new(Code::InvalidRequest, reason)),
        other => Err(internal(&format!("admin answered {other:?}").into())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    #[serde(default)]
    seconds: Option<u32>,
    #[serde(default)]
    rights: Option<Rights>,
}

async fn new_session(incoming: &Incoming, customer: &str) -> Result<web_sys::Response, Problem> {
    let asked: NewSession = body(incoming).await?;
    let life = Millis::from_secs(asked.seconds.unwrap_or(3_600));
    let rights = asked.rights.unwrap_or(Rights::Read);
    let session = Session::new(name(customer)?, rights, js::now(), life);
    let config = incoming.config()?;
    let token = session.text(&config.sessions).unwrap_or_default();
    let url = format!("{}/#session={token}", incoming.origin());
    let body = json!({ "token": token, "expires_at": session.expires, "url": url });
    http::json(&incoming.id, 200, body.to_string())
}

/// Objects and bytes of the archive in one answer: some ten thousand records, enough to see what a
/// change of prices does.
const RECENT_OBJECTS_MAX: u32 = 200;
const RECENT_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The newest archived records, private parts included, as NDJSON in one string.
async fn records(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let bucket = js_sys::Reflect::get(&incoming.env, &"RECORDS".into()).unwrap_or_default();
    if bucket.is_undefined() {
        let message = "There is no archive: no R2 bucket is bound as RECORDS.";
        return Err(Problem::new(Code::NotFound, message));
    }
    let reading = js::recent_records(&bucket, RECENT_OBJECTS_MAX, RECENT_BYTES_MAX);
    let read = wasm_bindgen_futures::JsFuture::from(reading).await;
    let parts = js_sys::Array::from(&read.map_err(|error| internal(&error))?);
    let headers = web_sys::Headers::new().map_err(|error| internal(&error))?;
    let partial = parts.get(1).as_string().unwrap_or_default();
    for (name, value) in [
        ("content-type", "application/x-ndjson"),
        ("cache-control", "no-store"),
        ("x-farebox-request-id", &incoming.id),
        ("x-farebox-partial", &partial),
    ] {
        headers.set(name, value).map_err(|error| internal(&error))?;
    }
    http::response(&parts.get(0), 200, &headers).map_err(|error| internal(&error))
}

/// A dashboard frame: where the customer stands, and records as rows.
pub fn frame(
    kind: &str,
    snapshot: &Snapshot,
    lines: &[(String, String)],
    alerts: &[String],
    outlook: Option<&Outlook>,
) -> Result<String, String> {
    let rows: Result<Vec<Value>, String> =
        lines.iter().map(|(line, charged)| row(line, charged)).collect();
    let mut frame = serde_json::to_value(snapshot).map_err(|error| error.to_string())?;
    if let Some(frame) = frame.as_object_mut() {
        frame.insert("type".into(), kind.into());
        frame.insert("requests".into(), rows?.into());
        let alerts = ask::list(alerts)?;
        frame.insert("alerts".into(), json!(alerts));
        if let Some(outlook) = outlook {
            frame.insert("forecast".into(), json!(outlook));
        }
    }
    Ok(frame.to_string())
}

/// One record as a row of the dashboard. Its amount is what the attempt was charged in all.
fn row(line: &str, charged: &str) -> Result<Value, String> {
    let sealed: SealedLine<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let record: Record =
        serde_json::from_str(sealed.record.get()).map_err(|error| error.to_string())?;
    let quantity = |meter| record.quantities.iter().find(|q| q.meter == meter).map(|q| q.quantity);
    let unpriced = record.flags.contains(&Flag::Unpriced);
    let mut row = json!({
        "seq": record.seq.to_string(), "request_id": record.request_id, "attempt_id": record.attempt_id,
        "at": record.admitted.received_at, "model": record.admitted.model,
        "endpoint": record.admitted.endpoint, "stream": record.admitted.stream,
        "outcome": record.class, "currency": record.admitted.currency, "flags": record.flags,
    });
    if let Some(row) = row.as_object_mut() {
        if !(unpriced && record.lines.is_empty() && record.class == Class::Settled) {
            row.insert("amount".into(), charged.into());
        }
        if let Some(status) = record.answered.upstream_status {
            row.insert("status".into(), status.into());
        }
        for (name, meter) in
            [("input_total", Meter::InputTotal), ("output_total", Meter::OutputTotal)]
        {
            if let Some(quantity) = quantity(meter) {
                row.insert(name.into(), json!(quantity));
            }
        }
    }
    Ok(row)
}

/// A request's records as its customer may see them: without private parts, and at most `most`.
pub fn request_view(
    lines: &[(String, String)],
    most: u64,
    charged: Exact,
) -> Result<String, String> {
    if lines.is_empty() {
        return Ok("null".into());
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let has_more = lines.len() > most;
    let mut records = Vec::new();
    for (line, _) in lines.iter().take(most) {
        let mut sealed: SealedLine<'_> =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        sealed.private = None;
        sealed.salt = None;
        records.push(serde_json::to_string(&sealed).map_err(|error| error.to_string())?);
    }
    // Records are joined as text: their bytes are signed.
    let records = records.join(",");
    Ok(format!(r#"{{"cost":"{charged}","has_more":{has_more},"records":[{records}]}}"#))
}

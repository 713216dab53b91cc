//! Our own routes, below `/v1/farebox/`: a customer's view and the operator's API.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::admit::ledger_of;
use super::http::{self, Incoming, bearer, internal};
use super::js;
use super::ledger_call::LedgerClient;
use super::proxy::name;
use crate::api::{Code, Problem};
use crate::auth::{ApiKey, Denied, Rights, Session};
use crate::clock::Millis;
use crate::ids::Name;
use crate::ledger::{Admin, Command, LimitRule, Reply, Snapshot};
use crate::quote::quote_json;
use crate::record::{Class, Digest, Flag, Record, SealedLine};
use crate::wire::usage::Meter;

/// Longest body of an admin request.
const ADMIN_BODY_MAX: f64 = 65_536.0;

pub async fn route(incoming: &Incoming, rest: &str) -> Result<web_sys::Response, Problem> {
    let parts: Vec<&str> = rest.split('/').collect();
    let method = incoming.request.method();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => health(incoming),
        ("GET", ["spend"]) => standing(incoming, customer(incoming)?).await,
        ("GET", ["requests", id]) => request(incoming, id).await,
        ("GET", ["book"]) => book(incoming),
        ("POST", ["quote"]) => quote(incoming).await,
        ("GET", ["live"]) => live(incoming).await,
        (_, ["admin", rest @ ..]) => admin(incoming, &method, rest).await,
        _ => Err(Problem::new(Code::NotFound, "There is no such route here.")),
    }
}

/// Whether this gateway can serve at all.
fn health(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let config = incoming.config()?;
    let body = json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"),
                       "book_version": config.book.version() });
    http::json(&incoming.id, 200, body.to_string())
}

/// Whose data is asked for: by session, or by API key.
fn customer(incoming: &Incoming) -> Result<Name, Problem> {
    let token = bearer(incoming).or_else(|| incoming.header("x-api-key"));
    Ok(session(incoming, token.as_deref().unwrap_or_default())?.customer)
}

fn session(incoming: &Incoming, token: &str) -> Result<Session, Problem> {
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
    let query = json!({ "request": { "id": id } }).to_string();
    let customer = caller(incoming).await?;
    let found = LedgerClient::new(&incoming.env, customer)?.look(&query).await?;
    if found == "null" {
        let message = "No record of this request yet. It is written when the answer has ended.";
        return Err(Problem::new(Code::NotFound, message));
    }
    http::json(&incoming.id, 200, found)
}

/// Whose request this is: by an API key in force, or by a session.
async fn caller(incoming: &Incoming) -> Result<Name, Problem> {
    let token = bearer(incoming).or_else(|| incoming.header("x-api-key")).unwrap_or_default();
    let config = incoming.config()?;
    let Ok(key) = ApiKey::verify(&token, &config.keys) else {
        return Ok(session(incoming, &token)?.customer);
    };
    ledger_of(incoming, &key).await?;
    Ok(key.customer)
}

/// The price book as the customer may see it.
fn book(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    customer(incoming)?;
    http::json(&incoming.id, 200, incoming.config()?.book_projection.clone())
}

/// What a request would cost; nothing is held and nothing is forwarded.
async fn quote(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    caller(incoming).await?;
    let body = super::body::read(incoming).await?;
    let bytes = js_sys::Uint8Array::new(&body.bytes).to_vec();
    let text = String::from_utf8_lossy(&bytes);
    let answer = quote_json(&incoming.config()?.book, &text);
    http::json(&incoming.id, 200, answer)
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
        ("DELETE", ["customers", customer, "keys", key_id]) => {
            let revoke = Admin::RevokeKey { key_id: name(key_id)? };
            carry_out(incoming, customer, revoke).await
        }
        (_, ["customers", customer, rest @ ("plan" | "grants"), id @ ..]) => {
            super::own_terms::route(incoming, method, customer, rest, id).await
        }
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
}

async fn put_customer(incoming: &Incoming, customer: &str) -> Result<web_sys::Response, Problem> {
    let Terms { currency, limits } = body(incoming).await?;
    let put = Admin::PutCustomer { customer: name(customer)?, currency, limits };
    carry_out(incoming, customer, put).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    secret_sha256: Digest,
    #[serde(default)]
    label: String,
}

async fn put_key(
    incoming: &Incoming,
    customer: &str,
    key_id: &str,
) -> Result<web_sys::Response, Problem> {
    let NewKey { secret_sha256, label } = body(incoming).await?;
    let put = Admin::PutKey { key_id: name(key_id)?, secret_sha256, label };
    carry_out(incoming, customer, put).await
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

/// A dashboard frame: where the customer stands, and records as rows.
pub fn frame(
    kind: &str,
    snapshot: &Snapshot,
    lines: &[(String, String)],
) -> Result<String, String> {
    let rows: Result<Vec<Value>, String> =
        lines.iter().map(|(line, charged)| row(line, charged)).collect();
    let mut frame = serde_json::to_value(snapshot).map_err(|error| error.to_string())?;
    if let Some(frame) = frame.as_object_mut() {
        frame.insert("type".into(), kind.into());
        frame.insert("requests".into(), rows?.into());
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

/// A request's records as its customer may see them: without private parts.
pub fn request_view(lines: &[(String, String)]) -> Result<String, String> {
    let Some((_, charged)) = lines.last() else { return Ok("null".into()) };
    let mut records = Vec::new();
    for (line, _) in lines {
        let mut sealed: SealedLine<'_> =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        sealed.private = None;
        sealed.salt = None;
        records.push(serde_json::to_string(&sealed).map_err(|error| error.to_string())?);
    }
    // Records are joined as text: their bytes are signed.
    Ok(format!(r#"{{"cost":"{charged}","records":[{}]}}"#, records.join(",")))
}

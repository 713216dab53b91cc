//! Alerts on their way: spread over endpoints once, sent until they are taken or given up. What is
//! raised was decided by the ledger; what follows from an answer is decided in `notify`.

pub mod ask;
pub mod cron;
pub mod port;
pub mod routes;

use futures_util::future::join_all;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::js;
use super::sql::{Failed, Store};
use crate::clock::{Millis, Timestamp};
use crate::ledger::Alert;
use crate::notify::{Answer, Delivery, Endpoint, Next, State, Target, mail, next, sign};
use port::{Mailer, Port, is_safe, of_env};

#[wasm_bindgen(module = "/src/edge/alerts/send.js")]
extern "C" {
    fn post(url: &str, headers: &web_sys::Headers, body: &str, ms: f64) -> Promise;
    #[wasm_bindgen(js_name = sendMail)]
    fn send_mail(binding: &JsValue, mail: &str) -> Promise;
}

/// Alerts spread over their endpoints in one alarm, and deliveries sent to one endpoint in one: the
/// next alarm takes up the rest. Endpoints are sent to side by side, each in turn.
const SPREAD_MAX: u64 = 100;
const SENT_MAX: u64 = 40;
/// After this no more is begun in the same alarm: records and holds wait for it to end.
const ALARM_S: u32 = 60;
/// How long a receiver may take: those who act first and answer then should answer first.
const ANSWER_MS: f64 = 10_000.0;

/// A delivery that is due.
pub struct Due {
    pub alert_id: String,
    pub endpoint: String,
    pub delivery: Delivery,
    /// The alert, as stored: these very bytes are signed and sent.
    pub body: String,
}

/// Spreads what was raised, and sends what is due. `Ok` also where receivers failed.
pub async fn deliver(store: &Store, port: &Port, env: &JsValue) -> Result<(), Failed> {
    let mut endpoints = store.endpoints()?;
    endpoints.extend(port.wide.clone());
    spread(store, &endpoints)?;
    store.bury_unknown(port.wide.as_ref().map_or("", |wide| wide.id.as_str()))?;
    let until = js::now().plus(Millis::from_secs(ALARM_S));
    let by_endpoint =
        endpoints.iter().map(|endpoint| send_all(store, port, env, endpoint.id.as_str(), until));
    for sent in join_all(by_endpoint).await {
        sent?;
    }
    Ok(())
}

fn spread(store: &Store, endpoints: &[Endpoint]) -> Result<(), Failed> {
    for (id, body) in store.raised(SPREAD_MAX)? {
        // One that cannot be read is shown as it is, and keeps no other back.
        let alert = serde_json::from_str::<Alert>(&body);
        if let Err(error) = &alert {
            js::log(&format!("alerts: {id} cannot be read: {error}"));
        }
        let wants = |endpoint: &&Endpoint| alert.as_ref().is_ok_and(|it| endpoint.wants(&it.what));
        let wanting = endpoints.iter().filter(wants);
        let ids: Vec<&str> = wanting.map(|endpoint| endpoint.id.as_str()).collect();
        store.spread(&id, &ids, &Delivery::new(js::now()))?;
    }
    Ok(())
}

/// One endpoint's deliveries in turn, up to the first that fails: then all of them wait.
async fn send_all(
    store: &Store,
    port: &Port,
    env: &JsValue,
    id: &str,
    until: Timestamp,
) -> Result<(), Failed> {
    for each in store.due_deliveries(id, js::now(), SENT_MAX)? {
        // As it stands now: its owner may have changed it while the last message was on its way.
        let (endpoint, stored) = match port.wide.as_ref().filter(|wide| wide.id.as_str() == id) {
            Some(wide) => (wide.clone(), None),
            None => match store.endpoint(id)? {
                Some((endpoint, stored)) if !endpoint.gone => (endpoint, Some(stored)),
                Some(_) => return store.bury(id),
                None => return Ok(()), // and what was on its way there went with it
            },
        };
        if js::now() >= until {
            return Ok(());
        }
        let answer = send(port, env, &endpoint, &each).await;
        let now = js::now();
        let mut delivery = each.delivery.clone();
        let random = u32::from_le_bytes(js::random());
        let follows = next(&mut delivery, &answer, port.first_pause, random, now);
        let tried = Due {
            alert_id: each.alert_id.clone(),
            endpoint: each.endpoint.clone(),
            delivery,
            body: String::new(),
        };
        match follows {
            Next::Delivered => store.put_delivery(&tried, State::Delivered, now)?,
            Next::Dead => store.put_delivery(&tried, State::Dead, now)?,
            Next::Again(at) => {
                store.put_delivery(&tried, State::Pending, at)?;
                return store.put_off(id, at);
            }
            Next::Gone => {
                store.put_delivery(&tried, State::Dead, now)?;
                match stored {
                    Some(stored) if !store.put_gone(&endpoint, &stored)? => {}
                    _ => return store.bury(id),
                }
            }
        }
    }
    Ok(())
}

async fn send(port: &Port, env: &JsValue, endpoint: &Endpoint, due: &Due) -> Answer {
    match &endpoint.target {
        Target::Url(url) => {
            // Checked when it was set, too; the rules may have become stricter since.
            if is_safe(url, port.dev).is_err() {
                return Answer::Failed("address_refused");
            }
            let secrets: Vec<&str> = endpoint.signing(js::now()).collect();
            signed(url, &secrets, &due.alert_id, &due.body).await
        }
        Target::Mail(to) => {
            let Some(by) = &port.mail else { return Answer::Failed("no_mail_port") };
            let Ok(alert) = serde_json::from_str::<Alert>(&due.body) else {
                return Answer::Failed("unreadable");
            };
            let Ok(text) = serde_json::to_string(&mail(&alert, &by.from, to)) else {
                return Answer::Failed("unreadable");
            };
            match &by.by {
                Mailer::Url(url, key) => {
                    // Two addresses hear of one alert by the same receiver: two messages.
                    let id = format!("{}.{}", due.alert_id, due.endpoint);
                    signed(url, &[key.as_str()], &id, &text).await
                }
                Mailer::Binding(name) => {
                    let binding = of_env(env, name);
                    let taken = JsFuture::from(js::within(&send_mail(&binding, &text), ANSWER_MS));
                    match taken.await {
                        Ok(taken) if taken.is_truthy() => Answer::Status(200, None),
                        _ => Answer::Failed("mail_binding"),
                    }
                }
            }
        }
    }
}

/// Posts a body, signed as Standard Webhooks are.
async fn signed(url: &str, secrets: &[&str], id: &str, body: &str) -> Answer {
    let seconds = u64::try_from(js::now().ms()).unwrap_or(0) / 1_000;
    let Some(signature) = sign(secrets.iter().copied(), id, seconds, body) else {
        return Answer::Failed("no_secret");
    };
    let Ok(headers) = web_sys::Headers::new() else { return Answer::Failed("platform") };
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "farebox"),
        ("webhook-id", id),
        ("webhook-timestamp", &seconds.to_string()),
        ("webhook-signature", &signature),
    ] {
        if headers.set(name, value).is_err() {
            return Answer::Failed("platform");
        }
    }
    let Ok(answer) = JsFuture::from(post(url, &headers, body, ANSWER_MS)).await else {
        return Answer::Failed("connection");
    };
    let Some(parts) = answer.dyn_ref::<js_sys::Array>() else {
        let timed_out = answer.as_string().as_deref() == Some("timeout");
        return Answer::Failed(if timed_out { "timeout" } else { "connection" });
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an HTTP status
    let status = parts.get(0).as_f64().unwrap_or(0.0) as u16;
    // Seconds only: a date would need a calendar for what a pause of our own does as well.
    let asked = parts.get(1).as_string().and_then(|text| text.trim().parse().ok());
    Answer::Status(status, asked)
}

//! What the ledger object is asked about its alerts, their endpoints and deliveries.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::super::js;
use super::super::sql::{Failed, Store};
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::ledger::{Alert, AlertRow, AlertSettings, Owner, Row, What};
use crate::notify::{Delivery, ENDPOINTS_MAX, Endpoint, State, Target};

/// Alerts or deliveries in one answer.
const LISTED_MAX: u64 = 100;
/// Tests in a day: each is a row, and a message to a stranger's address.
const TESTS_MAX: u64 = 100;
const DAY_MS: i64 = 86_400_000;

/// From where on alerts are listed, the newest first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Those raised before a moment.
    Time(Timestamp),
    /// Those after this one in the list: the last of the page before.
    Alert(String),
}

/// What is wrong with an order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wrong {
    /// 400, 404 or 409.
    pub status: u16,
    /// In words, and what to do.
    pub why: String,
}

/// A question, or an order, about alerts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The newest alerts.
    Alerts { all: bool, before: Option<Before> },
    /// What is told of the customer.
    Settings {},
    /// One owner's endpoints; without one, all. `whole` where whoever asks may change them, too: an
    /// address often carries a secret.
    Endpoints { owner: Option<Owner>, whole: bool },
    /// Adds an endpoint, or changes where it is; a new one gets a secret.
    Put { id: Name, owner: Owner, target: Target, types: Option<Vec<String>> },
    /// A new secret beside the last one.
    Rotate { id: Name, owner: Owner },
    /// Takes an endpoint away.
    Drop { id: Name, owner: Owner },
    /// Sends a test there.
    Test { id: Name, owner: Owner },
    /// The newest deliveries, of one state.
    Deliveries { state: Option<State>, owner: Option<Owner> },
    /// Sends what was given up again: of one endpoint, or one alert.
    Replay { endpoint: Option<Name>, alert: Option<String> },
}

/// The answer as JSON; `Err` tells what is wrong with the order.
pub type Told = Result<String, Wrong>;

fn wrong(status: u16, why: impl Into<String>) -> Wrong {
    Wrong { status, why: why.into() }
}

/// Answers. `customer` is absent where there is none of that name.
pub fn answer(
    store: &Store,
    ask: &Ask,
    customer: Option<&Name>,
    settings: &AlertSettings,
) -> Result<Told, Failed> {
    let Some(customer) = customer else {
        return Ok(Err(wrong(
            404,
            "This customer does not exist: check its name, or put it first.",
        )));
    };
    let now = js::now();
    let found = |id: &Name, owner: Owner| -> Result<Option<Endpoint>, Failed> {
        Ok(store.endpoints()?.into_iter().find(|each| each.id == *id && each.owner == owner))
    };
    let absent = |id: &Name| {
        let why =
            format!("There is no endpoint `{id}` of yours: `GET endpoints` lists those there are.");
        Ok(Err(wrong(404, why)))
    };
    Ok(Ok(match ask {
        Ask::Alerts { all, before } => {
            let alerts = store.alerts(*all, before.as_ref(), LISTED_MAX)?;
            format!(r#"{{"alerts":[{}]}}"#, alerts.join(","))
        }
        Ask::Settings {} => json!(settings).to_string(),
        Ask::Endpoints { owner, whole } => {
            let all = store.endpoints()?;
            let own = all.iter().filter(|each| owner.is_none_or(|owner| each.owner == owner));
            json!({ "endpoints": own.map(|each| each.view(now, *whole)).collect::<Vec<_>>() })
                .to_string()
        }
        Ask::Put { id, owner, target, types } => {
            let all = store.endpoints()?;
            let known = all.iter().find(|each| each.id == *id);
            if id.as_str() == super::port::WIDE || known.is_some_and(|each| each.owner != *owner) {
                let why =
                    format!("The name `{id}` is taken by another's endpoint: choose another name.");
                return Ok(Err(wrong(409, why)));
            }
            let own = all.iter().filter(|each| each.owner == *owner).count();
            if known.is_none() && own >= ENDPOINTS_MAX {
                let why = format!(
                    "There are {ENDPOINTS_MAX} endpoints, the most there may be: change one, or delete one first."
                );
                return Ok(Err(wrong(409, why)));
            }
            let mut endpoint = Endpoint {
                id: id.clone(),
                owner: *owner,
                target: target.clone(),
                types: types.clone(),
                secrets: known.map(|each| each.secrets.clone()).unwrap_or_default(),
                gone: false,
            };
            let secret = endpoint.secrets.is_empty().then(|| endpoint.rotate(js::random(), now));
            store.put_endpoint(&endpoint)?;
            json!({ "endpoint": endpoint.view(now, true), "secret": secret }).to_string()
        }
        Ask::Rotate { id, owner } => {
            let Some(mut endpoint) = found(id, *owner)? else { return absent(id) };
            let secret = endpoint.rotate(js::random(), now);
            store.put_endpoint(&endpoint)?;
            json!({ "endpoint": endpoint.view(now, true), "secret": secret }).to_string()
        }
        Ask::Drop { id, owner } => {
            if found(id, *owner)?.is_none() {
                return absent(id);
            }
            store.drop_endpoint(id)?;
            r#"{"status":"done"}"#.to_owned()
        }
        Ask::Test { id, owner } => {
            let Some(endpoint) = found(id, *owner)? else { return absent(id) };
            return test(store, customer, &endpoint, now);
        }
        Ask::Deliveries { state, owner } => {
            let rows = store.deliveries(*state, *owner, LISTED_MAX)?;
            json!({ "deliveries": rows }).to_string()
        }
        Ask::Replay { endpoint, alert } => {
            if let Some(id) = endpoint {
                match store.endpoint(id.as_str())? {
                    Some((endpoint, _)) if endpoint.gone => return Ok(Err(wrong(409, gone(id)))),
                    None if id.as_str() != super::port::WIDE => return absent(id),
                    _ => {}
                }
            }
            let endpoint = endpoint.as_ref().map(Name::as_str);
            let count = store.replay(endpoint, alert.as_deref(), &Delivery::new(now))?;
            json!({ "replayed": count }).to_string()
        }
    }))
}

/// Sends a test to one endpoint.
fn test(
    store: &Store,
    customer: &Name,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<Told, Failed> {
    if endpoint.gone {
        return Ok(Err(wrong(409, gone(&endpoint.id))));
    }
    let yesterday = Timestamp::from_ms(now.ms().saturating_sub(DAY_MS));
    if store.tests_since(yesterday)? >= TESTS_MAX {
        let why =
            format!("{TESTS_MAX} tests were sent within a day, the most there may be: wait a day.");
        return Ok(Err(wrong(409, why)));
    }
    let random: [u8; 16] = js::random();
    let id_of = format!("test_{}", data_encoding::HEXLOWER.encode(&random));
    let alert = Box::new(Alert {
        id: id_of.clone(),
        timestamp: now,
        customer: customer.clone(),
        what: What::Test {},
    });
    store.commit(&[Row::Alerts(AlertRow::Raise { alert, until: Some(now) })])?;
    store.spread(&id_of, &[endpoint.id.as_str()], &Delivery::new(now))?;
    Ok(Ok(json!({ "alert": id_of }).to_string()))
}

fn gone(id: &Name) -> String {
    format!("The endpoint `{id}` answered 410, that it is gone: put it again first.")
}

/// A delivery in a listing.
#[derive(Serialize)]
pub struct Listed {
    pub alert: String,
    pub endpoint: String,
    pub state: String,
    pub next_at: Timestamp,
    #[serde(flatten)]
    pub delivery: Delivery,
}

/// Texts of JSON as one list of values, for a frame.
pub fn list(texts: &[String]) -> Result<Box<RawValue>, Failed> {
    RawValue::from_string(format!("[{}]", texts.join(","))).map_err(|error| error.to_string())
}

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

/// A question, or an order, about alerts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The newest alerts, before a moment.
    Alerts { all: bool, before: Option<Timestamp> },
    /// What is told of the customer.
    Settings {},
    /// One owner's endpoints; without one, all.
    Endpoints { owner: Option<Owner> },
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
pub type Told = Result<String, String>;

/// Answers. `customer` is absent where there is none of that name.
pub fn answer(
    store: &Store,
    ask: &Ask,
    customer: Option<&Name>,
    settings: &AlertSettings,
) -> Result<Told, Failed> {
    let Some(customer) = customer else { return Ok(Err("this customer does not exist".into())) };
    let now = js::now();
    let found = |id: &Name, owner: Owner| -> Result<Option<Endpoint>, Failed> {
        Ok(store.endpoints()?.into_iter().find(|each| each.id == *id && each.owner == owner))
    };
    let absent = || Ok(Err("there is no such endpoint".to_owned()));
    Ok(Ok(match ask {
        Ask::Alerts { all, before } => {
            let alerts = store.alerts(*all, *before, LISTED_MAX)?;
            format!(r#"{{"alerts":[{}]}}"#, alerts.join(","))
        }
        Ask::Settings {} => json!(settings).to_string(),
        Ask::Endpoints { owner } => {
            let all = store.endpoints()?;
            let own = all.iter().filter(|each| owner.is_none_or(|owner| each.owner == owner));
            json!({ "endpoints": own.map(|each| each.view(now)).collect::<Vec<_>>() }).to_string()
        }
        Ask::Put { id, owner, target, types } => {
            let all = store.endpoints()?;
            let known = all.iter().find(|each| each.id == *id);
            if id.as_str() == super::port::WIDE || known.is_some_and(|each| each.owner != *owner) {
                return Ok(Err("this name is taken".into()));
            }
            let own = all.iter().filter(|each| each.owner == *owner).count();
            if known.is_none() && own >= ENDPOINTS_MAX {
                return Ok(Err(format!("at most {ENDPOINTS_MAX} endpoints are possible")));
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
            json!({ "endpoint": endpoint.view(now), "secret": secret }).to_string()
        }
        Ask::Rotate { id, owner } => {
            let Some(mut endpoint) = found(id, *owner)? else { return absent() };
            let secret = endpoint.rotate(js::random(), now);
            store.put_endpoint(&endpoint)?;
            json!({ "endpoint": endpoint.view(now), "secret": secret }).to_string()
        }
        Ask::Drop { id, owner } => {
            if found(id, *owner)?.is_none() {
                return absent();
            }
            store.drop_endpoint(id)?;
            r#"{"status":"done"}"#.to_owned()
        }
        Ask::Test { id, owner } => {
            if found(id, *owner)?.is_none() {
                return absent();
            }
            let random: [u8; 16] = js::random();
            let id_of = format!("alert_{}", data_encoding::HEXLOWER.encode(&random));
            let alert = Box::new(Alert {
                id: id_of.clone(),
                timestamp: now,
                customer: customer.clone(),
                what: What::Test {},
            });
            store.commit(&[Row::Alerts(AlertRow::Raise { alert, until: Some(now) })])?;
            store.spread(&id_of, &[id.as_str()], &Delivery::new(now))?;
            json!({ "alert": id_of }).to_string()
        }
        Ask::Deliveries { state, owner } => {
            let all = store.endpoints()?;
            let is_own = |endpoint: &str| {
                owner.is_none_or(|owner| {
                    all.iter().any(|each| each.id.as_str() == endpoint && each.owner == owner)
                })
            };
            let rows = store.deliveries(*state, LISTED_MAX)?;
            let shown = rows.iter().filter(|row| is_own(&row.endpoint));
            json!({ "deliveries": shown.collect::<Vec<_>>() }).to_string()
        }
        Ask::Replay { endpoint, alert } => {
            let endpoint = endpoint.as_ref().map(Name::as_str);
            let count = store.replay(endpoint, alert.as_deref(), &Delivery::new(now))?;
            json!({ "replayed": count }).to_string()
        }
    }))
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

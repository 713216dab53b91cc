//! The routes of alerts: the operator's below a customer, and a customer's own.

use serde::Deserialize;
use serde_json::json;

use super::super::http::{self, Incoming, bearer, internal};
use super::super::ledger_call::LedgerClient;
use super::super::own::{body, caller, carry_out, session};
use super::super::proxy::name;
use super::ask::{Ask, Before, Wrong};
use super::port::is_safe;
use crate::api::{Code, Problem};
use crate::auth::Rights;
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::ledger::{Admin, AlertSettings, Command, Owner, Reply};
use crate::notify::{NewEndpoint, State, Target};
use crate::wire::query::parameters;

fn absent() -> Problem {
    Problem::new(Code::NotFound, "There is no such route here.")
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, why.into())
}

/// The operator's: `alerts`, `alert-settings`, `endpoints`, `deliveries` and `forecast` of a customer.
pub async fn admin(
    incoming: &Incoming,
    method: &str,
    customer: &str,
    parts: &[&str],
) -> Result<web_sys::Response, Problem> {
    let customer = name(customer)?;
    match (method, parts) {
        ("PUT", ["alert-settings"]) => {
            let settings: AlertSettings = body(incoming).await?;
            let put = Admin::PutAlerts(Box::new(settings));
            carry_out(incoming, customer.as_str(), put).await
        }
        ("GET", ["alert-settings"]) => ask(incoming, customer, &Ask::Settings {}).await,
        ("GET", ["forecast"]) => forecast(incoming, customer).await,
        ("POST", ["deliveries", "replay"]) => {
            let Replay { endpoint, alert } = body(incoming).await?;
            ask(incoming, customer, &Ask::Replay { endpoint, alert }).await
        }
        _ => shared(incoming, method, customer, Owner::Operator, parts).await,
    }
}

/// A customer's own: what it hears of, and its own endpoints. Reading takes a key or a session;
/// changing takes a session that may.
pub async fn own(
    incoming: &Incoming,
    method: &str,
    parts: &[&str],
) -> Result<web_sys::Response, Problem> {
    let token = bearer(incoming).unwrap_or_default();
    let writer = session(incoming, &token).is_ok_and(|session| session.rights == Rights::Write);
    let customer = if method == "GET" {
        caller(incoming).await?
    } else {
        let session = session(incoming, &token)?;
        if !writer {
            let message = "This session may only look. Ask for one that may change your settings.";
            return Err(Problem::new(Code::Forbidden, message));
        }
        session.customer
    };
    match (method, parts) {
        ("GET", ["forecast"]) => forecast(incoming, customer).await,
        ("GET", ["endpoints"]) => {
            let own = Ask::Endpoints { owner: Some(Owner::Customer), whole: writer };
            ask(incoming, customer, &own).await
        }
        _ => shared(incoming, method, customer, Owner::Customer, parts).await,
    }
}

async fn shared(
    incoming: &Incoming,
    method: &str,
    customer: Name,
    owner: Owner,
    parts: &[&str],
) -> Result<web_sys::Response, Problem> {
    let is_operator = owner == Owner::Operator;
    let order = match (method, parts) {
        ("GET", ["alerts"]) => Ask::Alerts { all: is_operator, before: before(incoming)? },
        ("GET", ["endpoints"]) => {
            Ask::Endpoints { owner: (!is_operator).then_some(owner), whole: true }
        }
        ("GET", ["deliveries"]) => {
            Ask::Deliveries { state: state(incoming)?, owner: (!is_operator).then_some(owner) }
        }
        ("PUT", ["endpoints", id]) => {
            let new: NewEndpoint = body(incoming).await?;
            let target = new.target(owner).map_err(invalid)?;
            let config = incoming.config()?;
            match &target {
                Target::Url(url) => is_safe(url, config.alerts.dev).map_err(invalid)?,
                Target::Mail(_) if config.alerts.mail.is_none() => {
                    let why = "No mail can be sent: FAREBOX_ALERTS has no `mail` (docs/alerts.md).";
                    return Err(invalid(why));
                }
                Target::Mail(_) => {}
            }
            Ask::Put { id: name(id)?, owner, target, types: new.types }
        }
        ("DELETE", ["endpoints", id]) => Ask::Drop { id: name(id)?, owner },
        ("POST", ["endpoints", id, "rotate"]) => Ask::Rotate { id: name(id)?, owner },
        ("POST", ["endpoints", id, "test"]) => Ask::Test { id: name(id)?, owner },
        _ => return Err(absent()),
    };
    ask(incoming, customer, &order).await
}

async fn ask(
    incoming: &Incoming,
    customer: Name,
    order: &Ask,
) -> Result<web_sys::Response, Problem> {
    let text = serde_json::to_string(order).map_err(|error| internal(&error.to_string().into()))?;
    let told = LedgerClient::new(&incoming.env, customer)?.alerts(&text).await?;
    let Some(wrong) = told.strip_prefix('!') else { return http::json(&incoming.id, 200, told) };
    let Wrong { status, why } =
        serde_json::from_str(wrong).map_err(|error| internal(&error.to_string().into()))?;
    let code = match status {
        404 => Code::NotFound,
        409 => Code::Conflict,
        _ => Code::InvalidRequest,
    };
    Err(Problem::new(code, why))
}

async fn forecast(incoming: &Incoming, customer: Name) -> Result<web_sys::Response, Problem> {
    match LedgerClient::new(&incoming.env, customer)?.ask(&Command::Outlook).await? {
        Reply::Outlook(outlook) => http::json(&incoming.id, 200, json!(outlook).to_string()),
        _ => Err(Problem::new(Code::NotFound, "This customer does not exist.")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    #[serde(default)]
    endpoint: Option<Name>,
    #[serde(default)]
    alert: Option<String>,
}

fn query(incoming: &Incoming, name: &str) -> Option<String> {
    parameters(incoming.query()).find(|each| each.name == name).map(|each| each.value)
}

fn before(incoming: &Incoming) -> Result<Option<Before>, Problem> {
    let parse = |text: String| match text.parse::<Timestamp>() {
        Ok(at) => Ok(Before::Time(at)),
        Err(()) if text.starts_with("alert_") || text.starts_with("test_") => {
            Ok(Before::Alert(text))
        }
        Err(()) => Err(invalid(
            "`before` is the id of the last alert you have, or a time such as 2026-11-23T22:00:00Z.",
        )),
    };
    query(incoming, "before").map(parse).transpose()
}

fn state(incoming: &Incoming) -> Result<Option<State>, Problem> {
    let parse = |text: String| {
        serde_json::from_value(text.into())
            .map_err(|_| invalid("`state` is pending, delivered or dead."))
    };
    query(incoming, "state").map(parse).transpose()
}

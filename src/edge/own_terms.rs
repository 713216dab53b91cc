//! The operator's routes for a customer's plan and credit.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::http::{self, Incoming, internal};
use super::ledger_call::LedgerClient;
use super::own::{body, carry_out};
use super::proxy::name;
use crate::api::{Code, Problem};
use crate::clock::Timestamp;
use crate::ids::AttemptId;
use crate::ledger::{Admin, Command, Decide, NewGrant, PutPlan, Reply, Rest, When, outcome_id};
use crate::money::Exact;
use crate::record::OutcomeOf;

/// A customer's terms. `plan` must be there: `null` says "by the price book" in so many words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTerms {
    plan: Box<RawValue>,
    #[serde(default)]
    from: When,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    anchor: Option<Timestamp>,
    #[serde(default)]
    rest: Rest,
    #[serde(default)]
    prepaid: bool,
    #[serde(default)]
    overdraft: Exact,
}

/// `PUT …/plan`, `POST …/grants` and `DELETE …/grants/{id}` below a customer.
pub async fn route(
    incoming: &Incoming,
    method: &str,
    customer: &str,
    what: &str,
    id: &[&str],
) -> Result<web_sys::Response, Problem> {
    let admin = match (method, what, id) {
        ("PUT", "plan", []) => put_plan(body(incoming).await?),
        ("POST", "grants", []) => {
            let grant: NewGrant = body(incoming).await?;
            Admin::PutGrant(Box::new(grant))
        }
        ("DELETE", "grants", [id]) => Admin::VoidGrant { id: (*id).to_owned() },
        _ => return Err(Problem::new(Code::NotFound, "There is no such route here.")),
    };
    carry_out(incoming, customer, admin).await
}

/// The operator's word about an outcome.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    attempt_id: AttemptId,
    charge: String,
    is: Is,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    Confirmed,
    Reversed,
}

/// `POST …/outcomes` below a customer: what an attempt reached holds, or does not.
pub async fn decide(incoming: &Incoming, customer: &str) -> Result<web_sys::Response, Problem> {
    let Word { attempt_id, charge, is } = body(incoming).await?;
    let of = OutcomeOf { attempt_id, charge };
    let decide = Decide { of: of.clone(), confirmed: matches!(is, Is::Confirmed) };
    let ledger = LedgerClient::new(&incoming.env, name(customer)?)?;
    match ledger.ask(&Command::Decide(decide)).await? {
        Reply::Closed { seq, charged, .. } => {
            let answer = json!({ "attempt_id": outcome_id(&of), "seq": seq, "charged": charged });
            http::json(&incoming.id, 200, answer.to_string())
        }
        Reply::Conflict { seq } => {
            let message = format!(
                "The outcome was decided otherwise, or can no longer be reversed: see record {seq}."
            );
            Err(Problem::new(Code::Conflict, message))
        }
        Reply::UnknownAttempt => {
            let message = "This attempt reached no outcome that this charge of its plan prices.";
            Err(Problem::new(Code::NotFound, message))
        }
        other => Err(internal(&format!("a word about an outcome answered {other:?}").into())),
    }
}

fn put_plan(terms: NewTerms) -> Admin {
    let NewTerms { plan, from, zone, anchor, rest, prepaid, overdraft } = terms;
    // As it was written: its numbers never pass through a float.
    let plan = (plan.get() != "null").then(|| plan.get().to_owned());
    Admin::PutPlan(Box::new(PutPlan { plan, from, zone, anchor, rest, prepaid, overdraft }))
}

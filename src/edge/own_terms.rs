//! The operator's routes for a customer's plan and credit.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::Incoming;
use super::own::{body, carry_out};
use crate::api::{Code, Problem};
use crate::clock::Timestamp;
use crate::ledger::{Admin, NewGrant, PutPlan, Rest, When};
use crate::money::Exact;

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

fn put_plan(terms: NewTerms) -> Admin {
    let NewTerms { plan, from, zone, anchor, rest, prepaid, overdraft } = terms;
    // As it was written: its numbers never pass through a float.
    let plan = (plan.get() != "null").then(|| plan.get().to_owned());
    Admin::PutPlan(Box::new(PutPlan { plan, from, zone, anchor, rest, prepaid, overdraft }))
}

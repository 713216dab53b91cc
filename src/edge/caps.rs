//! A customer's own limits: beside the operator's, and only ever tighter, for all of them must agree.

use serde::Deserialize;

use super::http::{Incoming, bearer};
use super::own::{body, carry_out, session};
use crate::api::{Code, Problem};
use crate::auth::Rights;
use crate::ledger::{Admin, LimitRule};

/// All caps; an empty list says "none" in so many words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Caps {
    caps: Vec<LimitRule>,
}

/// Replaces a customer's caps, for a session that may write.
pub async fn put(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let session = session(incoming, &bearer(incoming).unwrap_or_default())?;
    if session.rights != Rights::Write {
        let message = "This session may only look. Ask for one that may change your settings.";
        return Err(Problem::new(Code::Forbidden, message));
    }
    let Caps { caps } = body(incoming).await?;
    carry_out(incoming, session.customer.as_str(), Admin::PutCaps { caps }).await
}

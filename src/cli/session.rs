//! `farebox session`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::key::name;
use super::remote::Gate;
use super::{Failure, say};
use crate::auth::{Rights, Session};
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Make a dashboard link for one customer, good for at most an hour.
    New(NewArgs),
}

#[derive(clap::Args)]
pub(super) struct NewArgs {
    /// Whose dashboard.
    #[arg(long, value_parser = name)]
    customer: Name,
    /// How long it is good for.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Also allow changes to the customer's own settings.
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    gate: Gate,
}

pub(super) fn run(verb: &Verb, json: bool) -> Result<(), Failure> {
    let Verb::New(args) = verb;
    let rights = if args.write { Rights::Write } else { Rights::Read };
    let life = Millis::from_secs(args.seconds);
    let session = Session::new(args.customer.clone(), rights, now(), life);
    let ring = args.gate.secrets.ring("FAREBOX_SESSION_SECRETS")?;
    let token = session.text(&ring).ok_or("FAREBOX_SESSION_SECRETS holds no secret")?;
    let url = args.gate.url().map(|url| format!("{url}/#session={token}"));
    if json {
        let answer = json!({ "token": token, "expires_at": session.expires, "url": url });
        return say(&answer.to_string());
    }
    say(url.as_deref().unwrap_or(&token))
}

/// This machine's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

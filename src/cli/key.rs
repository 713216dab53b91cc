//! `farebox key` and `farebox customer`.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::remote::Gate;
use super::secrets::random;
use super::{Failure, say};
use crate::auth::{ApiKey, Mode};
use crate::ids::Name;
use crate::money::Exact;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Make a key, register it with the gate, and print it once.
    New(NewArgs),
    /// End a key at once.
    Revoke(RevokeArgs),
}

#[derive(clap::Args)]
pub(super) struct NewArgs {
    /// Whose key.
    #[arg(long, value_parser = name)]
    customer: Name,
    /// Which of the customer's keys; made up where none is given.
    #[arg(long, value_parser = name)]
    id: Option<Name>,
    /// Real traffic or trying things out.
    #[arg(long, value_enum, default_value = "live")]
    mode: ModeArg,
    /// What people call it.
    #[arg(long, default_value = "")]
    label: String,
    /// Make the key without registering it; prints what the gate has to be told.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    gate: Gate,
}

#[derive(clap::Args)]
pub(super) struct RevokeArgs {
    /// Whose key.
    #[arg(long, value_parser = name)]
    customer: Name,
    /// Which.
    #[arg(long, value_parser = name)]
    id: Name,
    #[command(flatten)]
    gate: Gate,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    Live,
    Test,
}

#[derive(clap::Subcommand)]
pub(super) enum CustomerVerb {
    /// Create a customer, or replace its limits.
    Put(PutArgs),
    /// Show where a customer stands.
    Show(ShowArgs),
}

#[derive(clap::Args)]
pub(super) struct PutArgs {
    /// Its name: lower-case letters and digits.
    #[arg(value_parser = name)]
    customer: Name,
    /// Currency of its limits and charges.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// A hard limit as WINDOW=AMOUNT, such as month=500; may be given several times.
    #[arg(long = "limit", value_parser = limit)]
    limits: Vec<(String, Exact)>,
    /// A soft limit, which warns and does not stop.
    #[arg(long = "soft", value_parser = limit)]
    soft: Vec<(String, Exact)>,
    /// Say so where there is to be no hard limit at all.
    #[arg(long, conflicts_with = "limits")]
    no_limit: bool,
    #[command(flatten)]
    gate: Gate,
}

#[derive(clap::Args)]
pub(super) struct ShowArgs {
    /// Its name.
    #[arg(value_parser = name)]
    customer: Name,
    #[command(flatten)]
    gate: Gate,
}

pub(super) fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|()| "must be 1 to 32 lower-case letters and digits".to_owned())
}

fn limit(text: &str) -> Result<(String, Exact), String> {
    let (window, amount) = text.split_once('=').ok_or("write it as WINDOW=AMOUNT")?;
    if !["day", "month", "lifetime"].contains(&window) {
        return Err("the window is one of day, month, lifetime".into());
    }
    let amount = amount.parse().map_err(|_| "the amount is not a plain decimal number")?;
    Ok((window.to_owned(), amount))
}

pub(super) fn run(verb: &Verb, json: bool) -> Result<(), Failure> {
    match verb {
        Verb::New(args) => new(args, json),
        Verb::Revoke(RevokeArgs { customer, id, gate }) => {
            gate.call("DELETE", &format!("customers/{customer}/keys/{id}"), &json!({}))?;
            done(&format!("Key {id} of {customer} no longer opens anything."), json)
        }
    }
}

fn done(text: &str, json: bool) -> Result<(), Failure> {
    if json { say(&json!({ "status": "done" }).to_string()) } else { say(text) }
}

fn new(args: &NewArgs, json: bool) -> Result<(), Failure> {
    let made_up = format!("k{}", data_encoding::HEXLOWER.encode(&random::<4>()?));
    let id = args.id.clone().map_or_else(|| name(&made_up), Ok)?;
    let mode = match args.mode {
        ModeArg::Live => Mode::Live,
        ModeArg::Test => Mode::Test,
    };
    let key = ApiKey::new(mode, args.customer.clone(), id.clone(), random()?);
    let ring = args.gate.secrets.ring("FAREBOX_KEY_SECRETS")?;
    let text = key.text(&ring).ok_or("FAREBOX_KEY_SECRETS holds no secret")?;
    let body = json!({ "secret_sha256": key.secret_sha256(), "label": args.label });
    let path = format!("customers/{}/keys/{id}", args.customer);
    if !args.offline {
        args.gate.call("PUT", &path, &body)?;
    }
    if json {
        let mut answer = json!({ "key": text, "key_id": id, "registered": !args.offline });
        if let Some(answer) = answer.as_object_mut().filter(|_| args.offline) {
            answer.insert("put".into(), json!({ "path": path, "body": body }));
        }
        return say(&answer.to_string());
    }
    say(&text)?;
    if args.offline {
        eprintln!("Not registered. The gate has to be told: PUT /v1/farebox/admin/{path} {body}");
    } else {
        eprintln!("Key {id} of {} is in force. It is shown this once.", args.customer);
    }
    Ok(())
}

pub(super) fn run_customer(verb: &CustomerVerb, json: bool) -> Result<(), Failure> {
    match verb {
        CustomerVerb::Put(args) => put(args, json),
        CustomerVerb::Show(ShowArgs { customer, gate }) => {
            let status = gate.call("GET", &format!("customers/{customer}"), &json!({}))?;
            say(&if json { status.to_string() } else { format!("{status:#}") })
        }
    }
}

fn put(args: &PutArgs, json: bool) -> Result<(), Failure> {
    if args.limits.is_empty() && !args.no_limit {
        return Err("give at least one --limit WINDOW=AMOUNT, or say --no-limit".into());
    }
    let rule = |kind: &str, (window, amount): &(String, Exact)| -> Value {
        json!({ "id": format!("{kind}{window}"), "window": window, "kind": kind, "limit": amount })
    };
    let hard = args.limits.iter().map(|limit| rule("hard", limit));
    let limits: Vec<Value> =
        hard.chain(args.soft.iter().map(|limit| rule("soft", limit))).collect();
    let body = json!({ "currency": args.currency, "limits": limits });
    args.gate.call("PUT", &format!("customers/{}", args.customer), &body)?;
    done(&format!("Customer {} is set.", args.customer), json)
}

//! `farebox book list` and `farebox book activate`: the versions a gate has.

use serde_json::{Value, json};

use super::push::at;
use crate::cli::remote::{Gate, encoded};
use crate::cli::{Failure, say};
use crate::clock::Timestamp;

/// Show which books a gate has, which applies, which will, and which did.
#[derive(clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    gate: Gate,
}

/// Make a pushed book apply. Back to an older version is the same.
#[derive(clap::Args)]
pub(in crate::cli) struct ActivateArgs {
    /// Its version.
    #[arg(value_name = "VERSION")]
    book: String,
    /// From when on, as 2026-12-01T00:00:00Z; without it, at once.
    #[arg(long, value_parser = at)]
    at: Option<Timestamp>,
    /// Who says so: kept with the activation.
    #[arg(long, default_value_t = user())]
    by: String,
    #[command(flatten)]
    gate: Gate,
}

/// Whoever is logged in on this machine.
pub(super) fn user() -> String {
    std::env::var("USER").unwrap_or_default()
}

pub(super) fn activation(
    gate: &Gate,
    version: &str,
    at: Option<Timestamp>,
    by: &str,
) -> Result<Value, Failure> {
    let mut how = json!({});
    if let Some(how) = how.as_object_mut() {
        at.map(|at| how.insert("at".into(), json!(at)));
        (!by.is_empty()).then(|| how.insert("by".into(), by.into()));
    }
    gate.call("POST", &format!("books/{}/activate", encoded(version)), &how)
}

/// `v2 applies from 2026-12-01T00:00:00.000Z on.`
pub(super) fn activation_line(activation: &Value) -> String {
    format!("{} applies from {} on.", text(activation, "version"), text(activation, "effective_at"))
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn activate(args: &ActivateArgs, json: bool) -> Result<(), Failure> {
    let done = activation(&args.gate, &args.book, args.at, &args.by)?;
    say(&if json { done.to_string() } else { activation_line(&done) })
}

pub(super) fn list(args: &ListArgs, json: bool) -> Result<(), Failure> {
    let listed = args.gate.call("GET", "books", &json!({}))?;
    if json {
        return say(&listed.to_string());
    }
    let each = |name: &str| -> Vec<Value> {
        match listed.get(name) {
            Some(Value::Array(values)) => values.clone(),
            Some(Value::Object(value)) => vec![Value::Object(value.clone())],
            _ => Vec::new(),
        }
    };
    for (name, word) in [("scheduled", "will apply"), ("active", "applies"), ("history", "applied")]
    {
        for activation in &each(name) {
            let by = match text(activation, "by") {
                by if by.is_empty() => by,
                by => format!(", by {by}"),
            };
            let (version, from) = (text(activation, "version"), text(activation, "effective_at"));
            let known = text(activation, "known_at");
            say(&format!("{word} from {from}: {version} (known {known}{by})"))?;
        }
    }
    if each("active").is_empty() {
        say(&format!("applies: {}, the configuration's own", text(&listed, "configured")))?;
    }
    for book in each("books") {
        let models = book.get("models").and_then(Value::as_u64).unwrap_or_default();
        let (version, pushed) = (text(&book, "version"), text(&book, "pushed_at"));
        say(&format!(
            "book {version}: {models} models, {}, pushed {pushed}",
            text(&book, "currency")
        ))?;
    }
    if let Some(problem) = listed.get("problem").filter(|problem| !problem.is_null()) {
        let (version, reason) = (text(problem, "version"), text(problem, "reason"));
        say(&format!("PROBLEM: {version} cannot be used: {reason}"))?;
    }
    Ok(())
}

//! `farebox credits`: what does a log of grants and uses come to?

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Failure, say};
use crate::credits::{Log, Replayed, replay};

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Replay a log of credit in the order of time; answers in JSON.
    Replay {
        /// {"until", "log": [{"at", "grant" | "recur" | "void" | "use" | "hold" | "settle"}]}
        log: PathBuf,
    },
}

pub(super) fn run(verb: &Verb) -> Result<(), Failure> {
    let Verb::Replay { log: path } = verb;
    let told = |error: String| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    let log = Log::parse(&text).map_err(|faults| told(faults.to_string()))?;
    let replayed =
        replay(&log.entries, log.policy, log.until).map_err(|error| told(error.to_string()))?;
    say(&shown(&replayed).map_err(|error| told(error.to_string()))?.to_string())
}

fn shown(replayed: &Replayed) -> Result<Value, crate::money::OutOfRange> {
    let grants = replayed.grants.values().map(|state| {
        json!({ "id": state.grant.id, "amount": state.grant.amount, "spent": state.spent,
                "held": state.held, "left": state.left, "expired": state.expired,
                "voided": state.voided, "carried_on": state.carried_on, "repaid": state.repaid })
    });
    let covered = replayed.covered.iter().map(|(id, covered)| {
        let parts =
            covered.parts.iter().map(|(grant, amount)| json!({ "grant": grant, "amount": amount }));
        json!({ "id": id, "parts": parts.collect::<Vec<_>>(), "owed": covered.owed,
                "uncovered": covered.uncovered })
    });
    Ok(json!({ "balance": replayed.balance()?, "owed": replayed.owed,
               "grants": grants.collect::<Vec<_>>(), "covered": covered.collect::<Vec<_>>() }))
}

//! `farebox plan`: is a plan sound, and what does a period's usage come to under it?

use std::fs;
use std::path::{Path, PathBuf};

use super::{Failure, file, say};
use crate::plan::{LineKind, Plan, Priced, SCHEMA, Usage};
use crate::strict::Faults;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Check plan files; tells every fault and where it is.
    Check {
        /// Plan files.
        #[arg(required = true)]
        plans: Vec<PathBuf>,
    },
    /// Print the JSON Schema of plan files, for editors.
    Schema,
    /// Price what was used in one period.
    Price {
        /// A plan file.
        plan: PathBuf,
        /// What was used: a JSON file, or `-` for standard input.
        #[arg(long)]
        usage: PathBuf,
    },
}

pub(super) fn run(verb: &Verb, json: bool) -> Result<(), Failure> {
    match verb {
        Verb::Check { plans } => {
            let faulty: Vec<Failure> = plans.iter().filter_map(|plan| check(plan).err()).collect();
            if faulty.is_empty() { Ok(()) } else { Err(faulty.join("\n")) }
        }
        Verb::Schema => say(SCHEMA.trim_end()),
        Verb::Price { plan, usage } => {
            let faults = |path: &Path, faults: &Faults| format!("{}: {faults}", path.display());
            let parsed = Plan::parse(&file::terms(plan)?).map_err(|list| faults(plan, &list))?;
            let used = Usage::parse(&read(usage)?).map_err(|list| faults(usage, &list))?;
            let priced = parsed
                .price(&used)
                .map_err(|fault| format!("{}: {}: {fault}", usage.display(), fault.code))?;
            show(&priced, json)
        }
    }
}

fn check(path: &Path) -> Result<(), Failure> {
    let plan = Plan::parse(&file::terms(path)?).map_err(|faults| {
        let each = faults.list().iter().map(|fault| format!("{}: {fault}", path.display()));
        each.collect::<Vec<_>>().join("\n")
    })?;
    say(&format!("{}: {} {} is sound", path.display(), plan.plan, plan.version))
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|error| format!("{}: {error}", path.display()))
}

fn show(priced: &Priced, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(priced).map_err(|error| error.to_string())?;
        return say(&text);
    }
    say(&format!("{} {} · {} {}", priced.plan, priced.version, priced.amount, priced.currency))?;
    for line in &priced.lines {
        let kind = match line.kind {
            LineKind::Charge | LineKind::Fee => String::new(),
            kind => format!(" ({kind:?})").to_lowercase(),
        };
        let mut place = String::new();
        for (name, value) in &line.dimensions {
            place.push_str(&format!(" {name}={value}"));
        }
        let used = line.quantity.map(|quantity| format!(" · {quantity}")).unwrap_or_default();
        let credits =
            line.credits.map(|credits| format!(" · {credits} credits")).unwrap_or_default();
        say(&format!("{:>14}  {}{kind}{place}{used}{credits}", line.amount.to_string(), line.id))?;
    }
    for balance in &priced.balances {
        let (kind, id) = (balance.kind, &balance.id);
        say(&format!(
            "  {kind} {id}: {} of {} used, {} left",
            balance.used, balance.of, balance.left
        ))?;
    }
    if let (Some(cost), Some(margin)) = (priced.cost, priced.margin) {
        say(&format!("  cost {cost} · margin {margin}"))?;
    }
    Ok(())
}

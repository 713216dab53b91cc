//! `farebox replay --plan`: recorded usage under a plan, customer by customer and period by period.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::Progress;
use super::{Failure, archive, book, file, say};
use crate::book::{Book, DEFAULT};
use crate::calendar::Calendar;
use crate::clock::Timestamp;
use crate::plan::Plan;
use crate::replay::whatif::{By, WhatIf};
use crate::strict::Faults;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// How the periods run.
#[derive(clap::Args)]
pub(super) struct Calendars {
    /// Under a plan: the IANA zone of the customers' calendar.
    #[arg(long, default_value = "UTC", requires = "plan", conflicts_with = "book")]
    zone: String,
    /// Under a plan: an instant at which a period starts. Absent: the calendar's own months.
    #[arg(long, requires = "plan", conflicts_with = "book", value_parser = time)]
    anchor: Option<Timestamp>,
    /// Under a plan that tells models apart: the book that names them. Absent: the built-in one.
    #[arg(long, requires = "plan", conflicts_with = "book")]
    names: Option<PathBuf>,
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|()| "must be a time such as 2026-12-01T00:00:00Z")
}

pub(super) fn run(
    records: &Path,
    plan: &Path,
    calendar: &Calendars,
    (json, progress): (bool, bool),
) -> Result<(), Failure> {
    let text = file::terms(plan)?;
    let in_plan = |faults: Faults| {
        let each = faults.list().iter().map(|fault| format!("{}: {fault}", plan.display()));
        each.collect::<Vec<_>>().join("\n")
    };
    let read = Plan::parse(&text).map_err(in_plan)?;
    let periods = match calendar.anchor {
        Some(anchor) => Calendar::new(&calendar.zone, anchor, read.period),
        None => Calendar::aligned(&calendar.zone, read.period),
    }
    .map_err(|error| error.to_string())?;
    let names = match &calendar.names {
        Some(names) => book::read(names)?,
        None => Book::parse(DEFAULT).map_err(|error| error.to_string())?,
    };
    let by = By::Plan(Box::new(read), Box::new(periods), Box::new(names));
    let mut what_if = WhatIf::new(by).map_err(in_plan)?;
    stream(records, progress, &mut what_if)?;
    let report: Value =
        serde_json::from_str(&what_if.finish()).map_err(|error| error.to_string())?;
    if let Some(error) = report.get("error") {
        return Err(text_of(error, "message"));
    }
    if json {
        tell_json(&report)?;
    } else {
        tell(&report)?;
    }
    faults(&report)
}

/// Every file of an archive, in parts.
fn stream(path: &Path, progress: bool, what_if: &mut WhatIf) -> Result<(), Failure> {
    let files = archive::files(path)?;
    let failed = |file: &Path, error: std::io::Error| format!("{}: {error}", file.display());
    let mut total = 0_u64;
    for file in &files {
        total += file.metadata().map_err(|error| failed(file, error))?.len();
    }
    let mut bar = Progress::new(total, progress);
    let mut chunk = vec![0; CHUNK];
    for file in &files {
        let mut opened = File::open(file).map_err(|error| failed(file, error))?;
        what_if.file(&file.display().to_string());
        loop {
            let read = opened.read(&mut chunk).map_err(|error| failed(file, error))?;
            if read == 0 {
                break;
            }
            what_if.push(chunk.get(..read).unwrap_or_default());
            bar.add(read);
        }
    }
    bar.end();
    Ok(())
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts<'v>(value: &'v Value, name: &str) -> Vec<&'v str> {
    list(value, name).iter().filter_map(Value::as_str).collect()
}

/// A text; of anything else, its JSON.
fn text_of(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}

/// One line a period, then the totals, as under a book.
fn tell_json(report: &Value) -> Result<(), Failure> {
    list(report, "periods").iter().try_for_each(|row| say(&row.to_string()))?;
    let mut totals = report.clone();
    if let Some(totals) = totals.as_object_mut() {
        totals.remove("periods");
    }
    say(&json!({ "totals": totals }).to_string())
}

fn tell(report: &Value) -> Result<(), Failure> {
    for row in list(report, "periods") {
        let (customer, start) = (text_of(row, "customer"), text_of(row, "start"));
        let (old, new) = (text_of(row, "old"), text_of(row, "new"));
        say(&format!("{customer} {start}: {old} -> {new} ({})", text_of(row, "difference")))?;
        for line in list(row, "lines") {
            let kind = line.get("kind").map(|_| format!("{} ", text_of(line, "kind")));
            let name = ["meter", "id"].iter().find(|name| line.get(**name).is_some());
            let name = name.map(|name| text_of(line, name)).unwrap_or_default();
            let label = format!("{}{name}", kind.unwrap_or_default());
            let (old, new) = (text_of(line, "old"), text_of(line, "new"));
            say(&format!(
                "  {}: {old} -> {new} ({})",
                label.trim_end(),
                text_of(line, "difference")
            ))?;
        }
        let missing = texts(row, "not_in_plan");
        if !missing.is_empty() {
            let charged = text_of(row, "left_out");
            say(&format!("  not in the plan: {} (charged {charged})", missing.join(", ")))?;
        }
    }
    say(&format!("{} attempts", text_of(report, "attempts")))?;
    let (old, new) = (text_of(report, "old"), text_of(report, "new"));
    let (currency, difference) = (text_of(report, "currency"), text_of(report, "difference"));
    say(&format!("{old} -> {new} {currency} ({difference})"))
}

/// What is in no sum makes the command fail, after all that is.
fn faults(report: &Value) -> Result<(), Failure> {
    let mut faults = Vec::new();
    if let Some(errors) = report.get("errors") {
        let told = list(errors, "first").iter();
        faults.extend(told.map(|fault| {
            format!(
                "{}, line {}: {} ({})",
                text_of(fault, "file"),
                text_of(fault, "line"),
                text_of(fault, "message"),
                text_of(fault, "code")
            )
        }));
        let more = errors.get("count").and_then(Value::as_u64).unwrap_or(0);
        let more = more.saturating_sub(faults.len() as u64);
        if more > 0 {
            faults.push(format!("and {more} lines more"));
        }
    }
    for row in list(report, "periods") {
        if let Some(error) = row.get("error") {
            let (customer, start) = (text_of(row, "customer"), text_of(row, "start"));
            faults.push(format!(
                "{customer} {start}: {} ({})",
                text_of(error, "message"),
                text_of(error, "code")
            ));
        }
    }
    for row in list(report, "unpriced") {
        let (model, attempts) = (text_of(row, "model"), text_of(row, "attempts"));
        let code = row.get("error").map(|error| text_of(error, "code")).unwrap_or_default();
        faults.push(format!(
            "{model}: {attempts} attempts in {} not priced ({code})",
            text_of(row, "currency")
        ));
    }
    let missing = texts(report, "not_in_plan");
    if !missing.is_empty() {
        let (charged, currency) = (text_of(report, "left_out"), text_of(report, "currency"));
        faults.push(format!(
            "the plan has no price for {}: it is in no sum, and was charged {charged} {currency}",
            missing.join(", ")
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

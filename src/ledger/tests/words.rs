//! Replies, records and rows in words, for scripts.

use std::collections::BTreeMap;

use super::harness::{attempt_name, limit_words};
use crate::ledger::*;
use crate::record::Record;

pub fn snake(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

pub fn succeeded(answer: &str) -> bool {
    let words = ["refused", "conflict", "unknown", "expired", "invalid", "broken", "stale"];
    !words.iter().any(|word| answer.starts_with(word))
}

pub fn words_of(reply: &Reply) -> String {
    match reply {
        Reply::Held { remaining: None, .. } => "held".into(),
        Reply::Held { remaining: Some(left), .. } => format!("held, {left} left"),
        Reply::Standing(limits) => {
            let words = |limit: &LimitView| format!("{} {}", limit.id, limit_words(limit));
            limits.iter().map(words).collect::<Vec<_>>().join("; ")
        }
        Reply::Refused(refusal) => match &refusal.limit {
            None => {
                let charged = refusal.earlier.as_ref().and_then(|earlier| earlier.charged);
                let charged = charged.map(|charged| format!(" at {charged}")).unwrap_or_default();
                format!("refused {}{charged}", snake(&refusal.code))
            }
            Some(limit) => format!("refused {} by {}", snake(&refusal.code), limit.id),
        },
        Reply::StalePrice { .. } => "stale price".into(),
        Reply::Closed { seq, charged, replayed: false } => format!("closed {seq} at {charged}"),
        Reply::Closed { seq, charged, replayed: true } => format!("replayed {seq} at {charged}"),
        Reply::Conflict { seq } => format!("conflict with {seq}"),
        Reply::UnknownAttempt => "unknown attempt".into(),
        Reply::Expired => "expired".into(),
        Reply::Done => "done".into(),
        Reply::Outlook(outlook) => super::alerts::outlook_words(outlook),
        Reply::Invalid(problem) => format!("invalid: {problem}"),
        Reply::Status(snapshot) => {
            let Snapshot { spend, status, .. } = &**snapshot;
            let SpendView { settled, held, open, exposure, .. } = spend;
            let word = snake(status);
            format!("{word} settled {settled} held {held} open {open} exposure {exposure}")
        }
    }
}

pub fn record_words(record: &Record) -> String {
    let Record { seq, amount, .. } = record;
    let mut words =
        format!("{seq} {} {} {amount}", attempt_name(record.attempt_id), snake(&record.class));
    if let (Some(corrects), Some(previous)) = (record.corrects, record.previous) {
        words.push_str(&format!(" corrects {corrects} of {previous}"));
    }
    for flag in &record.flags {
        words.push_str(&format!(" {}", snake(flag)));
    }
    words
}

pub fn kind(row: &Row) -> &'static str {
    match row {
        Row::PutHold(_) => "hold",
        Row::ExpireHold(_) => "expire",
        Row::DeleteHold(_) => "delete",
        Row::PutRecord(_) => "record",
        Row::PutHour(..) => "hour",
        Row::DropHours(_) => "drop hours",
        Row::PutUse(..) => "use",
        Row::DropUse(..) => "drop uses",
        Row::PutMinute(..) => "minute",
        Row::PutRefusals(..) => "refusal",
        Row::PutOnce { .. } => "once",
        Row::PutAccount(_) => "account",
        Row::PutKey(_) => "key",
        Row::PutInForce(_) => "in force",
        Row::PutJob(..) => "job",
        Row::Batch(BatchRow::Batch(..)) => "batch",
        Row::Batch(BatchRow::Line(..)) => "line",
        Row::Batch(BatchRow::File(..)) => "file",
        Row::Batch(BatchRow::ForgetFiles(_)) => "forget",
        Row::PutSubject { .. } => "subject",
        Row::PutTerms(_) | Row::DropTerms(_) => "terms",
        Row::PutPlanUse(_) | Row::DropPlanUses(..) => "plan use",
        Row::PutCredit(..) => "credit",
        Row::Alerts(AlertRow::Raise { .. }) => "alert",
        Row::Alerts(AlertRow::Settings(_)) => "alert settings",
        Row::Alerts(AlertRow::Model(..) | AlertRow::DropWeek(_)) => "week",
    }
}

pub fn counted(kinds: &[&'static str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

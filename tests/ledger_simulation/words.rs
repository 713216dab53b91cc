//! Answers and records in words, as the auditor says them.

use farebox::ledger::{Ledger, Outcome, Reply};
use farebox::record::Record;

/// All that shows of a ledger after a command.
pub fn seen(outcome: &Outcome, ledger: &Ledger) -> String {
    format!("{outcome:?} {:?} {:?}", ledger.head(), ledger.next_expiry())
}

pub fn words(reply: &Reply) -> String {
    match reply {
        Reply::Held { expires_at, remaining: None, .. } => format!("held until {expires_at}"),
        Reply::Held { expires_at, remaining: Some(left), .. } => {
            format!("held until {expires_at} left {left}")
        }
        Reply::Refused(refusal) => match &refusal.limit {
            None => format!("refused {:?}", refusal.code),
            Some(limit) => format!(
                "refused {:?} by {} settled {} held {}",
                refusal.code, limit.id, limit.settled, limit.held
            ),
        },
        Reply::StalePrice { now } => format!("stale price at {now}"),
        Reply::Closed { seq, charged, replayed: false } => format!("closed {seq} at {charged}"),
        Reply::Closed { seq, charged, replayed: true } => format!("replayed {seq} at {charged}"),
        Reply::Conflict { seq } => format!("conflict with {seq}"),
        Reply::UnknownAttempt => "unknown attempt".into(),
        Reply::Expired => "expired".into(),
        Reply::Standing(_) | Reply::Outlook(_) => unreachable!("not of the workload"),
        Reply::Done => "done".into(),
        Reply::Invalid(problem) => format!("invalid: {problem}"),
        Reply::Status(snapshot) => {
            let spend = &snapshot.spend;
            let (settled, held, open) = (spend.settled, spend.held, spend.open);
            let mut words =
                format!("status {settled} {held} {open} {} {}", spend.exposure, snapshot.head.seq);
            for limit in &snapshot.limits {
                words.push_str(&format!("; {} {} {}", limit.id, limit.settled, limit.held));
            }
            words
        }
    }
}

pub fn record_words(record: &Record) -> String {
    let class = serde_json::to_value(record.class).unwrap();
    let mut words = format!("{} {} {}", record.attempt_id, class.as_str().unwrap(), record.amount);
    if let (Some(corrects), Some(previous)) = (record.corrects, record.previous) {
        words.push_str(&format!(" corrects {corrects} of {previous}"));
    }
    for flag in &record.flags {
        let flag = serde_json::to_value(flag).unwrap();
        words.push_str(&format!(" {}", flag.as_str().unwrap()));
    }
    words
}

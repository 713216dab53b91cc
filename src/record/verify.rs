//! Checks archived records: bytes, signatures, and that none is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::seal::{Digest, SealedLine, canonical};
use super::{Class, FORMAT, Record};
use crate::auth::Ring;
use crate::ids::Name;
use crate::money::Exact;

/// The answer to "can these be trusted?", in order of the command's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Every record is good and none is missing.
    Ok,
    /// Bad bytes, hash or signature.
    Invalid,
    /// A hole in the sequence.
    Gap,
    /// Something that was promised is absent.
    Missing,
    /// Two contents for one position.
    Fork,
}

/// The first thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whose chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Name>,
    /// The first bad sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub problem: String,
}

/// A statement that a chain had a certain record: what `--expect` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Whose chain.
    pub customer: Name,
    /// Position.
    pub seq: u64,
    /// SHA-256 of that record's canonical bytes.
    pub hash: Digest,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// How many records were read.
    pub records: u64,
    /// How many chains (customers).
    pub chains: u64,
    /// Sum of all amounts, by currency.
    pub totals: BTreeMap<String, Exact>,
    /// The first problem, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// Why checking stopped.
type Bad = (Verdict, Finding);

fn bad<T>(
    verdict: Verdict,
    at: Option<(&Name, u64)>,
    problem: impl Into<String>,
) -> Result<T, Bad> {
    let (customer, seq) = at.map(|(name, seq)| (name.clone(), seq)).unzip();
    Err((verdict, Finding { customer, seq, problem: problem.into() }))
}

/// Checks archive lines, in any order, possibly repeated, of any number of customers.
pub fn verify<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    ring: &Ring,
    expected: Option<&Expected>,
) -> Report {
    let mut chains: BTreeMap<Name, BTreeMap<u64, Checked>> = BTreeMap::new();
    let mut report = Report {
        verdict: Verdict::Ok,
        records: 0,
        chains: 0,
        totals: BTreeMap::new(),
        finding: None,
    };
    let found = lines
        .into_iter()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .try_for_each(|(at, line)| add(&mut chains, at, line, ring))
        .and_then(|()| chains.iter().try_for_each(|(name, chain)| check_chain(name, chain)))
        .and_then(|()| expected.map_or(Ok(()), |expected| check_expected(&chains, expected)))
        .and_then(|()| totals(&chains, &mut report.totals));
    report.chains = u64::try_from(chains.len()).unwrap_or(u64::MAX);
    let records = chains.values().map(BTreeMap::len).sum::<usize>();
    report.records = u64::try_from(records).unwrap_or(u64::MAX);
    if let Err((verdict, finding)) = found {
        report.verdict = verdict;
        report.finding = Some(finding);
    }
    report
}

/// What checking the chain still needs of a record.
struct Checked {
    hash: Digest,
    prev: Digest,
    amount: Exact,
    currency: String,
}

fn add(
    chains: &mut BTreeMap<Name, BTreeMap<u64, Checked>>,
    at: usize,
    line: &str,
    ring: &Ring,
) -> Result<(), Bad> {
    let place = format!("line {}", at.saturating_add(1));
    let sealed: SealedLine<'_> = match serde_json::from_str(line) {
        Ok(sealed) => sealed,
        Err(error) => return bad(Verdict::Invalid, None, format!("{place} is no record: {error}")),
    };
    let bytes = sealed.record.get();
    let record: Record = match serde_json::from_str(bytes) {
        Ok(record) => record,
        Err(error) => {
            return bad(
                Verdict::Invalid,
                None,
                format!("{place} holds no readable record: {error}"),
            );
        }
    };
    let position = Some((&record.customer, record.seq));
    if record.v != FORMAT {
        let problem = format!("record format {} is not known to this version", record.v);
        return bad(Verdict::Invalid, position, problem);
    }
    let value: Option<serde_json::Value> = serde_json::from_str(bytes).ok();
    if value.and_then(|value| canonical(&value)).as_deref() != Some(bytes) {
        return bad(Verdict::Invalid, position, "the bytes are not in canonical form (RFC 8785)");
    }
    let signature = &sealed.signature;
    if signature.alg != "HMAC-SHA256"
        || !ring.verify_bytes(signature.key_id, bytes.as_bytes(), &signature.tag.0)
    {
        return bad(Verdict::Invalid, position, "the signature does not fit the bytes and the key");
    }
    check_private(&sealed, &record)?;
    check_amount(&record)?;
    let checked = Checked {
        hash: Digest::of(&[bytes.as_bytes()]),
        prev: record.prev,
        amount: record.amount,
        currency: record.admitted.currency.clone(),
    };
    let chain = chains.entry(record.customer.clone()).or_default();
    match chain.insert(record.seq, checked) {
        Some(other) if chain.get(&record.seq).is_some_and(|this| this.hash != other.hash) => {
            bad(Verdict::Fork, position, "two different records stand at this position")
        }
        _ => Ok(()),
    }
}

fn check_private(sealed: &SealedLine<'_>, record: &Record) -> Result<(), Bad> {
    let position = Some((&record.customer, record.seq));
    match (sealed.private, sealed.salt) {
        (None, None) => Ok(()), // a customer's copy
        (Some(private), Some(salt)) => {
            if Digest::of(&[&salt.0, private.get().as_bytes()]) == record.private {
                Ok(())
            } else {
                bad(Verdict::Invalid, position, "the private part is not the one the record names")
            }
        }
        _ => bad(Verdict::Invalid, position, "private part and salt come together or not at all"),
    }
}

/// The amount must follow from the record's own lines.
fn check_amount(record: &Record) -> Result<(), Bad> {
    let sums = || {
        for line in record.all_lines() {
            if line.rate.times(line.quantity).ok()?.over(line.per).ok()? != line.amount {
                return None;
            }
        }
        if record.plan.as_ref().is_some_and(|plan| !plan.adds_up()) {
            return None;
        }
        let lines = Exact::sum(record.amounts()).ok()?;
        lines.minus(record.previous.unwrap_or(Exact::ZERO)).ok()
    };
    // What nobody reported is charged at a floor, which rests on the hold and not on lines.
    let is_floor = record.class == Class::Unresolved && record.lines.is_empty();
    let within_hold = !record.amount.is_negative() && record.amount <= record.admitted.held;
    if (is_floor && within_hold) || sums() == Some(record.amount) {
        Ok(())
    } else {
        let position = Some((&record.customer, record.seq));
        bad(Verdict::Invalid, position, "the amount is not the sum of the record's lines")
    }
}

fn check_chain(customer: &Name, chain: &BTreeMap<u64, Checked>) -> Result<(), Bad> {
    let mut before: Option<(u64, Digest)> = None;
    for (seq, record) in chain {
        let (last, hash) = before.unwrap_or_default();
        if *seq != last.saturating_add(1) {
            let missing = last.saturating_add(1);
            let problem = format!("records {missing} to {} are not here", seq.saturating_sub(1));
            return bad(Verdict::Gap, Some((customer, missing)), problem);
        }
        if record.prev != hash {
            let problem = "`prev` is not the hash of the record before";
            return bad(Verdict::Invalid, Some((customer, *seq)), problem);
        }
        before = Some((*seq, record.hash));
    }
    Ok(())
}

fn check_expected(
    chains: &BTreeMap<Name, BTreeMap<u64, Checked>>,
    expected: &Expected,
) -> Result<(), Bad> {
    let position = Some((&expected.customer, expected.seq));
    match chains.get(&expected.customer).and_then(|chain| chain.get(&expected.seq)) {
        None => bad(Verdict::Missing, position, "this record was promised and is not here"),
        Some(record) if record.hash != expected.hash => {
            bad(Verdict::Fork, position, "this record is not the one that was promised")
        }
        Some(_) => Ok(()),
    }
}

fn totals(
    chains: &BTreeMap<Name, BTreeMap<u64, Checked>>,
    totals: &mut BTreeMap<String, Exact>,
) -> Result<(), Bad> {
    for record in chains.values().flat_map(BTreeMap::values) {
        let total = totals.entry(record.currency.clone()).or_default();
        match total.plus(record.amount) {
            Ok(sum) => *total = sum,
            Err(error) => return bad(Verdict::Invalid, None, format!("the total: {error}")),
        }
    }
    Ok(())
}

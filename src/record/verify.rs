//! Checks archived records: bytes, signatures, and that none is missing.

mod chain;
mod one;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::receipt::Receipt;
use super::seal::Digest;
use crate::auth::Ring;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name};
use crate::money::Exact;
pub use one::Checked;
use one::Link;

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
    /// How many of the records lie under a signed checkpoint.
    pub covered: u64,
    /// Receipts whose record is not here, and not due yet either.
    pub pending: u64,
    /// Sum of all amounts, by currency.
    pub totals: BTreeMap<String, Exact>,
    /// The first problem, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// What records are checked by.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    /// The record secrets; the operator's alone. Without them a signature is not checked, and only
    /// checkpoints vouch for the records.
    pub ring: Option<&'a Ring>,
    /// A promise of one record.
    pub expected: Option<&'a Expected>,
    /// Checkpoints, opened: see [`PublicKeys::read`](super::checkpoint::PublicKeys::read).
    pub checkpoints: Vec<Checkpoint>,
    /// Receipts, opened.
    pub receipts: Vec<Receipt>,
}

/// Why checking stopped.
pub type Bad = (Verdict, Finding);

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
    let mut audit = Audit::new(Evidence { ring: Some(ring), expected, ..Evidence::default() });
    lines.into_iter().for_each(|line| audit.line(line));
    audit.finish()
}

/// A check under way: give it every line, in any order, and finish. What it keeps of a record is a
/// hundred bytes.
pub struct Audit<'a> {
    evidence: Evidence<'a>,
    chains: BTreeMap<Name, Chain>,
    totals: BTreeMap<String, Exact>,
    lines: u64,
    /// The first problem; what comes after it is only counted.
    found: Option<Bad>,
}

/// One customer's records, so far.
#[derive(Default)]
struct Chain {
    records: BTreeMap<u64, Link>,
    checkpoints: Vec<Checkpoint>,
    /// Attempts that receipts promise a record of.
    awaited: BTreeMap<AttemptId, Receipt>,
    /// The latest time that anything here speaks of.
    latest: Option<Timestamp>,
}

impl<'a> Audit<'a> {
    /// Begins a check by `evidence`.
    pub fn new(mut evidence: Evidence<'a>) -> Self {
        let mut chains: BTreeMap<Name, Chain> = BTreeMap::new();
        let mut found = None;
        for checkpoint in core::mem::take(&mut evidence.checkpoints) {
            if let Some(customer) = checkpoint.customer() {
                chains.entry(customer).or_default().checkpoints.push(checkpoint);
            } else {
                let problem = format!("the log {:?} names no customer", checkpoint.origin);
                found = bad::<()>(Verdict::Invalid, None, problem).err();
            }
        }
        for receipt in core::mem::take(&mut evidence.receipts) {
            let chain = chains.entry(receipt.customer.clone()).or_default();
            chain.awaited.insert(receipt.attempt_id, receipt);
        }
        Self { evidence, chains, totals: BTreeMap::new(), lines: 0, found }
    }

    /// Checks the next line of an archive.
    pub fn line(&mut self, line: &str) {
        self.take(Checked::read(line, self.evidence.ring));
    }

    /// Takes the next line of an archive, checked by itself: that can be done anywhere.
    pub fn take(&mut self, checked: Result<Option<Checked>, Bad>) {
        self.lines = self.lines.saturating_add(1);
        if self.found.is_some() {
            return;
        }
        self.found = match checked {
            Ok(None) => None,
            Ok(Some(checked)) => self.add(checked).err(),
            Err((verdict, mut finding)) => {
                if finding.seq.is_none() {
                    finding.problem = format!("line {}: {}", self.lines, finding.problem);
                }
                Some((verdict, finding))
            }
        };
    }

    /// What came of it.
    pub fn finish(mut self) -> Report {
        let mut pending = 0;
        let mut covered = 0;
        if self.found.is_none() {
            self.found = self
                .chains
                .iter()
                .try_for_each(|(name, chain)| {
                    check_chain(name, &chain.records)?;
                    covered = chain::covered(name, chain)?.saturating_add(covered);
                    pending = chain::pending(name, chain)?.saturating_add(pending);
                    Ok(())
                })
                .and_then(|()| {
                    self.evidence
                        .expected
                        .map_or(Ok(()), |expected| check_expected(&self.chains, expected))
                })
                .err();
        }
        let with_records = self.chains.values().filter(|chain| !chain.records.is_empty()).count();
        let records = self.chains.values().map(|chain| chain.records.len()).sum::<usize>();
        let (verdict, finding) = self.found.unzip();
        Report {
            verdict: verdict.unwrap_or(Verdict::Ok),
            records: u64::try_from(records).unwrap_or(u64::MAX),
            chains: u64::try_from(with_records).unwrap_or(u64::MAX),
            covered,
            pending,
            totals: self.totals,
            finding,
        }
    }
}

impl Audit<'_> {
    fn add(&mut self, checked: Checked) -> Result<(), Bad> {
        let Checked { customer, seq, attempt_id, recorded_at, currency, amount, link } = checked;
        let chain = self.chains.entry(customer.clone()).or_default();
        chain.awaited.remove(&attempt_id);
        chain.latest = chain.latest.max(Some(recorded_at));
        match chain.records.get(&seq) {
            Some(other) if other.hash != link.hash => {
                let problem = "two different records stand at this position";
                return bad(Verdict::Fork, Some((&customer, seq)), problem);
            }
            Some(_) => return Ok(()),
            None => chain.records.insert(seq, link),
        };
        let total = self.totals.entry(currency).or_default();
        match total.plus(amount) {
            Ok(sum) => *total = sum,
            Err(error) => return bad(Verdict::Invalid, None, format!("the total: {error}")),
        }
        Ok(())
    }
}

fn check_chain(customer: &Name, chain: &BTreeMap<u64, Link>) -> Result<(), Bad> {
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

fn check_expected(chains: &BTreeMap<Name, Chain>, expected: &Expected) -> Result<(), Bad> {
    let position = Some((&expected.customer, expected.seq));
    match chains.get(&expected.customer).and_then(|chain| chain.records.get(&expected.seq)) {
        None => bad(Verdict::Missing, position, "this record was promised and is not here"),
        Some(record) if record.hash != expected.hash => {
            bad(Verdict::Fork, position, "this record is not the one that was promised")
        }
        Some(_) => Ok(()),
    }
}

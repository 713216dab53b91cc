//! One archived record by itself: its bytes, its signature, and that its amount follows from it.

use super::{Bad, Verdict, bad};
use crate::auth::Ring;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name};
use crate::money::Exact;
use crate::record::seal::{Digest, SealedLine};
use crate::record::{Class, FORMAT, Record, tree};

/// A record that is good by itself, and what checking its chain needs of it.
#[derive(Debug)]
pub struct Checked {
    pub(super) customer: Name,
    pub(super) seq: u64,
    pub(super) attempt_id: AttemptId,
    pub(super) recorded_at: Timestamp,
    pub(super) currency: String,
    pub(super) amount: Exact,
    pub(super) link: Link,
}

/// A record's place in the chain.
#[derive(Debug)]
pub(super) struct Link {
    pub hash: Digest,
    pub prev: Digest,
    pub leaf: Digest,
}

impl Checked {
    /// Checks a line of an archive; `None` for an empty one. Without `ring` no signature is checked.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(line: &str, ring: Option<&Ring>) -> Result<Option<Self>, Bad> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let sealed: SealedLine<'_> = match serde_json::from_str(line) {
            Ok(sealed) => sealed,
            Err(error) => {
                return bad(Verdict::Invalid, None, format!("this is no record: {error}"));
            }
        };
        let bytes = sealed.record.get();
        let record: Record = match serde_json::from_str(bytes) {
            Ok(record) => record,
            Err(error) => {
                let problem = format!("this holds no readable record: {error}");
                return bad(Verdict::Invalid, None, problem);
            }
        };
        check_record(&sealed, &record, ring)?;
        let link = Link {
            hash: Digest::of(&[bytes.as_bytes()]),
            prev: record.prev,
            leaf: tree::leaf(bytes.as_bytes()),
        };
        let Record { customer, seq, attempt_id, recorded_at, admitted, amount, .. } = record;
        let currency = admitted.currency;
        Ok(Some(Self { customer, seq, attempt_id, recorded_at, currency, amount, link }))
    }
}

fn check_record(sealed: &SealedLine<'_>, record: &Record, ring: Option<&Ring>) -> Result<(), Bad> {
    let (bytes, position) = (sealed.record.get(), Some((&record.customer, record.seq)));
    if record.v != FORMAT {
        let problem = format!("record format {} is not known to this version", record.v);
        return bad(Verdict::Invalid, position, problem);
    }
    // What was read, written again: fields that are not known would be missing.
    if record.canonical().as_deref() != Some(bytes) {
        let problem = "the bytes are not in canonical form (RFC 8785)";
        return bad(Verdict::Invalid, position, problem);
    }
    let signature = &sealed.signature;
    let signed =
        |ring: &Ring| ring.verify_bytes(signature.key_id, bytes.as_bytes(), &signature.tag.0);
    if signature.alg != "HMAC-SHA256" || !ring.is_none_or(signed) {
        let problem = "the signature does not fit the bytes and the key";
        return bad(Verdict::Invalid, position, problem);
    }
    check_private(sealed, record)?;
    check_amount(record)
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
    let is_floor = record.class == Class::Unresolved && record.amounts().next().is_none();
    let charged = record.amount.plus(record.previous.unwrap_or(Exact::ZERO));
    let within_hold =
        charged.is_ok_and(|charged| !charged.is_negative() && charged <= record.admitted.held);
    if (is_floor && within_hold) || sums() == Some(record.amount) {
        Ok(())
    } else {
        let position = Some((&record.customer, record.seq));
        bad(Verdict::Invalid, position, "the amount is not the sum of the record's lines")
    }
}

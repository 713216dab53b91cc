//! A chain against what was said of it: checkpoints and receipts.

use std::collections::BTreeMap;

use super::{Bad, Chain, Verdict, bad};
use crate::ids::Name;
use crate::record::checkpoint::Checkpoint;
use crate::record::tree::Frontier;

/// Checks every checkpoint against the records. How many of them lie under one.
///
/// The chain has no hole. A checkpoint over more records than there are shows that the end is
/// missing; one over other records, or two of one size that differ, that there are two chains.
pub(super) fn covered(customer: &Name, chain: &Chain) -> Result<u64, Bad> {
    let mut by_size: BTreeMap<u64, &Checkpoint> = BTreeMap::new();
    for checkpoint in &chain.checkpoints {
        let other = by_size.insert(checkpoint.size, checkpoint);
        if other.is_some_and(|other| said(other) != said(checkpoint)) {
            let position = Some((customer, checkpoint.size));
            return bad(Verdict::Fork, position, "two checkpoints of this size differ");
        }
    }
    let mut wanted = by_size.into_iter().peekable();
    let mut frontier = Frontier::default();
    let mut head = super::Digest::default();
    let mut covered = 0;
    let mut records = chain.records.values();
    loop {
        while let Some((size, checkpoint)) = wanted.next_if(|(size, _)| *size == frontier.size()) {
            if (checkpoint.root, checkpoint.head) != (frontier.root(), head) {
                let first: u64 = covered;
                let first = first.saturating_add(1);
                let problem = format!(
                    "the checkpoint of {} is over other records, from {first} to {size}",
                    checkpoint.at
                );
                return bad(Verdict::Fork, Some((customer, first)), problem);
            }
            covered = size;
        }
        let Some(record) = records.next() else { break };
        frontier.push(record.leaf);
        head = record.hash;
    }
    match wanted.next() {
        None => Ok(covered),
        Some((size, checkpoint)) => {
            let first = frontier.size().saturating_add(1);
            let problem = format!(
                "the checkpoint of {} counts {size} records: those from {first} on are not here",
                checkpoint.at
            );
            bad(Verdict::Missing, Some((customer, first)), problem)
        }
    }
}

fn said(checkpoint: &Checkpoint) -> (super::Digest, super::Digest) {
    (checkpoint.root, checkpoint.head)
}

/// Checks that every receipt whose time is over has its record. How many are not due yet, by the
/// latest time that records and checkpoints speak of.
pub(super) fn pending(customer: &Name, chain: &Chain) -> Result<u64, Bad> {
    let said = chain.checkpoints.iter().map(|checkpoint| checkpoint.at).max();
    let latest = chain.latest.max(said);
    for receipt in chain.awaited.values() {
        if latest.is_some_and(|latest| latest >= receipt.by) {
            let problem = format!(
                "the receipt of attempt {} promises a record by {}, and there is none",
                receipt.attempt_id, receipt.by
            );
            return Err((
                Verdict::Missing,
                super::Finding { customer: Some(customer.clone()), seq: None, problem },
            ));
        }
    }
    Ok(u64::try_from(chain.awaited.len()).unwrap_or(u64::MAX))
}

//! Records against checkpoints and receipts: what each kind of damage is called, and where it is.

use proptest::prelude::*;

use super::{changed_chain, lines, name, ring};
use crate::ids::{AttemptId, Id};
use crate::money::Exact;
use crate::record::checkpoint::{Checkpoint, SigningKeys, Untrusted, origin};
use crate::record::receipt::Receipt;
use crate::record::tree::{Frontier, leaf};
use crate::record::{Audit, Digest, Evidence, Sealed};

const ONE: &str = "1:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

fn attempt(seq: u64) -> AttemptId {
    Id::new("2026-11-24T12:00:00.000Z".parse().unwrap(), [u8::try_from(seq % 256).unwrap(); 10])
}

/// A chain whose records are of attempts of their own.
fn chain(length: u64) -> Vec<Sealed> {
    changed_chain("acme", length, |record| record.attempt_id = attempt(record.seq))
}

fn checkpoint(chain: &[Sealed]) -> Checkpoint {
    let mut frontier = Frontier::default();
    chain.iter().for_each(|sealed| frontier.push(leaf(sealed.canonical.as_bytes())));
    Checkpoint {
        origin: origin("gate.example.com", &name("acme")),
        size: frontier.size(),
        root: frontier.root(),
        head: chain.last().map(|sealed| sealed.hash).unwrap_or_default(),
        at: "2026-11-25T00:00:00.000Z".parse().unwrap(),
    }
}

fn receipt(seq: u64, by: &str) -> Receipt {
    Receipt {
        v: Receipt::VERSION,
        operator: "gate.example.com".into(),
        customer: name("acme"),
        request_id: attempt(seq),
        attempt_id: attempt(seq),
        at: "2026-11-24T12:00:00.000Z".parse().unwrap(),
        by: by.parse().unwrap(),
        held: Exact::from(1),
        currency: "USD".into(),
    }
}

/// The verdict with its place; `covered` and `pending` where it is OK.
fn found(lines: &[String], checkpoints: &[Checkpoint], receipts: &[Receipt]) -> String {
    let ring = ring();
    let (checkpoints, receipts) = (checkpoints.to_vec(), receipts.to_vec());
    let mut audit =
        Audit::new(Evidence { ring: Some(&ring), expected: None, checkpoints, receipts });
    lines.iter().for_each(|line| audit.line(line));
    let report = audit.finish();
    let verdict = serde_json::to_value(report.verdict).unwrap().as_str().unwrap().to_owned();
    match report.finding {
        None => format!("{verdict} covered {} pending {}", report.covered, report.pending),
        Some(finding) => {
            let seq = finding.seq.map_or("?".to_owned(), |seq| seq.to_string());
            format!("{verdict} at {seq}: {}", finding.problem)
        }
    }
}

#[test]
fn records_lie_under_the_largest_checkpoint_over_them() {
    let chain = chain(9);
    let of = |sizes: &[usize]| {
        let checkpoints: Vec<_> = sizes.iter().map(|size| checkpoint(&chain[..*size])).collect();
        found(&lines(&chain), &checkpoints, &[])
    };
    assert_eq!(of(&[]), "OK covered 0 pending 0");
    assert_eq!(of(&[0]), "OK covered 0 pending 0");
    assert_eq!(of(&[7, 3, 7, 0]), "OK covered 7 pending 0");
    assert_eq!(of(&[9]), "OK covered 9 pending 0");
}

#[test]
fn an_end_cut_off_below_a_checkpoint_is_missing() {
    let chain = chain(9);
    let whole = [checkpoint(&chain)];
    let at = "the checkpoint of 2026-11-25T00:00:00.000Z counts 9 records";
    let answer = format!("MISSING at 7: {at}: those from 7 on are not here");
    assert_eq!(found(&lines(&chain[..6]), &whole, &[]), answer);
    let answer = format!("MISSING at 1: {at}: those from 1 on are not here");
    assert_eq!(found(&[], &whole, &[]), answer);
}

#[test]
fn a_chain_written_anew_by_whoever_has_the_secrets_is_a_fork() {
    let chain = chain(9);
    let (early, late) = (checkpoint(&chain[..4]), checkpoint(&chain));
    let other = changed_chain("acme", 9, |record| {
        record.attempt_id = attempt(record.seq);
        record.admitted.stream = record.seq < 7;
    });
    let answer =
        "FORK at 5: the checkpoint of 2026-11-25T00:00:00.000Z is over other records, from 5 to 9";
    assert_eq!(found(&lines(&other), &[early.clone(), late.clone()], &[]), answer);
    let second = Checkpoint { root: Digest([3; 32]), ..late.clone() };
    let answer = "FORK at 9: two checkpoints of this size differ";
    assert_eq!(found(&lines(&chain), &[late, second, early], &[]), answer);
}

#[test]
fn without_the_secrets_a_checkpoint_alone_vouches_for_the_records() {
    let chain = chain(5);
    let checkpoints = vec![checkpoint(&chain)];
    let mut audit = Audit::new(Evidence { checkpoints, ..Evidence::default() });
    lines(&chain).iter().for_each(|line| audit.line(line));
    let report = audit.finish();
    assert_eq!((report.finding, report.records, report.covered), (None, 5, 5));
}

#[test]
fn a_promised_record_that_never_came_is_missing_once_it_was_due() {
    let chain = chain(3);
    let records = lines(&chain);
    let (here, gone) =
        (receipt(2, "2026-11-24T13:00:00.000Z"), receipt(200, "2026-11-24T23:00:00.000Z"));
    assert_eq!(found(&records, &[], std::slice::from_ref(&here)), "OK covered 0 pending 0");
    // Nothing here speaks of a time that late.
    assert_eq!(found(&records, &[], &[here.clone(), gone.clone()]), "OK covered 0 pending 1");
    let answer = found(&records, &[checkpoint(&chain)], &[here, gone]);
    assert!(answer.starts_with("MISSING at ?: the receipt of attempt"), "{answer}");
}

#[test]
fn a_receipt_reads_back_as_it_was_signed_and_fits_a_header() {
    let keys = SigningKeys::parse(ONE).unwrap();
    let receipt = receipt(1, "2026-11-25T12:00:00.000Z");
    let text = receipt.sign(&keys).unwrap();
    assert!(text.len() < 700 && text.is_ascii() && !text.contains(' '), "{}: {text}", text.len());
    assert_eq!(Receipt::open(&text, &keys.public()).unwrap(), receipt);
    let other = SigningKeys::parse(&ONE.replace("9d61", "9d62")).unwrap();
    assert_eq!(Receipt::open(&text, &other.public()).unwrap_err(), Untrusted::BadSignature);
}

#[test]
fn what_is_signed_as_one_thing_is_never_another() {
    let keys = SigningKeys::parse(ONE).unwrap();
    let note = keys.sign(&checkpoint(&chain(1))).unwrap();
    assert_eq!(Receipt::open(&note, &keys.public()).unwrap_err(), Untrusted::Malformed);
    let receipt = receipt(1, "2026-11-25T12:00:00.000Z").sign(&keys).unwrap();
    assert_eq!(keys.public().read(&receipt).unwrap_err(), Untrusted::Malformed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_change_of_a_receipt_is_believed(at: prop::sample::Index, flip in 1_u8..128) {
        let keys = SigningKeys::parse(ONE).unwrap();
        let receipt = receipt(1, "2026-11-25T12:00:00.000Z");
        let mut bytes = receipt.sign(&keys).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let changed = String::from_utf8(bytes).unwrap();
        // White space at an end is not the receipt's.
        prop_assume!(!changed.trim().is_empty() && changed.trim().len() == changed.len());
        prop_assert!(Receipt::open(&changed, &keys.public()).is_err());
    }

    #[test]
    fn deleting_or_replacing_any_record_under_a_checkpoint_is_found_at_its_place(
        length in 2_u64..12, pick: prop::sample::Index, delete: bool,
    ) {
        let chain = chain(length);
        let checkpoints = [checkpoint(&chain)];
        let at = pick.index(chain.len());
        let seq = u64::try_from(at).unwrap() + 1;
        let mut changed = lines(&chain);
        if delete {
            changed.remove(at);
            let answer = found(&changed, &checkpoints, &[]);
            let verdict = if seq == length { "MISSING" } else { "GAP" };
            prop_assert!(answer.starts_with(&format!("{verdict} at {seq}:")), "{}", answer);
        } else {
            let other = changed_chain("acme", length, |record| {
                record.attempt_id = attempt(record.seq);
                record.admitted.stream = record.seq != seq;
            });
            // From there on everything is written anew, as somebody with the secrets would.
            changed.splice(at.., lines(&other[at..]));
            let answer = found(&changed, &checkpoints, &[]);
            prop_assert!(answer.starts_with("FORK at 1:"), "{}", answer);
        }
    }
}

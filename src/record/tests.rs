//! The format's promises: what verifies, and what every kind of damage is called.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod audit;
mod checkpoint;
mod example;
mod order;
mod tree;
mod vectors;

use proptest::prelude::*;

use super::*;
use crate::auth::{Mode, Ring};
use crate::ids::Id;

const ONE: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "2:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn ring() -> Ring {
    Ring::parse(ONE).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn line(quantity: u64, rate: &str, amount: &str) -> Line {
    Line {
        meter: Meter::OutputTotal,
        quantity: quantity.into(),
        rate: rate.parse().unwrap(),
        per: Exact::from(1_000_000),
        amount: amount.parse().unwrap(),
    }
}

/// A settled record of 345 tokens; tests change what they are about.
fn record(customer: &str, seq: u64, prev: Digest) -> Record {
    let at: Timestamp = "2026-11-23T22:00:00.120Z".parse().unwrap();
    let id = Id::new(at, [u8::try_from(seq).unwrap(); 10]);
    Record {
        v: FORMAT,
        customer: name(customer),
        seq,
        prev,
        attempt_id: id,
        request_id: id,
        corrects: None,
        class: Class::Settled,
        batch: None,
        outcome_of: None,
        admitted: Admitted {
            key_id: name("main"),
            mode: Mode::Live,
            received_at: at,
            endpoint: "/v1/chat/completions".into(),
            // Not ASCII, and characters that JSON may escape: the canonical form must not.
            model: "modèle/\u{1f600}\"\u{7f}\u{1}".into(),
            stream: true,
            features: vec!["tools".into()],
            service_tier: None,
            region: None,
            end_user: None,
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
            held: Exact::from(1),
        },
        answered: Answered { upstream_status: Some(200), ..Answered::default() },
        recorded_at: at,
        quantities: Vec::new(),
        lines: vec![line(345, "0.6", "0.000207")],
        plan: None,
        unpriced: Vec::new(),
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        previous: None,
        amount: "0.000207".parse().unwrap(),
        flags: Vec::new(),
        private: Digest::default(),
    }
}

fn private() -> Private {
    let (provider, upstream) = ("openai".to_owned(), "openai".to_owned());
    let cost = Some("0.0001".parse().unwrap());
    Private { v: FORMAT, provider, upstream, cost, margin: None, below_margin: false }
}

fn sealed_by(ring: &Ring, record: Record) -> Sealed {
    seal(record, &private(), Digest([7; 32]), ring).unwrap()
}

/// So many records of one customer, each changed by `change` before it is sealed.
fn changed_chain(customer: &str, length: u64, change: impl Fn(&mut Record)) -> Vec<Sealed> {
    let mut chain: Vec<Sealed> = Vec::new();
    for seq in 1..=length {
        let prev = chain.last().map(|sealed| sealed.hash).unwrap_or_default();
        let mut record = record(customer, seq, prev);
        change(&mut record);
        chain.push(sealed_by(&ring(), record));
    }
    chain
}

fn lines(chain: &[Sealed]) -> Vec<String> {
    chain.iter().map(|sealed| sealed.line().unwrap()).collect()
}

fn chain(customer: &str, length: u64) -> Vec<String> {
    lines(&changed_chain(customer, length, |_| {}))
}

fn report(lines: &[String]) -> Report {
    verify(lines.iter().map(String::as_str), &ring(), None)
}

/// The verdict, and the position and problem it names.
fn found(lines: &[String], expected: Option<&Expected>) -> String {
    let report = verify(lines.iter().map(String::as_str), &ring(), expected);
    let verdict = serde_json::to_value(report.verdict).unwrap();
    let verdict = verdict.as_str().unwrap().to_owned();
    let Some(finding) = report.finding else { return verdict };
    assert_ne!(report.verdict, Verdict::Ok, "a finding makes the verdict");
    let seq = finding.seq.map_or("?".to_owned(), |seq| seq.to_string());
    format!("{verdict} at {seq}: {}", finding.problem)
}

#[test]
fn what_was_sealed_verifies_and_reads_back_the_same() {
    let chain = changed_chain("acme", 3, |_| {});
    let report = report(&lines(&chain));
    assert_eq!((report.verdict, report.finding), (Verdict::Ok, None));
    assert_eq!((report.records, report.chains), (3, 1));
    assert_eq!(report.totals["USD"].to_string(), "0.000621");
    let read: Record = serde_json::from_str(&chain[0].canonical).unwrap();
    let wanted = Record { private: read.private, ..record("acme", 1, Digest::default()) };
    assert_eq!(read, wanted);
}

#[test]
fn an_empty_archive_is_ok_until_something_was_promised() {
    assert_eq!(found(&[], None), "OK");
    assert_eq!(found(&[String::new(), " \r".into()], None), "OK");
    let expected = Expected { customer: name("acme"), seq: 1, hash: Digest::default() };
    let answer = "MISSING at 1: this record was promised and is not here";
    assert_eq!(found(&[], Some(&expected)), answer);
}

#[test]
fn order_and_repetition_of_lines_do_not_matter() {
    let mut lines = chain("acme", 5);
    lines.extend(chain("zeta", 2));
    lines.extend(lines.clone());
    lines.reverse();
    lines.swap(2, 9);
    let report = report(&lines);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.finding);
    assert_eq!((report.records, report.chains), (7, 2));
    assert_eq!(report.totals["USD"].to_string(), "0.001449");
}

#[test]
fn a_customers_copy_without_private_parts_verifies() {
    let copy = |line: &String| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("private");
        object.remove("salt");
        let sealed: SealedLine<'_> = serde_json::from_str(line).unwrap();
        // Only the record has to stay byte for byte.
        let signature = serde_json::to_string(&value["signature"]).unwrap();
        format!(r#"{{"record": {}, "signature": {signature}}}"#, sealed.record.get())
    };
    let lines: Vec<String> = chain("acme", 3).iter().map(copy).collect();
    assert_eq!(found(&lines, None), "OK");
}

#[test]
fn records_of_a_replaced_secret_verify_while_the_ring_holds_it() {
    let both = Ring::parse(&format!("{ONE},{TWO}")).unwrap();
    let first = sealed_by(&ring(), record("acme", 1, Digest::default()));
    let second = sealed_by(&both, record("acme", 2, first.hash));
    assert_eq!((first.signature.key_id, second.signature.key_id), (1, 2));
    let lines = lines(&[first, second]);
    let verdict = |ring: &Ring| verify(lines.iter().map(String::as_str), ring, None).verdict;
    assert_eq!(verdict(&both), Verdict::Ok);
    assert_eq!(verdict(&ring()), Verdict::Invalid);
}

#[test]
fn a_promise_kept_is_ok_one_broken_is_missing_or_a_fork() {
    let chain = changed_chain("acme", 2, |_| {});
    let expect = |customer: &str, seq: u64, hash: Digest| {
        found(&lines(&chain), Some(&Expected { customer: name(customer), seq, hash }))
    };
    assert_eq!(expect("acme", 2, chain[1].hash), "OK");
    assert_eq!(expect("acme", 1, chain[0].hash), "OK");
    let missing = "this record was promised and is not here";
    assert_eq!(expect("acme", 3, chain[1].hash), format!("MISSING at 3: {missing}"));
    assert_eq!(expect("zeta", 2, chain[1].hash), format!("MISSING at 2: {missing}"));
    let fork = "FORK at 2: this record is not the one that was promised";
    assert_eq!(expect("acme", 2, chain[0].hash), fork);
}

#[test]
fn a_missing_record_is_a_gap_unless_it_was_the_last() {
    let without = |missing: &[usize]| {
        let chain = chain("acme", 6);
        let kept = chain.into_iter().enumerate().filter(|(at, _)| !missing.contains(at));
        found(&kept.map(|(_, line)| line).collect::<Vec<_>>(), None)
    };
    assert_eq!(without(&[0]), "GAP at 1: records 1 to 1 are not here");
    assert_eq!(without(&[2, 3]), "GAP at 3: records 3 to 4 are not here");
    assert_eq!(without(&[1, 4]), "GAP at 2: records 2 to 2 are not here");
    assert_eq!(without(&[5]), "OK", "only a promise can show that the end is missing");
}

#[test]
fn two_contents_for_one_position_are_a_fork_even_though_both_are_signed() {
    let one = chain("acme", 2);
    let other = lines(&changed_chain("acme", 2, |record| record.admitted.stream = false));
    let both = [one[0].clone(), one[1].clone(), other[1].clone()];
    let fork = "two different records stand at this position";
    assert_eq!(found(&both, None), format!("FORK at 2: {fork}"));
    // The same content signed by two secrets is one content.
    let ring = Ring::parse(&format!("{ONE},{TWO}")).unwrap();
    let again = sealed_by(&ring, record("acme", 1, Digest::default())).line().unwrap();
    let lines = [one[0].as_str(), again.as_str(), one[1].as_str()];
    assert_eq!(verify(lines, &ring, None).verdict, Verdict::Ok);
}

#[test]
fn a_record_moved_to_another_chain_position_does_not_fit() {
    let first = sealed_by(&ring(), record("acme", 1, Digest::default()));
    let second = sealed_by(&ring(), record("acme", 2, Digest([1; 32])));
    let answer = "INVALID at 2: `prev` is not the hash of the record before";
    assert_eq!(found(&lines(&[first, second]), None), answer);
    let first = sealed_by(&ring(), record("acme", 1, Digest([1; 32])));
    let answer = "INVALID at 1: `prev` is not the hash of the record before";
    assert_eq!(found(&lines(&[first]), None), answer);
}

#[test]
fn a_signature_counts_only_with_the_right_secret_number_and_algorithm() {
    let line = chain("acme", 1).remove(0);
    let answer = "INVALID at 1: the signature does not fit the bytes and the key";
    for (from, to) in [("HMAC-SHA256", "HMAC-SHA512"), ("\"key_id\":1,", "\"key_id\":2,")] {
        assert!(line.contains(from));
        assert_eq!(found(&[line.replace(from, to)], None), answer);
    }
    let other = Ring::parse(&TWO.replacen('2', "1", 1)).unwrap();
    assert_eq!(verify([line.as_str()], &other, None).verdict, Verdict::Invalid);
}

#[test]
fn private_part_and_salt_belong_together_and_to_the_record() {
    let line = chain("acme", 1).remove(0);
    let salt = format!(",\"salt\":\"{}\"", Digest([7; 32]));
    assert!(line.contains(&salt) && line.contains("openai"));
    let together = "INVALID at 1: private part and salt come together or not at all";
    let not_it = "INVALID at 1: the private part is not the one the record names";
    assert_eq!(found(&[line.replace(&salt, "")], None), together);
    assert_eq!(found(&[line.replace("openai", "0penai")], None), not_it);
    let other = salt.replace("07", "08");
    assert_eq!(found(&[line.replace(&salt, &other)], None), not_it);
}

#[test]
fn bytes_that_are_not_canonical_are_refused_whoever_signed_them() {
    let sealed = sealed_by(&ring(), record("acme", 1, Digest::default()));
    let signed = |bytes: String| {
        let (key_id, tag) = ring().sign_bytes(bytes.as_bytes()).unwrap();
        let signature =
            format!(r#"{{"alg":"HMAC-SHA256","key_id":{key_id},"tag":"{}"}}"#, Digest(tag));
        found(&[format!(r#"{{"record":{bytes},"signature":{signature}}}"#)], None)
    };
    let bytes = &sealed.canonical;
    assert_eq!(signed(bytes.clone()), "OK");
    let form = "INVALID at 1: the bytes are not in canonical form (RFC 8785)";
    for (from, to) in [
        ("{\"amount\"", "{ \"amount\""), // white space
        ("\"seq\":1", "\"seq\":1.0"),    // another spelling of a number
        ("\"seq\":1", "\"seq\":1e0"),
        ("tools", "\\u0074ools"), // an escape that is not needed
        ("\u{7f}", "\\u007f"),
        ("\"class\":\"settled\"", "\"class\":\"voided\",\"class\":\"settled\""), // twice
    ] {
        let changed = bytes.replacen(from, to, 1);
        assert_ne!(changed, *bytes);
        let answer = signed(changed);
        assert!(answer.starts_with("INVALID"), "{to}: {answer}");
        assert!(answer == form || answer.contains("no readable record"), "{to}: {answer}");
    }
    // The last member moved to the front.
    let moved = bytes.replacen('{', "{\"v\":1,", 1).replace(",\"v\":1}", "}");
    assert_eq!(signed(moved), form);
    let lone = bytes.replacen("tools", "\\ud800", 1);
    assert!(signed(lone).starts_with("INVALID at ?"), "half a surrogate pair is no text");
}

#[test]
fn a_format_of_the_future_is_not_passed_as_good() {
    let lines = lines(&changed_chain("acme", 1, |record| record.v = 2));
    assert_eq!(found(&lines, None), "INVALID at 1: record format 2 is not known to this version");
}

#[test]
fn what_is_no_record_at_all_names_its_line() {
    for garbage in ["{}", "[]", "nothing", "{\"record\":{},\"signature\":{}}"] {
        let lines = [chain("acme", 1).remove(0), garbage.to_owned()];
        let answer = found(&lines, None);
        assert!(answer.starts_with("INVALID at ?: line 2: this is no record"), "{answer}");
    }
    let line = chain("acme", 1).remove(0).replacen('{', "{\"more\":1,", 1);
    assert!(found(&[line], None).starts_with("INVALID at ?: line 1: this is no record"));
}

#[test]
fn an_amount_that_does_not_follow_from_its_lines_is_invalid_even_when_signed() {
    let of = |change: &dyn Fn(&mut Record)| found(&lines(&changed_chain("acme", 1, change)), None);
    let exact = |text: &str| -> Exact { text.parse().unwrap() };
    let wrong = "INVALID at 1: the amount is not the sum of the record's lines";
    assert_eq!(of(&|r| r.amount = exact("0.000208")), wrong);
    assert_eq!(of(&|r| r.lines[0].amount = exact("0.000208")), wrong);
    assert_eq!(of(&|r| r.lines[0].quantity = Exact::from(346)), wrong);
    assert_eq!(of(&|r| r.lines[0].per = Exact::from(1_000)), wrong);
    assert_eq!(of(&|r| r.lines[0].per = Exact::ZERO), wrong);
    assert_eq!(of(&|r| r.lines[0].rate = exact("0.0000000000000000000000000001")), wrong);
    assert_eq!(of(&|r| r.lines.push(line(1, "0", "0"))), "OK");
    assert_eq!(of(&|r| r.lines.push(line(1, "1", "0.000001"))), wrong);
    // A correction adds the difference.
    assert_eq!(of(&|r| r.previous = Some(exact("0.0002"))), wrong);
    let correction = |r: &mut Record| {
        r.previous = Some(exact("0.0002"));
        r.amount = exact("0.000007");
    };
    assert_eq!(of(&correction), "OK");
    // Without lines nothing was charged, unless the floor of an unresolved attempt was.
    let bare = |class: Class, amount: &'static str| {
        move |r: &mut Record| {
            r.lines.clear();
            r.class = class;
            r.amount = amount.parse().unwrap();
        }
    };
    assert_eq!(of(&bare(Class::Settled, "0")), "OK");
    assert_eq!(of(&bare(Class::Settled, "0.5")), wrong);
    assert_eq!(of(&bare(Class::Voided, "0")), "OK");
    assert_eq!(of(&bare(Class::Voided, "-1")), wrong);
    assert_eq!(of(&bare(Class::Unresolved, "0.5")), "OK");
    assert_eq!(of(&bare(Class::Unresolved, "1")), "OK");
    assert_eq!(of(&bare(Class::Unresolved, "1.1")), wrong, "more than was held");
    assert_eq!(of(&bare(Class::Unresolved, "-1")), wrong);
}

#[test]
fn totals_are_kept_apart_by_currency() {
    let mut both = chain("acme", 2);
    both.extend(lines(&changed_chain("nippon", 3, |r| r.admitted.currency = "JPY".into())));
    let report = report(&both);
    let total = |currency: &str| report.totals[currency].to_string();
    assert_eq!((total("USD").as_str(), total("JPY").as_str()), ("0.000414", "0.000621"));
}

/// What a reader takes from a line.
fn content(line: &str) -> Option<(String, Option<String>, Option<Digest>)> {
    let sealed: SealedLine<'_> = serde_json::from_str(line).ok()?;
    let private = sealed.private.map(|private| private.get().to_owned());
    Some((sealed.record.get().to_owned(), private, sealed.salt))
}

fn never_passes_changed(bytes: Vec<u8>, original: &str, rest: &[String]) {
    // Lines are text; bytes that are not are turned away before this.
    let Ok(changed) = String::from_utf8(bytes) else { return };
    let lines: Vec<String> = [changed.clone()].into_iter().chain(rest.iter().cloned()).collect();
    if report(&lines).verdict == Verdict::Ok {
        assert_eq!(content(&changed), content(original), "passed as good: {changed}");
    }
}

#[test]
fn any_flipped_bit_anywhere_is_found() {
    let lines = chain("acme", 2);
    for at in 0..lines[0].len() {
        for flip in [0x01, 0x02, 0x20] {
            let mut bytes = lines[0].clone().into_bytes();
            bytes[at] ^= flip;
            never_passes_changed(bytes, &lines[0], &lines[1..]);
        }
    }
}

proptest! {
    #[test]
    fn no_change_of_one_byte_passes_with_another_content(
        which in 0_usize..3, at: prop::sample::Index, byte: u8, how in 0_u8..3,
    ) {
        let mut rest = chain("acme", 3);
        let line = rest.remove(which);
        let mut bytes = line.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte & 0x7f),
            _ => drop(bytes.remove(at)),
        }
        never_passes_changed(bytes, &line, &rest);
    }
}

//! The worked example in `docs/record-format.md`, made by the ledger itself, so that the document
//! cannot drift from the code.

use crate::auth::{Mode, Ring};
use crate::book::{Rate, Rates, Tiers};
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Id};
use crate::ledger::{
    Admin, Allows, Command, Context, Ledger, Loaded, Pinned, Prior, Reserve, Row, Scopes, Settle,
};
use crate::meter::Outcome;
use crate::money::Exact;
use crate::record::{Admitted, Digest, Sealed, verify};
use crate::wire::usage::{Meter, Provenance, Usage};

const DOCUMENT: &str = include_str!("../../../docs/record-format.md");
/// The secret that the document prints.
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn at(seconds: &str) -> Timestamp {
    format!("2026-11-23T22:{seconds}Z").parse().unwrap()
}

fn rates(input: &str, cached: &str, output: &str) -> Rates {
    let rate = |amount: &str| Rate { amount: amount.parse().unwrap(), per: 1_000_000.into() };
    Rates(
        [
            (Meter::InputUncached, rate(input)),
            (Meter::CacheRead, rate(cached)),
            (Meter::OutputTotal, rate(output)),
        ]
        .into(),
    )
}

fn reserve(attempt_id: AttemptId, received_at: Timestamp) -> Command {
    Command::Reserve(Box::new(Reserve {
        attempt_id,
        request_id: attempt_id,
        secret_sha256: Digest::of(&[b"secret"]),
        admitted: Admitted {
            key_id: "main".parse().unwrap(),
            mode: Mode::Live,
            received_at,
            endpoint: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            stream: true,
            features: vec!["tools".into()],
            service_tier: None,
            region: None,
            end_user: None,
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
            held: "0.0126".parse().unwrap(),
        },
        floor: "0.000165".parse().unwrap(),
        pinned: Pinned {
            provider: "openai".into(),
            upstream: "openai".into(),
            rates: rates("0.165", "0.0825", "0.66"),
            tiers: Tiers::default(),
            context: Vec::new(),
            cost: Some(rates("0.15", "0.075", "0.6").into()),
            below_margin: false,
            input_least: 1_000,
        },
        worst: None,
        in_force: None,
        end_user: Some("someone@example.com".into()),
        scopes: Scopes { model: Some("gpt-4o-mini".into()), ..Scopes::default() },
        once: None,
        again: false,
    }))
}

fn settle(attempt_id: AttemptId, first_byte_at: Timestamp, finished_at: Timestamp) -> Command {
    let mut usage = Usage::default();
    usage.report(Meter::InputTotal, Some(1_200.into()));
    usage.report(Meter::CacheRead, Some(1_024.into()));
    usage.report(Meter::OutputTotal, Some(345.into()));
    usage.complete_input();
    usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
    Command::Settle(Box::new(Settle {
        attempt_id,
        usage,
        outcome: Outcome::Complete,
        upstream_status: Some(200),
        error_class: None,
        served_model: Some("gpt-4o-mini-2024-07-18".into()),
        served_tier: Some("default".into()),
        suspect: false,
        served_other: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        first_byte_at: Some(first_byte_at),
        finished_at,
    }))
}

/// One attempt settled in time, and one that is heard of only after its hold has expired.
fn example() -> Vec<Sealed> {
    let ring = Ring::parse(RING).unwrap();
    let mut ledger = Ledger::load(Loaded::default(), at("00:00.000")).unwrap();
    let mut sealed = Vec::new();
    let mut tell = |now: &str, command: &Command| {
        let context = Context {
            now: at(now),
            random: [7; 32],
            record_ring: &ring,
            hold_ttl: Millis::from_secs(60),
            prior: Prior { subject: Some(Digest([9; 32])), ..Prior::default() },
        };
        for row in ledger.apply(command, &context).unwrap().rows {
            if let Row::PutRecord(record) = row {
                sealed.push(record.sealed);
            }
        }
    };
    let (customer, currency) = ("acme".parse().unwrap(), "USD".to_owned());
    let customer = Admin::PutCustomer {
        customer,
        currency,
        limits: Vec::new(),
        zone: None,
        allows: Allows::default(),
    };
    let (key_id, secret_sha256) = ("main".parse().unwrap(), Digest::of(&[b"secret"]));
    let key = Admin::PutKey {
        key_id,
        secret_sha256,
        label: String::new(),
        expires_at: None,
        allows: Allows::default(),
    };
    tell("00:00.000", &Command::Admin(customer));
    tell("00:00.000", &Command::Admin(key));
    let (one, two) = (Id::new(at("00:00.120"), [1; 10]), Id::new(at("00:02.000"), [2; 10]));
    tell("00:00.125", &reserve(one, at("00:00.120")));
    tell("00:02.004", &reserve(two, at("00:02.000")));
    tell("00:03.250", &settle(one, at("00:00.480"), at("00:03.246")));
    tell("01:30.000", &settle(two, at("00:02.910"), at("01:29.990")));
    sealed
}

#[test]
fn the_worked_example_in_the_document_is_what_the_code_writes() {
    let sealed = example();
    let lines: Vec<String> = sealed.iter().map(|sealed| sealed.line().unwrap()).collect();
    let ring = Ring::parse(RING).unwrap();
    let report = verify(lines.iter().map(String::as_str), &ring, None);
    assert_eq!(report.finding, None);
    let total = report.totals["USD"].to_string();
    let archive = format!("```jsonl\n{}\n```", lines.join("\n"));
    let hashes: Vec<String> = sealed.iter().map(|sealed| sealed.hash.to_string()).collect();
    let heads = hashes.iter().enumerate().map(|(at, hash)| format!("{} {hash}", at + 1));
    let heads = heads.collect::<Vec<_>>().join("\n");
    let printed = format!("```text\n{heads}\n3 records, total {total} USD\n```");
    for wanted in [archive, printed, RING.trim_start_matches("1:").to_owned()] {
        assert!(DOCUMENT.contains(&wanted), "the document should hold, byte for byte:\n{wanted}");
    }
}

/// Every field that a record can have is explained in the document.
#[test]
fn the_document_names_every_field_and_every_word() {
    let mut words: Vec<String> = ["record", "signature", "private", "salt", "alg", "key_id", "tag"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    for sealed in example() {
        let record: serde_json::Value = serde_json::from_str(&sealed.canonical).unwrap();
        let private: serde_json::Value = serde_json::from_str(&sealed.private).unwrap();
        for object in [&record, &private] {
            words.extend(object.as_object().unwrap().keys().cloned());
        }
        for list in ["lines", "quantities"] {
            let items = record[list].as_array().unwrap().iter();
            words.extend(items.flat_map(|item| item.as_object().unwrap().keys().cloned()));
        }
    }
    words.extend(["service_tier", "error_class", "unpriced"].map(str::to_owned));
    words.extend(["settled", "voided", "unresolved"].map(str::to_owned));
    words.extend(
        ["overage", "late", "counted", "suspect", "correction", "served_other"].map(str::to_owned),
    );
    words.extend(["reported", "estimated", "live", "test"].map(str::to_owned));
    words.extend(
        ["complete", "incomplete", "cancelled", "error", "truncated", "no_usage"]
            .map(str::to_owned),
    );
    words.extend(Meter::ALL.iter().map(|meter| meter.as_str().to_owned()));
    words.extend(Meter::ALL.iter().map(|meter| meter.unit().to_owned()));
    for word in words {
        assert!(DOCUMENT.contains(&format!("`{word}`")), "`{word}` is not explained");
    }
}

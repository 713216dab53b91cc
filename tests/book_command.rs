//! `farebox book` and `farebox replay`, as they are typed.

#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

use std::path::PathBuf;
use std::process::{Command, Output};

use farebox::book::DEFAULT;

const RECORD: &str = r#"{"record":{"customer":"acme","seq":1,"attempt_id":"a","class":"settled",
"model":"gpt-4o-mini","received_at":"2026-11-24T10:00:00Z","currency":"USD",
"quantities":[{"meter":"input_uncached","quantity":"1000","unit":"token","provenance":"reported"}],
"lines":[{"meter":"input_uncached","quantity":"1000","rate":"0.15","per":"1000000","amount":"0.00015"}],
"amount":"0.00015"}}"#;

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("farebox-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn farebox(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_farebox")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_wrong_book_fails_the_check_with_every_path() {
    let wrong = DEFAULT.replacen("\"0.15\"", "\"NaN\"", 1).replacen("\"1.25\"", "\"-1.25\"", 1);
    let wrong = file("wrong.json", &wrong);
    let checked = farebox(&["book", "check", wrong.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let paths: Vec<String> =
        said(&checked).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        ["models[0].rates.input_uncached.amount", "models[1].rates.cache_read.amount"]
    );
    let right = file("right.json", DEFAULT);
    assert!(farebox(&["book", "check", right.to_str().unwrap()]).status.success());
}

#[test]
fn a_changed_rate_shows_in_the_difference_and_in_recorded_usage() {
    let old = file("old.json", DEFAULT);
    let new = file("new.json", &DEFAULT.replacen("\"0.15\"", "\"0.3\"", 1));
    let records = file("records.ndjson", &(RECORD.replace('\n', "") + "\n"));
    let [old, new, records] = [&old, &new, &records].map(|path| path.to_str().unwrap());
    let differs = said(&farebox(&["book", "diff", old, new, "--records", records]));
    assert!(
        differs.contains("openai gpt-4o-mini rates input_uncached: 0.15 per 1000000 -> 0.3"),
        "{differs}"
    );
    assert!(differs.contains("0.00015 -> 0.0003 USD (0.00015)"), "{differs}");
    let replayed = said(&farebox(&["replay", records, "--book", new]));
    assert!(replayed.contains("acme 1 gpt-4o-mini: 0.00015 -> 0.0003"), "{replayed}");
    let same = said(&farebox(&["replay", records, "--book", old]));
    assert!(same.starts_with("1 attempts, 0 change"), "{same}");
}

#[test]
fn costs_are_joined_from_the_catalogue() {
    let priced = said(&farebox(&["book", "costs", file("sell.json", DEFAULT).to_str().unwrap()]));
    let book: serde_json::Value = serde_json::from_str(&priced).unwrap();
    let cost = book.pointer("/models/0/cost/rates/input_uncached/amount");
    assert_eq!(cost.and_then(serde_json::Value::as_str), Some("0.15"));
}

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
fn what_is_too_long_for_a_book_or_a_plan_is_refused_before_it_is_read() {
    // 100 MB by its size; and what has no size, and no end.
    let long = file("long.json", "");
    std::fs::File::options().write(true).open(&long).unwrap().set_len(100 << 20).unwrap();
    let records = file("short.ndjson", &(RECORD.replace('\n', "") + "\n"));
    let (long, records) = (long.to_str().unwrap(), records.to_str().unwrap());
    for path in [long, "/dev/zero"] {
        for arguments in [
            &["book", "check", path][..],
            &["book", "diff", path, path],
            &["book", "costs", path],
            &["book", "push", path, "--dry-run", "--url", "http://127.0.0.1:9"],
            &["replay", records, "--book", path],
            &["replay", records, "--plan", path],
            &["plan", "check", path],
            &["quote", "--month", records, "--plan", path],
        ] {
            let output = farebox(arguments);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
            assert!(told.contains("too long"), "{arguments:?}: {told}");
        }
    }
}

#[test]
fn a_document_and_a_month_are_quoted_by_the_same_command() {
    let (book, text) = (file("quote.json", DEFAULT), file("quote.txt", "How long is a bus?"));
    let records = file("quote.ndjson", &(RECORD.replace('\n', "") + "\n"));
    let [book, text, records] = [&book, &text, &records].map(|path| path.to_str().unwrap());
    let quoted = farebox(&["quote", "--file", text, "--model", "gpt-4o-mini", "--book", book]);
    assert!(said(&quoted).contains("at most"), "{quoted:?}");
    let month = farebox(&["quote", "--month", records, "--book", book]);
    assert!(said(&month).contains("month: at least"), "{month:?}");
    assert_eq!(farebox(&["quote", "--file", text]).status.code(), Some(64), "of which model?");
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

const PLAN: &str = r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
"fees":[{"id":"base","amount":"5"}],
"charges":[{"id":"tokens","meter":"tokens","cells":[{"where":{"direction":"input"},
  "charge":{"model":"per_unit","unit_price":"0.001"}}]}]}"#;

#[test]
fn recorded_usage_is_priced_by_a_plan_period_by_period_and_line_by_line() {
    let plan = file("plan.json", PLAN);
    let records = file("by-plan.ndjson", &RECORD.replace('\n', ""));
    let [plan, records] = [&plan, &records].map(|path| path.to_str().unwrap());
    let replay = |more: &[&str]| farebox(&[&["replay", records, "--plan", plan], more].concat());
    let done = replay(&[]);
    assert_eq!((done.status.code(), &*done.stderr), (Some(0), &b""[..]));
    assert_eq!(
        said(&done).lines().collect::<Vec<_>>(),
        [
            "acme 2026-11-01T00:00:00.000Z: 0.00015 -> 6 (5.99985)",
            "  input_uncached: 0.00015 -> 0 (-0.00015)",
            "  tokens: 0 -> 1 (1)",
            "  fee base: 0 -> 5 (5)",
            "1 attempts",
            "0.00015 -> 6 USD (5.99985)"
        ]
    );
    let lines = said(&replay(&["--json", "--zone", "Europe/Berlin", "--progress"]));
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |line: usize, path: &str| lines.get(line).and_then(|line| line.pointer(path)).cloned();
    assert_eq!(at(0, "/start"), Some("2026-10-31T23:00:00.000Z".into()));
    assert_eq!(at(1, "/totals/new"), Some("6".into()));
    let bar = String::from_utf8(replay(&["--progress"]).stderr).unwrap();
    assert!(bar.contains("100 %"), "{bar:?}");
    let anchored = said(&replay(&["--anchor", "2026-11-15T00:00:00Z"]));
    assert!(anchored.starts_with("acme 2026-11-15T00:00:00.000Z"), "{anchored}");
}

#[test]
fn what_cannot_be_read_or_priced_fails_the_replay_after_all_else_is_told() {
    let [good, plan] = [file("good.json", DEFAULT), file("plan2.json", PLAN)];
    let euros = RECORD.replace('\n', "").replace("USD", "EUR");
    let records = file("part.ndjson", &format!("{}\nno record\n", RECORD.replace('\n', "")));
    let other = file("euros.ndjson", &euros);
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let by_plan = farebox(&["replay", &path(&records), "--plan", &path(&plan)]);
    assert_eq!(by_plan.status.code(), Some(1));
    assert!(said(&by_plan).contains("0.00015 -> 6 USD"));
    let told = String::from_utf8_lossy(&by_plan.stderr).into_owned();
    let named = format!("{}, line 2: ", path(&records));
    assert!(told.contains(&named) && told.contains("(invalid_record)"), "{told}");
    for by in [["--book", &path(&good)], ["--plan", &path(&plan)]] {
        let euros = farebox(&["replay", &path(&other), by[0], by[1]]);
        assert_eq!(euros.status.code(), Some(1), "{by:?}");
        let told = String::from_utf8_lossy(&euros.stderr).into_owned();
        assert!(told.contains("not priced"), "{told}");
    }
    // Wrong usage: neither, both, or a calendar without a plan.
    let [book, plan] = [path(&good), path(&plan)];
    for wrong in [&[][..], &["--book", &book, "--plan", &plan], &["--book", &book, "--zone", "UTC"]]
    {
        let output = farebox(&[&["replay", &path(&records)], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn lines_that_are_no_record_are_told_by_file_and_line_and_the_rest_is_priced() {
    let folder = std::env::temp_dir().join(format!("farebox-{}-two-files", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (record, long) = (RECORD.replace('\n', ""), "x".repeat(300_000));
    let second = record.replace("\"seq\":1", "\"seq\":2").replace("\"a\"", "\"b\"");
    std::fs::write(folder.join("1.ndjson"), format!("{record}\nno record")).unwrap();
    let more = [&b"\xff\n"[..], long.as_bytes(), b"\n\n", second.as_bytes()].concat();
    std::fs::write(folder.join("2.ndjson"), more).unwrap();
    let at = |name: &str, line: u64| format!("{}, line {line}: ", folder.join(name).display());
    let [book, plan] = [file("two.json", DEFAULT), file("two-plan.json", PLAN)];
    for (by, terms) in [("--book", &book), ("--plan", &plan)] {
        let done = farebox(&["replay", folder.to_str().unwrap(), by, terms.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1), "{by}");
        assert!(said(&done).contains("2 attempts"), "{done:?}");
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        for place in [at("1.ndjson", 2), at("2.ndjson", 1), at("2.ndjson", 2)] {
            assert!(told.contains(&place), "{by}: {place} in {told}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn usage_that_a_plan_has_no_price_for_fails_the_replay_and_is_named_with_what_was_charged() {
    let plan = file("other-plan.json", &PLAN.replace("\"input\"", "\"output\""));
    let records = file("left-out.ndjson", &RECORD.replace('\n', ""));
    let [plan, records] = [&plan, &records].map(|path| path.to_str().unwrap());
    let done = farebox(&["replay", records, "--plan", plan]);
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    let wanted = "the plan has no price for input_total, input_uncached: it is in no sum, and was charged 0.00015";
    assert!(told.contains(wanted), "{told}");
    assert!(said(&done).ends_with("0 -> 5 USD (5)\n"), "{done:?}");
}

#[test]
fn the_schema_of_plans_that_is_printed_is_the_one_that_is_kept() {
    let printed = farebox(&["plan", "schema"]);
    assert!(printed.status.success());
    assert_eq!(said(&printed), include_str!("../books/plan-schema.json"));
}

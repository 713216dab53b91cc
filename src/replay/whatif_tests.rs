#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
use super::*;
use crate::book::DEFAULT;
use proptest::prelude::*;
use serde_json::Value;

/// A record as the archive writes it.
fn record(seq: u64, class: &str, tokens: u64, more: &str) -> String {
    let amount = |per: u64| (Exact::from(tokens * per).over(100_000_000.into())).unwrap();
    let (input, output) = (amount(15), amount(60));
    let sum = input.plus(output).unwrap();
    format!(
        r#"{{"private":{{"cost":"1"}},"record":{{"amount":"{sum}","attempt_id":"a{seq}","class":"{class}","currency":"USD","customer":"acme","features":["stream","}}"],"held":"1","lines":[{{"amount":"{input}","meter":"input_uncached","per":"1000000","quantity":"{tokens}","rate":"0.15"}},{{"amount":"{output}","meter":"output_total","per":"1000000","quantity":"{tokens}","rate":"0.6"}}],"model":"gpt-4o-mini"{more},"quantities":[{{"meter":"input_total","provenance":"reported","quantity":"{tokens}","unit":"token"}},{{"meter":"input_uncached","provenance":"reported","quantity":"{tokens}","unit":"token"}},{{"meter":"output_total","provenance":"reported","quantity":"{tokens}","unit":"token"}}],"received_at":"2026-11-24T10:00:00.000Z","seq":{seq}}},"salt":"00"}}"#
    )
}

fn dearer() -> Book {
    Book::parse(&DEFAULT.replacen("\"0.6\"", "\"0.7\"", 1)).unwrap()
}

fn run(book: Book, archive: &str, cut: usize) -> Value {
    let mut what_if = WhatIf::new(By::Book(Box::new(book)));
    archive.as_bytes().chunks(cut.max(1)).for_each(|chunk| what_if.push(chunk));
    serde_json::from_str(&what_if.finish()).unwrap()
}

#[test]
fn under_the_same_book_nothing_differs_and_under_another_each_line_says_by_how_much() {
    let archive: String =
        (1..=3).map(|seq| record(seq, "settled", 1000 * seq, "") + "\n").collect();
    let same = run(Book::parse(DEFAULT).unwrap(), &archive, usize::MAX);
    assert_eq!((&same["changed"], &same["difference"]), (&0.into(), &"0".into()));
    let other = run(dearer(), &archive, usize::MAX);
    assert_eq!(other["attempts"], 3);
    assert_eq!(
        (&other["old"], &other["new"], &other["difference"]),
        (&"0.0045".into(), &"0.0051".into(), &"0.0006".into())
    );
    let lines = &other["models"][0]["lines"];
    assert_eq!(lines[0]["difference"], "0");
    assert_eq!(
        (&lines[1]["meter"], &lines[1]["difference"]),
        (&"output_total".into(), &"0.0006".into())
    );
    let change = &other["examples"][0]["changes"][0];
    assert_eq!(
        (&change["old"]["amount"], &change["new"]["amount"], &change["difference"]),
        (&"0.0006".into(), &"0.0007".into(), &"0.0001".into())
    );
}

#[test]
fn a_line_that_is_no_record_is_told_by_its_number_and_all_others_count() {
    let good = record(1, "settled", 1000, "");
    let long = "x".repeat(LINE_MAX + 1);
    let archive = format!(
        "{good}\n{{\"record\":{{\n\n{}\n{long}\nnull\n{}",
        &good[..90],
        record(2, "settled", 1000, "")
    );
    for cut in [1, 7, 4096, usize::MAX] {
        let answer = run(dearer(), &archive, cut);
        assert_eq!(answer["attempts"], 2);
        assert_eq!(answer["errors"]["count"], 4);
        let told = answer["errors"]["first"].as_array().unwrap();
        let lines: Vec<u64> = told.iter().map(|each| each["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 4, 5, 6]);
        assert_eq!(told[2]["code"], "line_too_long");
    }
}

#[test]
fn a_record_counts_once_and_a_correction_instead_of_what_it_corrects() {
    let first = record(1, "unresolved", 1000, "");
    let then = record(2, "settled", 5000, r#","corrects":1"#);
    let alone = run(dearer(), &then.replace(r#","corrects":1"#, ""), 999);
    for order in [[&first, &then, &then], [&then, &first, &first], [&first, &first, &then]] {
        let archive = order.map(String::as_str).join("\n");
        let answer = run(dearer(), &archive, 100);
        assert_eq!(answer["passed_over"], 2, "{answer}");
        for what in ["attempts", "old", "new", "changed"] {
            assert_eq!(answer[what], alone[what], "{what} of {archive}");
        }
        assert_eq!(answer["examples"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn what_has_no_price_is_counted_by_reason_and_in_no_sum() {
    let archive = format!(
        "{}\n{}",
        record(1, "settled", 1000, ""),
        record(2, "settled", 1000, "").replace("gpt-4o-mini", "gpt-nobody")
    );
    let answer = run(dearer(), &archive, 50);
    assert_eq!(answer["attempts"], 1);
    let unpriced = &answer["unpriced"][0];
    assert_eq!(
        (&unpriced["model"], &unpriced["error"]["code"]),
        (&"gpt-nobody".into(), &"model_not_priced".into())
    );
    assert_eq!(unpriced["old"], "0.00075");
}

#[test]
fn under_a_plan_each_month_is_priced_as_a_whole() {
    let plan = r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
        "fees":[{"id":"base","amount":"5"}],"charges":[{"id":"out","meter":"output_total",
        "charge":{"model":"package","package_size":"1000","price_per_package":"0.10"}}]}"#;
    let archive = format!(
        "{}\n{}\n{}",
        record(1, "settled", 600, ""),
        record(2, "settled", 600, ""),
        record(3, "settled", 600, "").replace("2026-11-24", "2026-12-24")
    );
    let mut what_if = WhatIf::new(By::Plan(Box::new(Plan::parse(plan).unwrap())));
    what_if.push(archive.as_bytes());
    let answer: Value = serde_json::from_str(&what_if.finish()).unwrap();
    let months = answer["months"].as_array().unwrap();
    assert_eq!((&months[0]["new"], &months[1]["new"]), (&"5.2".into(), &"5.1".into()), "{answer}");
    assert_eq!(months[0]["not_in_plan"], serde_json::json!(["input_total", "input_uncached"]));
    assert_eq!((&answer["old"], &answer["new"]), (&"0.00135".into(), &"10.3".into()));
}

proptest! {
    /// The quick reader says what the whole one says, whatever the spelling and wherever it is cut.
    #[test]
    fn read_in_passing_or_whole_a_record_is_the_same(
        tokens in 0_u64..1_000_000, class in 0_usize..3, spaced in any::<bool>(), cut in 1_usize..2000,
        tier in proptest::option::of("[a-z\"\\\\é]{1,6}"), sealed in any::<bool>(),
    ) {
        let class = ["settled", "voided", "unresolved"][class];
        let more = tier.map(|tier| format!(r#","served_tier":{}"#, Value::from(tier))).unwrap_or_default();
        let mut line = record(7, class, tokens, &more);
        if !sealed {
            let value: Value = serde_json::from_str(&line).unwrap();
            line = value["record"].to_string();
        }
        if spaced {
            line = line.replace("\":", "\" : ").replace(",\"", " , \"");
        }
        let attempt = Attempt::parse(&line).unwrap();
        let (book, charged) = (dearer(), attempt.charged().unwrap());
        let answer = run(dearer(), &line, cut);
        let charged_amount = Value::from(charged.amount.to_string());
        prop_assert_eq!(&answer["old"], &charged_amount);
        let priced = attempt.price(&book).unwrap().amount.to_string();
        prop_assert_eq!(&answer["new"], &Value::from(priced));
        prop_assert!(Slim::read(&line).is_some(), "by the quick reader");
    }
}

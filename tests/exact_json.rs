//! Numbers no float holds go through every JSON there is, in and out, and keep every digit: price
//! books, plans, single charges, requests' quotes, months, records and their re-pricing. Runs natively
//! and as Wasm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use farebox::book::Book;
use farebox::calendar::{Calendar, Every};
use farebox::plan::{Plan, Usage};
use farebox::quote::{month, quote_text};
use farebox::rating::charge::answer;
use farebox::replay::reprice_json;
use farebox::replay::whatif::{By, WhatIf};
use serde_json::{Value, json};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// What a float makes of 0.1 + 0.2, what one writes as 1e-9, 28 digits behind the point and before it,
/// and the first whole number that a float skips.
const NUMBERS: [&str; 6] = [
    "0.30000000000000004",
    "0.000000001",
    "0.1234567890123456789012345678",
    "9999999999999999999999999999",
    "79228162514264337593543950.33",
    "9007199254740993",
];

/// A book that sells one unit of output at this price.
fn book(price: &str) -> String {
    json!({ "format": "farebox-book-2", "version": "v", "currency": "USD",
            "effective_from": "2026-01-01T00:00:00Z", "models": [{ "provider": "p", "model": "m",
            "rates": { "input_uncached": { "amount": "0", "per": "1" },
                       "output_total": { "amount": price, "per": "1" } } }] })
    .to_string()
}

/// A record of one unit of output, charged at this price.
fn record(seq: u64, amount: &str) -> String {
    let line = json!({ "meter": "output_total", "quantity": "1", "rate": amount, "per": "1", "amount": amount });
    json!({ "customer": "c", "seq": seq, "attempt_id": format!("a{seq}"), "class": "settled", "model": "m",
            "received_at": "2026-11-24T10:00:00Z", "currency": "USD", "lines": [line], "amount": amount,
            "quantities": [{ "meter": "output_total", "quantity": "1", "unit": "token", "provenance": "reported" }] })
    .to_string()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn at(answer: &str, path: &str) -> String {
    let value = value(answer);
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn a_price_in_a_book_reaches_a_quote_and_a_month_with_every_digit() {
    let request =
        r#"{"endpoint":"/v1/chat/completions","body":{"model":"m","max_tokens":1,"messages":[]}}"#;
    let one = r#"{"volumes":[{"model":"m","meter":"output_total","quantity":"1"}]}"#;
    for number in NUMBERS {
        let text = book(number);
        assert_eq!(at(&quote_text(&text, request), "/upper"), number);
        let parsed = Book::parse(&text).unwrap();
        let month = month::quote_month(&month::read(one).unwrap(), month::By::Book(&parsed));
        assert_eq!(at(&month, "/expected"), number);
        // The other way: so many of them at a price of one.
        let parsed = Book::parse(&book("1")).unwrap();
        let many = one.replace(r#""1""#, &format!("{number:?}"));
        let month = month::quote_month(&month::read(&many).unwrap(), month::By::Book(&parsed));
        assert_eq!(at(&month, "/expected"), number);
        // A JSON number would pass through a float in whatever wrote it: it is refused.
        let bare = text.replace(&format!("{number:?}"), number);
        let fault = Book::parse(&bare).unwrap_err().faults.remove(0);
        assert_eq!(fault.at, "models[0].rates.output_total.amount");
    }
}

#[test]
fn a_charge_and_a_plan_keep_every_digit_of_strings_and_of_numbers() {
    for number in NUMBERS {
        for written in [format!("{number:?}"), number.to_owned()] {
            let price = format!(
                r#"{{"id":1,"charge":{{"model":"per_unit","unit_price":{written}}},"quantity":1}}"#
            );
            assert_eq!(answer(&price)["amount"], number, "{price}");
            let quantity = format!(
                r#"{{"id":1,"charge":{{"model":"per_unit","unit_price":"1"}},"quantity":{written}}}"#
            );
            assert_eq!(answer(&quantity)["amount"], number, "{quantity}");
        }
    }
    // A plan's lines are whole cents: so many units that every digit of the price counts.
    for (price, quantity, want) in [
        ("0.30000000000000004", "1000000000000000", "300000000000000.04"),
        ("1e-9", "1000000000", "1"),
        ("0.000000001", "1000000000", "1"),
        (
            "0.1234567890123456789012345678",
            "100000000000000000000000000",
            "12345678901234567890123456.78",
        ),
        ("9007199254740993", "1", "9007199254740993"),
    ] {
        let plan = format!(
            r#"{{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
            "charges":[{{"id":"c","meter":"calls","charge":{{"model":"per_unit","unit_price":{price}}}}}]}}"#
        );
        let used = format!(r#"{{"usage":[{{"meter":"calls","quantity":{quantity}}}]}}"#);
        let priced = Plan::parse(&plan).unwrap().price(&Usage::parse(&used).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&priced).unwrap()["amount"], want, "{price}");
    }
}

#[test]
fn a_record_is_priced_anew_and_summed_with_every_digit() {
    for number in NUMBERS {
        let parsed = Book::parse(&book(number)).unwrap();
        let answer = reprice_json(&parsed, &record(1, number));
        assert_eq!(at(&answer, "/old/amount"), number);
        assert_eq!(at(&answer, "/new/amount"), number);
        assert_eq!(value(&answer)["changes"], json!([]));
        let bare = record(1, number).replace(&format!("{number:?}"), number);
        assert_eq!(at(&reprice_json(&parsed, &bare), "/error/code"), "invalid_record");
        let mut what_if = WhatIf::new(By::Book(Box::new(parsed))).unwrap();
        what_if.push(record(1, number).as_bytes());
        let report = what_if.finish();
        assert_eq!([at(&report, "/old"), at(&report, "/new")], [number, number]);
        assert_eq!(at(&report, "/difference"), "0");
    }
    let mut what_if = WhatIf::new(By::Book(Box::new(Book::parse(&book("0.3")).unwrap()))).unwrap();
    for (seq, amount) in [(1, "0.1"), (2, "0.2")] {
        what_if.push((record(seq, amount) + "\n").as_bytes());
    }
    let report = what_if.finish();
    assert_eq!([at(&report, "/old"), at(&report, "/new")], ["0.3", "0.6"]);
}

#[test]
fn under_a_plan_recorded_sums_keep_every_digit() {
    let plan = r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
        "charges":[{"id":"t","meter":"tokens","charge":{"model":"per_unit","unit_price":"1"}}]}"#;
    for number in NUMBERS.into_iter().take(3) {
        let calendar = Calendar::aligned("UTC", Every::Month).unwrap();
        let plan = Plan::parse(plan).unwrap();
        let names = Book::parse(farebox::book::DEFAULT).unwrap();
        let by = By::Plan(Box::new(plan), Box::new(calendar), Box::new(names));
        let mut what_if = WhatIf::new(by).unwrap();
        what_if.push(record(1, number).as_bytes());
        let report = what_if.finish();
        assert_eq!([at(&report, "/old"), at(&report, "/new")], [number, "1"]);
    }
}

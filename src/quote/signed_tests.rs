#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
use super::*;
use crate::book::{DEFAULT, input_total};
use crate::money::Exact;
use crate::quote::asked;
use crate::rating;
use crate::wire::usage::{Meter, Provenance, Usage};
use proptest::prelude::*;

const BODY: &str =
    r#"{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"Hi"}]}"#;
const CHAT: &str = "/v1/chat/completions";

fn ring() -> Ring {
    Ring::parse(&format!("1:{}", "0f".repeat(31) + "aa")).unwrap().derived(LABEL).unwrap()
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn request<'a>(endpoint: &'a str, body: &'a str) -> Request<'a> {
    asked::request(endpoint, "application/json", body.as_bytes()).unwrap()
}

fn promise(book: &Book, body: &str, seconds: u32) -> Result<Promise, Problem> {
    let request = request(CHAT, body);
    let (ask, quote) = asked::price(&request, book, Some(now()), |_| None)?;
    let life = Millis::from_secs(seconds);
    Promise::new(name("acme"), (&request, &ask, &quote), (book, None), (now(), life))
}

fn book() -> Book {
    Book::parse(DEFAULT).unwrap()
}

fn token() -> String {
    promise(&book(), BODY, 60).unwrap().text(&ring()).unwrap()
}

fn covers(promise: &Promise, endpoint: &str, body: &str) -> Result<(), Broken> {
    let request = request(endpoint, body);
    let ask = crate::wire::request::inspect(&request).unwrap();
    promise.covers(&request, &ask)
}

#[test]
fn a_signed_quote_says_the_same_when_it_comes_back() {
    let made = promise(&book(), BODY, 60).unwrap();
    let read = Promise::verify(&token(), &ring(), &name("acme"), now()).unwrap();
    assert_eq!(read, made);
    assert_eq!(covers(&read, CHAT, BODY), Ok(()));
    assert!(token().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)));
}

#[test]
fn a_signed_quote_is_good_until_its_time_and_not_a_moment_longer() {
    let at = |ms: i64| Timestamp::from_ms(now().ms() + ms);
    let verify = |ms| Promise::verify(&token(), &ring(), &name("acme"), at(ms));
    assert!(verify(59_999).is_ok());
    assert_eq!(verify(60_000), Err(Broken::Expired));
    assert!(promise(&book(), BODY, 3_600).is_ok());
    assert_eq!(promise(&book(), BODY, 3_601).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(promise(&book(), BODY, 0).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn a_signed_quote_that_is_altered_or_another_customers_is_none() {
    let token = token();
    let verify = |token: &str, customer: &str| {
        Promise::verify(token, &ring(), &name(customer), now()).map(|_| ()).unwrap_err()
    };
    assert_eq!(verify(&token, "other"), Broken::Invalid);
    for at in (0..token.len()).step_by(7) {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'a' { b'b' } else { b'a' };
        assert_eq!(verify(&String::from_utf8(altered).unwrap(), "acme"), Broken::Invalid, "{at}");
    }
    assert_eq!(verify("", "acme"), Broken::Invalid);
    assert_eq!(verify(&"a".repeat(TOKEN_MAX + 1), "acme"), Broken::Invalid);
    let keys = Ring::parse(&format!("1:{}", "0f".repeat(31) + "aa")).unwrap();
    assert_eq!(
        Promise::verify(&token, &keys, &name("acme"), now()),
        Err(Broken::Invalid),
        "the secrets of keys sign no quotes"
    );
}

#[test]
fn a_signed_quote_is_for_one_request_byte_for_byte() {
    let promise = promise(&book(), BODY, 60).unwrap();
    assert_eq!(covers(&promise, CHAT, &BODY.replace("100", "101")), Err(Broken::OtherRequest));
    assert_eq!(covers(&promise, CHAT, &BODY.replace(":1", ": 1")), Err(Broken::OtherRequest));
    assert_eq!(covers(&promise, &format!("{CHAT}?a=b"), BODY), Err(Broken::OtherRequest));
    assert_eq!(covers(&promise, "/v1/messages", BODY), Err(Broken::OtherRequest));
    let dearer = BODY.replace("gpt-4o-mini", "gpt-4o");
    assert_eq!(covers(&promise, CHAT, &dearer), Err(Broken::OtherModel));
}

#[test]
fn a_signed_quote_tells_neither_cost_nor_content() {
    let mut book: serde_json::Value = serde_json::from_str(DEFAULT).unwrap();
    let rate = serde_json::json!({ "amount": "0.0424242", "per": "1000000" });
    book["models"][0]["cost"] =
        serde_json::json!({ "rates": { "input_uncached": rate, "output_total": rate } });
    let book = Book::parse(&book.to_string()).unwrap();
    let body = BODY.replace("Hi", "a secret word");
    let promise = promise(&book, &body, 60).unwrap();
    let json = serde_json::to_string(&promise).unwrap();
    assert!(promise.quote.margin.is_some(), "the book knows the cost");
    for word in ["0424242", "cost", "margin", "secret word"] {
        assert!(!json.contains(word), "{word} in {json}");
    }
}

#[test]
fn what_a_request_does_not_bound_is_not_promised() {
    let search =
        BODY.replace(r#""max_tokens""#, r#""tools":[{"type":"web_search_20250305"}],"max_tokens""#);
    let mut book: serde_json::Value = serde_json::from_str(DEFAULT).unwrap();
    book["models"][0]["feature_caps"] =
        serde_json::json!({ "server_tools": { "input_total": "1000" } });
    let book = Book::parse(&book.to_string()).unwrap();
    let refused = promise(&book, &search, 60).unwrap_err();
    assert_eq!(refused.code, Code::FeatureNotPriced);
    assert!(promise(&book, BODY, 60).is_ok());
}

/// What the header has room for.
#[test]
fn every_model_of_the_catalogue_that_can_be_quoted_can_be_signed() {
    let catalogue = include_str!("../../books/catalogue.json");
    let book = Book::open(catalogue).unwrap();
    let plain = request(CHAT, BODY);
    let mut ask = crate::wire::request::inspect(&plain).unwrap();
    (ask.input_most, ask.max_output) = (10_000_000, Some(100_000));
    let (mut signed, mut longest) = (0, 0);
    for model in book.models() {
        ask.model.clone_from(&model.model);
        // Sold by several providers, or not by tokens: not quoted under this name.
        let Ok(quote) = crate::quote::quote(&ask, &book, Some(now())) else { continue };
        let made = (&plain, &ask, &quote);
        let life = Millis::from_secs(3_600);
        let promise = Promise::new(name("acme"), made, (&book, None), (now(), life)).unwrap();
        longest = longest.max(promise.text(&ring()).unwrap().len());
        signed += 1;
    }
    assert!(signed > 500, "{signed}");
    assert!(longest < 4 * 1024, "{longest}");
}

proptest! {
    /// The book may change as it likes between the quote and the request: what is held is what was
    /// quoted, and no honest answer is charged more than that.
    #[test]
    fn under_an_honoured_quote_no_charge_is_above_the_quoted_most(
        quoted in proptest::collection::vec(1_u32..50, 6), max in 1_u32..400,
        text in "[a-z ]{0,200}", tier in proptest::option::of(Just("batch")), served in 0_usize..3,
        cached in 0_u64..=100, used in 0_u64..=100,
    ) {
        let rate = |amount: u32| serde_json::json!({ "amount": amount.to_string(), "per": "1000" });
        let rates = |at: usize| serde_json::json!({ "input_uncached": rate(quoted[at]),
            "cache_read": rate(quoted[at] / 2), "output_total": rate(quoted[at + 1]) });
        let book = serde_json::json!({ "format": "farebox-book-2", "version": "then", "currency": "USD",
            "effective_from": "2026-01-01T00:00:00Z", "models": [{ "provider": "p", "model": "m",
            "rates": rates(0), "tiers": { "batch": rates(2) },
            "context": [{ "above": "150", "rates": rates(4) }] }] });
        let book = Book::parse(&book.to_string()).unwrap();
        let tier = tier.map(|tier| format!(r#","service_tier":"{tier}""#)).unwrap_or_default();
        let body = format!(
            r#"{{"model":"m","max_tokens":{max},"messages":[{{"role":"user","content":"{text}"}}]{tier}}}"#
        );
        // Long and in a tier that long requests are not sold in: refused, nothing is promised.
        let Ok(made) = promise(&book, &body, 60) else { return Ok(()) };
        let token = made.text(&ring()).unwrap();
        drop(book);
        let promise = Promise::verify(&token, &ring(), &name("acme"), now()).unwrap();
        prop_assert_eq!(covers(&promise, CHAT, &body), Ok(()));
        let most = promise.quote.input_tokens.upper.to_u64().unwrap();
        let mut usage = Usage::default();
        usage.set(Meter::InputTotal, most.into(), Provenance::Reported);
        usage.set(Meter::CacheRead, (most * cached / 100).into(), Provenance::Reported);
        usage.set(Meter::OutputTotal, (u64::from(max) * used / 100).into(), Provenance::Reported);
        let served = [None, Some("default"), Some("batch")][served].filter(|served| {
            tier.is_empty() || *served == "default" || tier.contains(served)
        });
        let card = promise.card.as_ref();
        let rates = card.rates_for(served, input_total(&usage).unwrap());
        let Some(rates) = rates else { return Ok(()) };
        let charged = rating::rate(&usage, rates).unwrap();
        prop_assert!(charged.unpriced.is_empty());
        prop_assert!(charged.amount <= promise.quote.upper, "{} > {}", charged.amount, promise.quote.upper);
        prop_assert!(promise.quote.lower <= promise.quote.upper && promise.quote.lower >= Exact::ZERO);
    }
}

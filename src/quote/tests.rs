#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
use super::*;
use crate::book::{DEFAULT, input_total};
use crate::rating;
use crate::wire::request::{Request, inspect};
use crate::wire::route::Route;
use crate::wire::usage::{Provenance, Usage};
use proptest::prelude::*;
use proptest::{collection, option};

fn book() -> Book {
    Book::parse(DEFAULT).unwrap()
}

fn asked(path: &str, body: &str) -> Ask {
    let route = Route::of(path).unwrap();
    let content_type = "application/json";
    inspect(&Request { route, query: "", content_type, body: body.as_bytes() }).unwrap()
}

fn quoted(model: &str, extra: &str) -> Result<Quote, Unpriced> {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say hi"}}]{extra}}}"#
    );
    quote(&asked("/v1/chat/completions", &body), &book(), None)
}

#[test]
fn r7_s36_s38_the_bound_takes_the_dearest_input_class_and_every_choice() {
    let one = quoted("claude-haiku-4-5", r#","max_tokens":100"#).unwrap();
    assert_eq!(one.lines.first().unwrap().meter, Meter::CacheWrite1h);
    let two = quoted("claude-haiku-4-5", r#","max_tokens":100,"n":2"#).unwrap();
    assert_eq!(two.output_tokens.upper, Exact::from(200));
    assert!(one.lower <= one.expected.unwrap() && one.expected.unwrap() <= one.upper);
}

#[test]
fn s37_without_a_length_the_models_own_maximum_is_held() {
    assert_eq!(quoted("gpt-4o-mini", "").unwrap().output_tokens.upper, Exact::from(16_384));
}

#[test]
fn s36_what_cannot_be_bounded_is_refused_not_guessed() {
    assert_eq!(quoted("gpt-unknown", ""), Err(Unpriced::Model));
    assert_eq!(
        quoted("gpt-4o", r#","service_tier":"priority""#),
        Err(Unpriced::ServiceTier("priority".into()))
    );
    let search = r#","tools":[{"type":"web_search_20250305"}]"#;
    assert_eq!(quoted("claude-haiku-4-5", search), Err(Unpriced::Feature("server_tools")));
    let endless = r#","max_tokens":18446744073709551615,"n":18446744073709551615"#;
    assert_eq!(quoted("gpt-4o", endless), Err(Unpriced::OutOfRange));
}

#[test]
fn tokens_beside_other_meters_are_bounded_by_the_book_or_refused() {
    let of = |rates: &str, caps: &str| {
        let book = format!(
            r#"{{"format":"farebox-book-2","version":"t","currency":"USD",
                "effective_from":"2026-01-01T00:00:00Z","models":[{{"provider":"p","model":"m",
                "rates":{{{rates}}}{caps}}}]}}"#
        );
        let content_type = "multipart/form-data; boundary=b";
        let part = |head: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        let body = part("name=\"model\"", "m") + &part("name=\"file\"; filename=\"a\"", "sound");
        let body = body + "--b--\r\n";
        let route = Route::of("/v1/audio/transcriptions").unwrap();
        let ask = inspect(&Request { route, query: "", content_type, body: body.as_bytes() });
        quote(&ask.unwrap(), &Book::parse(&book).unwrap(), None)
    };
    let second = r#""seconds":{"amount":"1","per":"1"}"#;
    let input = r#""input_uncached":{"amount":"1","per":"1"}"#;
    let both = format!(r#"{input},"output_total":{{"amount":"1","per":"1"}}"#);
    let caps = r#","part_tokens_max":{"audio":"1000"}"#;
    assert_eq!(of(second, "").unwrap().upper, Exact::from(1));
    assert_eq!(of(input, ""), Err(Unpriced::Feature("audio")));
    assert!(of(input, caps).unwrap().upper >= Exact::from(1_000));
    assert_eq!(of(&both, caps), Err(Unpriced::OutputLength));
    let caps = r#","part_tokens_max":{"audio":"1000"},"max_output_tokens":"500""#;
    assert!(of(&both, caps).unwrap().upper >= Exact::from(1_500));
}

#[test]
fn the_affordable_length_fits_the_budget_and_one_token_more_does_not() {
    let quote = quoted("gpt-4o-mini", r#","max_tokens":5000"#).unwrap();
    let budget = "0.001".parse().unwrap();
    let tokens = quote.affordable_output(budget).unwrap().to_u64().unwrap();
    let at = |n: u64| quoted("gpt-4o-mini", &format!(r#","max_tokens":{n}"#)).unwrap().upper;
    assert!(at(tokens) <= budget && at(tokens + 10) > budget);
}

/// A book with one model; the numbers are prices per token.
fn book_of(prices: &[u32], bound: u32) -> Book {
    let meters = [
        "input_uncached",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "text_in",
        "image_in",
        "output_total",
        "reasoning",
        "text_out",
        "requests",
    ];
    let mut prices = prices.iter();
    let mut rates = || -> serde_json::Value {
        let rate = |meter: &&str| {
            let amount = prices.next().copied().unwrap_or(0).to_string();
            ((*meter).to_owned(), serde_json::json!({ "amount": amount, "per": "1000" }))
        };
        meters.iter().map(rate).collect::<serde_json::Map<_, _>>().into()
    };
    let mut tier = |name: &str| serde_json::json!({ name: rates() });
    let (short, long) = (tier("batch"), tier("priority"));
    let night = serde_json::json!({ "from": "22:00", "to": "06:00" });
    let model = serde_json::json!({
        "provider": "p", "model": "m", "max_output_tokens": "1000", "part_tokens_max": { "image": "100" },
        "rates": rates(), "tiers": short,
        "context": [{ "above": bound.to_string(), "rates": rates(), "tiers": long }],
        "variants": [{ "hours": night, "rates": rates() }, { "region": "eu", "quality": "hd", "rates": rates() }],
    });
    let book = serde_json::json!({
        "format": "farebox-book-2", "version": "1", "currency": "USD",
        "effective_from": "2026-01-01T00:00:00Z", "models": [model],
    });
    Book::parse(&book.to_string()).unwrap()
}

proptest! {
    /// The invariant money depends on: no honest answer, served in whatever tier, region or
    /// quality the upstream may choose, costs more than what was held.
    #[test]
    fn r7_no_honest_answer_costs_more_than_its_hold(
        prices in collection::vec(0_u32..50, 60), bound in 0_u32..200, hour in 0_u32..24,
        text in "[a-z ]{0,120}", length in 1_u32..500, tier_asked in option::of(0_usize..3),
        parts in collection::vec(0_u64..1000, 5), used in 0_u64..=1000,
        served in 0_usize..4, place in 0_usize..4,
    ) {
        let tiers = ["batch", "priority", "default"];
        let tier = tier_asked.map(|at| format!(r#","service_tier":"{}""#, tiers[at])).unwrap_or_default();
        let body = format!(
            r#"{{"model":"m","max_tokens":{length},"messages":[{{"role":"user","content":[
                {{"type":"text","text":"{text}"}},
                {{"type":"image_url","image_url":{{"url":"x"}}}}]}}]{tier}}}"#
        );
        let ask = asked("/v1/chat/completions", &body);
        let book = book_of(&prices, bound);
        let at: Timestamp = format!("2026-11-24T{hour:02}:30:00Z").parse().unwrap();
        // Refused, as that tier is not sold: then nothing is held, and nothing served.
        let Ok(quote) = quote(&ask, &book, Some(at)) else { return Ok(()) };
        let most = quote.input_tokens.upper.to_u64().unwrap();
        let share = |n: usize| most * parts[n] / parts.iter().sum::<u64>().max(1);
        let mut usage = Usage::default();
        usage.set(Meter::InputTotal, (share(0) + share(1) + share(2) + share(3) + share(4)).into(), Provenance::Reported);
        usage.set(Meter::CacheRead, share(0).into(), Provenance::Reported);
        usage.set(Meter::CacheWrite, (share(1) + share(2)).into(), Provenance::Reported);
        usage.set(Meter::CacheWrite1h, share(2).into(), Provenance::Reported);
        usage.set(Meter::ImageIn, share(3).into(), Provenance::Reported);
        let output = quote.output_tokens.upper.to_u64().unwrap();
        let output = output.min(output * used / 1000);
        usage.set(Meter::OutputTotal, output.into(), Provenance::Reported);
        usage.set(Meter::Reasoning, (output / 3).into(), Provenance::Reported);
        usage.set(Meter::Requests, 1.into(), Provenance::Reported);

        let situation = Situation {
            at: Some(at),
            region: ["us", "eu", "eu", "us"].get(place).copied(),
            quality: ["hd", "hd", "plain", "plain"].get(place).copied(),
            resolution: None,
        };
        let card = book.find(None, "m").unwrap().card(&situation).unwrap();
        let may_serve = |tier: &str| match ask.service_tier.as_deref() {
            None | Some("auto") => true,
            Some(asked) => tier == asked || tier == "default",
        };
        let served = ["default", "batch", "priority", "flex"][served];
        let input = input_total(&usage).unwrap();
        let Some(rates) = card.rates_for(Some(served), input).filter(|_| may_serve(served)) else {
            return Ok(());
        };
        let settled = rating::rate(&usage, rates).unwrap();
        prop_assert!(settled.unpriced.is_empty() && settled.suspect.is_empty());
        prop_assert!(settled.amount <= quote.upper, "{:?} > {}", settled, quote.upper);
        prop_assert!(quote.lower <= quote.upper);
    }
}

#[test]
fn a_request_sold_below_the_guarded_margin_is_refused_or_flagged() {
    let guarded = |percent: &str, action: &str, cost: &str| {
        let mut book: serde_json::Value = serde_json::from_str(DEFAULT).unwrap();
        let free = serde_json::json!({ "amount": "0", "per": "1000000" });
        book["models"][0]["rates"]["output_total"] = free.clone();
        let rate = serde_json::json!({ "amount": cost, "per": "1000000" });
        book["models"][0]["cost"] =
            serde_json::json!({ "rates": { "input_uncached": rate, "output_total": free } });
        book["margin_guard"] = serde_json::json!({ "at_least_percent": percent, "action": action });
        let body =
            r#"{"model":"gpt-4o-mini","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}"#;
        quote(&asked("/v1/chat/completions", body), &Book::parse(&book.to_string()).unwrap(), None)
    };
    // Sold at 0.15 a million tokens: 0.12 leaves exactly 20 percent.
    assert!(!guarded("20", "refuse", "0.12").unwrap().margin.unwrap().alert);
    assert_eq!(guarded("20", "refuse", "0.1201"), Err(Unpriced::Margin));
    assert!(guarded("20", "alert", "0.1201").unwrap().margin.unwrap().alert);
    assert!(guarded("-10", "refuse", "0.16").is_ok(), "a known loss of under a tenth");
    assert_eq!(guarded("0", "refuse", "0.16"), Err(Unpriced::Margin));
    let shown = serde_json::to_string(&guarded("0", "alert", "0.16").unwrap()).unwrap();
    assert!(!shown.contains("margin") && !shown.contains("cost"), "the customer sees neither");
}

#[test]
fn a_length_that_the_upstream_may_not_know_is_not_believed() {
    let with = |provider: &str| {
        let text =
            DEFAULT.replace(r#""provider": "openai""#, &format!(r#""provider": "{provider}""#));
        let body = r#"{"model":"gpt-4o-mini","max_completion_tokens":1,"messages":[{"role":"user","content":"Hi"}]}"#;
        let book = Book::parse(&text).unwrap();
        quote(&asked("/v1/chat/completions", body), &book, None).unwrap().output_tokens.upper
    };
    assert_eq!(with("openai"), Exact::from(1));
    assert_eq!(with("ollama"), Exact::from(16_384));
    assert_eq!(with("openai-compatible"), Exact::from(16_384), "a likeness is not a provider");
}

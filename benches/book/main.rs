//! What pricing costs: loading a book of 2,000 models, finding one, rating a usage, quoting.
//!
//! `make bench-book`. Figures are in docs/benchmarks.md.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::float_arithmetic)]

use std::hint::black_box;
use std::time::Instant;

use farebox::book::{Book, Situation, input_total};
use farebox::rating;
use farebox::wire::usage::{Meter, Provenance, Usage};

const CATALOGUE: &str = include_str!("../../books/catalogue.json");

/// Models in the measured book.
const MODELS: usize = 2_000;

/// The first models of the catalogue, with all of its providers.
fn book_json() -> String {
    let mut document: serde_json::Value = serde_json::from_str(CATALOGUE).unwrap();
    document.get_mut("models").unwrap().as_array_mut().unwrap().truncate(MODELS);
    document.to_string()
}

/// The time of one `work` in nanoseconds over `rounds` rounds of `each`: the median, and the least,
/// which is what it takes on a machine that does nothing else.
fn measure(name: &str, rounds: usize, each: u32, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..each).for_each(|_| work());
            start.elapsed().as_nanos() as f64 / f64::from(each)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |nth: usize| times.get(nth).copied().unwrap_or_default();
    println!("{name:40} {:>12.0} ns, at best {:.0} ns", at(rounds / 2), at(0));
}

fn main() {
    let json = book_json();
    println!("book of {MODELS} models, {} bytes", json.len());
    measure("load, check and index", 51, 1, || drop(black_box(Book::parse(black_box(&json)))));
    measure("open and index one checked before", 51, 1, || {
        drop(black_box(Book::open(black_box(&json))));
    });
    let book = Book::open(&json).unwrap();
    let mut usage = Usage::default();
    for (meter, count) in [
        (Meter::InputTotal, 12_345_u64),
        (Meter::CacheRead, 10_000),
        (Meter::InputUncached, 2_345),
        (Meter::OutputTotal, 678),
        (Meter::Reasoning, 512),
        (Meter::Requests, 1),
    ] {
        usage.set(meter, count.into(), Provenance::Reported);
    }
    let situation = Situation { at: "2026-11-24T12:00:00Z".parse().ok(), ..Situation::default() };
    let find = || book.find(black_box(Some("openai")), black_box("gpt-4o-mini")).unwrap();
    measure("find a model by its name", 2_001, 200, || {
        black_box(find());
    });
    measure("find a model by its family", 2_001, 200, || {
        black_box(book.find(Some("anthropic"), black_box("claude-3-5-haiku-20241022")));
    });
    let model = find();
    let rates = |model: &farebox::book::Model| {
        let card = model.card(&situation).unwrap();
        let input = input_total(&usage).unwrap();
        rating::rate(&usage, card.rates_for(Some("priority"), input).unwrap()).unwrap()
    };
    measure("rate a usage", 2_001, 200, || drop(black_box(rates(black_box(model)))));
    measure("price one request: find and rate", 2_001, 200, || drop(black_box(rates(find()))));
}

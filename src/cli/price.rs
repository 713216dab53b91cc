//! `farebox price`: what do usages cost?

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Failure;
use super::catalogue::CATALOGUE;
use super::lines::{self, LineError};
use crate::book::rates::once;
use crate::book::{Book, Rates, Situation, input_total, is_default_tier};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};
use crate::rating;
use crate::wire::number;
use crate::wire::usage::{Meter, Provenance, Usage};

#[derive(Deserialize)]
struct Input {
    id: Value,
    #[serde(default)]
    provider: Option<String>,
    model: String,
    #[serde(deserialize_with = "once")]
    usage: BTreeMap<Meter, Box<RawValue>>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    book: Option<String>,
}

pub(super) fn run(args: &lines::Args) -> Result<(), Failure> {
    let now = super::session::now();
    let mut books: BTreeMap<Option<String>, Book> = BTreeMap::new();
    lines::each(args, |line| {
        let input: Input = serde_json::from_str(line)
            .map_err(|error| LineError::new("invalid_input", error.to_string()))?;
        if !books.contains_key(&input.book) {
            books.insert(input.book.clone(), read_book(input.book.as_deref())?);
        }
        let book = books.get(&input.book);
        book.ok_or_else(|| LineError::new("invalid_book", "no book"))
            .and_then(|book| price(&input, book, now))
    })
}

fn read_book(path: Option<&str>) -> Result<Book, LineError> {
    let invalid = |problem: String| LineError::new("invalid_book", problem);
    match path {
        Some(path) => super::book::read(path.as_ref()).map_err(invalid),
        None => Book::open(CATALOGUE).map_err(|error| invalid(error.to_string())),
    }
}

fn price(input: &Input, book: &Book, now: Timestamp) -> Result<Value, LineError> {
    let model = book.find(input.provider.as_deref(), &input.model).ok_or_else(|| {
        LineError::new("model_not_priced", format!("the book does not list {:?}", input.model))
    })?;
    let at = input.at.unwrap_or(now);
    if at < book.effective_from() {
        let message = format!("book {} is in force from {}", book.version(), book.effective_from());
        return Err(LineError::new("price_not_in_force", message));
    }
    let card =
        model.card(&Situation { at: Some(at), ..Situation::default() }).ok_or_else(|| {
            LineError::new("price_not_in_force", format!("{:?} has no rates at {at}", input.model))
        })?;
    let usage = usage(input)?;
    let out_of_range = |error: OutOfRange| LineError::new("amount_out_of_range", error.to_string());
    let total = input_total(&usage).map_err(out_of_range)?;
    // A provider that serves another's model does so at its price, but not in its service tiers.
    let own = input
        .provider
        .as_deref()
        .and_then(|p| book.provider_id(p))
        .is_none_or(|id| id == model.provider);
    let (rates, tier) = tier(input.service_tier.as_deref(), |tier| {
        if own || tier.is_none() { card.rates_for(tier, total) } else { None }
    });
    let rates =
        rates.ok_or_else(|| LineError::new("model_not_priced", "the model has no rates"))?;
    let rated = rating::rate(&usage, rates).map_err(out_of_range)?;
    if let Some(meter) = rated.unpriced.first() {
        let message = format!("{:?} has no rate for {}", input.model, meter.as_str());
        return Err(LineError::new("meter_not_priced", message));
    }
    if let Some(meter) = rated.suspect.first() {
        let message = format!("the parts of {} add up to more than it", meter.as_str());
        return Err(LineError::new("usage_inconsistent", message));
    }
    let mut answer = json!({ "id": input.id, "amount": rated.amount, "currency": book.currency(),
                             "lines": rated.lines, "book_version": book.version() });
    if let (Some(tier), Some(answer)) = (tier, answer.as_object_mut()) {
        answer.insert("service_tier".into(), tier.into());
    }
    Ok(answer)
}

/// The rates of the tier asked for. A model that is not sold in that tier is served, and charged,
/// in its default one; the answer then says so.
fn tier<'a>(
    asked: Option<&str>,
    rates_for: impl Fn(Option<&str>) -> Option<&'a Rates>,
) -> (Option<&'a Rates>, Option<&'static str>) {
    match asked.filter(|tier| !is_default_tier(tier)) {
        Some(tier) => match rates_for(Some(tier)) {
            Some(rates) => (Some(rates), None),
            None => (rates_for(None), Some("default")),
        },
        None => (rates_for(None), None),
    }
}

/// Quantities are decimal strings; plain JSON numbers are read as well, by their digits.
fn usage(input: &Input) -> Result<Usage, LineError> {
    let mut usage = Usage::default();
    for (meter, raw) in &input.usage {
        if raw.get() == "null" {
            continue; // Not reported; that is not nought.
        }
        let written = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let quantity: Option<Exact> =
            written.map_or_else(|| number::parse(raw.get()), |text| text.parse().ok());
        let quantity = quantity.filter(|quantity| !quantity.is_negative()).ok_or_else(|| {
            let message = format!("{}: {} is not a quantity", meter.as_str(), raw.get());
            LineError::new("invalid_input", message)
        })?;
        usage.set(*meter, quantity, Provenance::Reported);
    }
    Ok(usage)
}

//! Recorded usage × another book → what it would have cost, line by line. The command, the browser
//! and tests run this code; it holds no more than one line of an archive at a time.

mod account;
mod periods;
mod read;
mod seen;
mod shape;
mod tally;
#[cfg(all(target_arch = "wasm32", feature = "whatif"))]
mod wasm;
pub mod whatif;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::book::{Book, Situation, input_total};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};
use crate::rating::{self, Line};
use crate::record::{Class, Quantity, SubUsage};
use crate::wire::usage::{Meter, Usage};

/// What a re-pricing needs of a usage record.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// Whose it is.
    pub customer: String,
    /// Position in the customer's chain.
    pub seq: u64,
    /// On a correction: the record it corrects.
    #[serde(default)]
    pub corrects: Option<u64>,
    /// The attempt; a correction names the same one.
    pub attempt_id: String,
    /// Settled, voided or unresolved.
    pub class: Class,
    /// The model asked for.
    pub model: String,
    /// When it was asked: the price of that moment applies.
    pub received_at: Timestamp,
    /// Where it was served, where that made a price.
    #[serde(default)]
    pub region: Option<String>,
    /// The service tier that served.
    #[serde(default)]
    pub served_tier: Option<String>,
    /// The path asked for.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The key it was asked with.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Currency of the amounts.
    pub currency: String,
    /// What was used.
    pub quantities: Vec<Quantity>,
    /// The arithmetic.
    pub lines: Vec<Line>,
    /// What other models used.
    #[serde(default)]
    pub sub_usage: Vec<SubUsage>,
    /// On outcomes: which attempt reached them.
    #[serde(default)]
    pub outcome_of: Option<IgnoredAny>,
    /// On a correction: what was charged before.
    #[serde(default)]
    pub previous: Option<Exact>,
    /// What the record added to the spend.
    pub amount: Exact,
}

/// Why an attempt has no price in a book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code", content = "meter")]
pub enum NoPrice {
    /// The book does not list the model, or not at that time.
    ModelNotPriced,
    /// It lists the model, but not this meter.
    MeterNotPriced(Meter),
    /// The book's amounts are in another currency than the record's.
    CurrencyDiffers,
    /// The amount is not exact in 28 digits.
    AmountOutOfRange,
}

impl From<OutOfRange> for NoPrice {
    fn from(_: OutOfRange) -> Self {
        Self::AmountOutOfRange
    }
}

/// One attempt at a price.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Priced {
    /// The sum of the lines.
    pub amount: Exact,
    /// One a meter.
    pub lines: Vec<Line>,
}

/// The change of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineChange {
    /// Of what.
    pub meter: Meter,
    /// The line before; absent where the meter was not charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Line>,
    /// The line after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Line>,
    /// After less before; absent where that is not exact in 28 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Exact>,
}

/// An archive's line: the record with its signature, or the record alone.
#[derive(Deserialize)]
struct Sealed {
    record: Attempt,
}

impl Attempt {
    /// Reads one line of an archive.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Sealed>(line)
            .map(|sealed| sealed.record)
            .or_else(|_| serde_json::from_str(line))
    }

    /// What the attempt was charged in all, as recorded. A correction's amount is a difference.
    pub fn charged(&self) -> Result<Priced, OutOfRange> {
        let amount = self.amount.plus(self.previous.unwrap_or(Exact::ZERO))?;
        let others = self.sub_usage.iter().flat_map(|sub| &sub.lines);
        Ok(Priced { amount, lines: self.lines.iter().chain(others).cloned().collect() })
    }

    /// What it costs by a book, at the time it was asked and in the tier that served. Where the
    /// book does not sell that tier, its default applies, as in settlement; so does a breakdown by
    /// models only where the book sells all of them.
    pub fn price(&self, book: &Book) -> Result<Priced, NoPrice> {
        if self.class == Class::Voided {
            return Ok(Priced::default());
        }
        if self.currency != book.currency() {
            return Err(NoPrice::CurrencyDiffers);
        }
        let (usage, others) = self.split(|sub| book.find(None, self.model_of(sub)).is_some());
        let mut priced = self.price_usage(book, &self.model, &usage)?;
        for sub in others {
            let more = self.price_usage(book, self.model_of(sub), &usage_of(&sub.quantities))?;
            priced.amount = priced.amount.plus(more.amount)?;
            priced.lines.extend(more.lines);
        }
        Ok(priced)
    }

    /// What is priced at the record's own model, and what by itself: what other models used beside it,
    /// and a breakdown by models of which every part is `sold`.
    fn split(&self, sold: impl Fn(&SubUsage) -> bool) -> (Usage, Vec<&SubUsage>) {
        let mut own = usage_of(&self.quantities);
        let parts: Vec<&SubUsage> = self.sub_usage.iter().filter(|sub| sub.included).collect();
        let is_apart = !parts.is_empty() && parts.iter().all(|part| sold(part));
        if is_apart {
            let parts: Vec<Usage> = parts.iter().map(|sub| usage_of(&sub.quantities)).collect();
            own = rating::without_parts(&own, &parts.iter().collect::<Vec<_>>());
        }
        let others = self.sub_usage.iter().filter(|sub| is_apart || !sub.included);
        (own, others.collect())
    }

    /// What of it the gate gives to a plan, the record's own usage; and what other models used, which
    /// it prices by the book. A breakdown that was charged part by part, or of which `names` lists every
    /// part where terms left no lines that would tell, is other models' as well.
    fn for_plan(&self, names: &Book, provider: Option<&str>) -> Result<(Usage, Usage), OutOfRange> {
        let mut parts = self.sub_usage.iter().filter(|sub| sub.included);
        let is_apart = parts.any(|sub| !sub.lines.is_empty() || !sub.unpriced.is_empty());
        let is_own = |model: &str| model == self.model;
        let (own, others) = self.split(|sub| {
            let listed = |model| is_own(model) || names.find(provider, model).is_some();
            is_apart || (self.lines.is_empty() && listed(self.model_of(sub)))
        });
        let mut beside = Usage::default();
        for quantity in others.iter().flat_map(|sub| &sub.quantities) {
            let sum = beside.get(quantity.meter).unwrap_or_default().plus(quantity.quantity)?;
            beside.set(quantity.meter, sum, quantity.provenance);
        }
        Ok((own, beside))
    }

    /// Of the correction of an outcome: that outcome's record, number `seq`. It used nothing itself and
    /// has no lines, so all of it is known from what is taken back.
    fn reversed(&self, seq: u64) -> Option<Self> {
        let amount = self.previous.filter(|_| self.outcome_of.is_some())?;
        let class = Class::Settled;
        Some(Self { seq, class, corrects: None, previous: None, amount, ..self.clone() })
    }

    fn model_of<'s>(&'s self, sub: &'s SubUsage) -> &'s str {
        sub.model.as_deref().unwrap_or(&self.model)
    }

    fn price_usage(&self, book: &Book, model: &str, usage: &Usage) -> Result<Priced, NoPrice> {
        let region = self.region.as_deref();
        let situation = Situation { at: Some(self.received_at), region, ..Situation::default() };
        let model = book.find(None, model).ok_or(NoPrice::ModelNotPriced)?;
        let card = model.card(&situation).ok_or(NoPrice::ModelNotPriced)?;
        let input = input_total(usage)?;
        let rates = card
            .rates_for(self.served_tier.as_deref(), input)
            .or_else(|| card.rates_for(None, input))
            .ok_or(NoPrice::ModelNotPriced)?;
        let rated = rating::rate(usage, rates)?;
        match rated.unpriced.first() {
            Some(meter) => Err(NoPrice::MeterNotPriced(*meter)),
            None => Ok(Priced { amount: rated.amount, lines: rated.lines }),
        }
    }
}

fn usage_of(quantities: &[Quantity]) -> Usage {
    let mut usage = Usage::default();
    for quantity in quantities {
        usage.set(quantity.meter, quantity.quantity, quantity.provenance);
    }
    usage
}

/// One line of an archive by a book, as JSON: `{"old", "new", "changes"}`, or `{"error": …}`.
pub fn reprice_json(book: &Book, line: &str) -> String {
    let side = |outcome: &Result<Priced, NoPrice>| match outcome {
        Ok(priced) => serde_json::json!(priced),
        Err(why) => serde_json::json!({ "error": why }),
    };
    let answer = match Attempt::parse(line) {
        Ok(attempt) => {
            let (old, new) = (attempt.charged().map_err(NoPrice::from), attempt.price(book));
            let changes = match (&old, &new) {
                (Ok(old), Ok(new)) => line_changes(old, new),
                _ => Vec::new(),
            };
            serde_json::json!({ "old": side(&old), "new": side(&new), "changes": changes })
        }
        Err(error) => {
            serde_json::json!({ "error": { "code": "invalid_record", "message": error.to_string() } })
        }
    };
    answer.to_string()
}

/// The lines that differ, in the order of the meters.
pub fn line_changes(old: &Priced, new: &Priced) -> Vec<LineChange> {
    let of = |priced: &Priced, meter| priced.lines.iter().find(|line| line.meter == meter).cloned();
    let amount = |line: &Option<Line>| line.as_ref().map_or(Exact::ZERO, |line| line.amount);
    let change = |meter: &Meter| {
        let (old, new) = (of(old, *meter), of(new, *meter));
        let difference = amount(&new).minus(amount(&old)).ok();
        LineChange { meter: *meter, old, new, difference }
    };
    Meter::ALL.iter().map(change).filter(|change| change.old != change.new).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::book::DEFAULT;

    fn record(more: &str) -> String {
        format!(
            r#"{{"record":{{"customer":"acme","seq":1,"attempt_id":"a","class":"settled",
            "model":"gpt-4o-mini","received_at":"2026-11-24T10:00:00Z","currency":"USD",
            "quantities":[{{"meter":"input_uncached","quantity":"1000","unit":"token","provenance":"reported"}},
                          {{"meter":"output_total","quantity":"100","unit":"token","provenance":"reported"}}],
            "lines":[{{"meter":"input_uncached","quantity":"1000","rate":"0.15","per":"1000000","amount":"0.00015"}},
                     {{"meter":"output_total","quantity":"100","rate":"0.6","per":"1000000","amount":"0.00006"}}],
            "amount":"0.00021"{more}}}}}"#
        )
    }

    #[test]
    fn under_the_same_book_nothing_changes() {
        let attempt = Attempt::parse(&record("")).unwrap();
        let book = Book::parse(DEFAULT).unwrap();
        let (old, new) = (attempt.charged().unwrap(), attempt.price(&book).unwrap());
        assert_eq!(old, new);
        assert_eq!(line_changes(&old, &new), []);
    }

    #[test]
    fn a_changed_rate_shows_in_its_line_alone() {
        let attempt = Attempt::parse(&record("")).unwrap();
        let book = Book::parse(&DEFAULT.replacen("\"0.6\"", "\"0.7\"", 1)).unwrap();
        let (old, new) = (attempt.charged().unwrap(), attempt.price(&book).unwrap());
        assert_eq!(new.amount, "0.00022".parse().unwrap());
        let changes = line_changes(&old, &new);
        assert_eq!(
            changes.iter().map(|change| change.meter).collect::<Vec<_>>(),
            [Meter::OutputTotal]
        );
    }

    #[test]
    fn what_the_other_book_cannot_price_is_said_not_counted_as_nought() {
        let attempt = Attempt::parse(&record("")).unwrap();
        let renamed = Book::parse(&DEFAULT.replace("gpt-4o-mini", "gpt-4o-tiny")).unwrap();
        assert_eq!(attempt.price(&renamed), Err(NoPrice::ModelNotPriced));
        let euros = Book::parse(&DEFAULT.replace("\"USD\"", "\"EUR\"")).unwrap();
        assert_eq!(attempt.price(&euros), Err(NoPrice::CurrencyDiffers));
    }

    #[test]
    fn the_browser_hears_both_sides_and_every_line_that_differs() {
        let book = Book::parse(&DEFAULT.replacen("\"0.6\"", "\"0.7\"", 1)).unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(&reprice_json(&book, &record(""))).unwrap();
        let at = |path: &str| answer.pointer(path).and_then(serde_json::Value::as_str).unwrap();
        assert_eq!((at("/old/amount"), at("/new/amount")), ("0.00021", "0.00022"));
        assert_eq!(at("/changes/0/meter"), "output_total");
        let euros = Book::parse(&DEFAULT.replace("\"USD\"", "\"EUR\"")).unwrap();
        assert!(
            reprice_json(&euros, &record(""))
                .contains(r#""new":{"error":{"code":"currency_differs"}}"#)
        );
        assert!(reprice_json(&book, "{}").contains("invalid_record"));
    }

    #[test]
    fn a_correction_stands_for_the_whole_attempt() {
        let attempt = Attempt::parse(&record(r#","previous":"0.0001""#)).unwrap();
        assert_eq!(attempt.charged().unwrap().amount, "0.00031".parse().unwrap());
    }
}

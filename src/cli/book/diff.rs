//! `farebox book diff`: what a new version changes, and what that means for recent revenue.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::read;
use crate::book::{Book, CardRef, Model, Rate, Rates};
use crate::cli::replay::{self, Totals};
use crate::cli::{Failure, say};
use crate::wire::usage::Meter;

/// Show which rates differ between two books.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The book in force.
    old: PathBuf,
    /// The book that shall follow.
    new: PathBuf,
    /// Usage records (NDJSON, a file or a folder): also show what they would have cost.
    #[arg(long)]
    records: Option<PathBuf>,
}

/// What differs between two books.
#[derive(Serialize)]
pub(super) struct Difference {
    /// Models of the new book only.
    added: Vec<String>,
    /// Models of the old book only.
    removed: Vec<String>,
    changed: Vec<Change>,
    /// The currencies, where they differ: every amount then means something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<(String, String)>,
}

/// One rate that differs.
#[derive(Serialize)]
struct Change {
    provider: String,
    model: String,
    /// Period, variant, context tier and service tier, as a path in the model: `tiers.batch`.
    at: String,
    meter: Meter,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Rate>,
}

/// A model of one of the two books only.
type Name<'a> = (&'a str, &'a str);

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let difference = compare(&old, &new);
    let effect =
        args.records.as_deref().map(|path| replay::effect(path, &old, &new)).transpose()?;
    if json {
        let mut answer = serde_json::json!(difference);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("effect".into(), serde_json::json!(effect));
        }
        return say(&answer.to_string());
    }
    difference.show(usize::MAX)?;
    effect.iter().try_for_each(Totals::show)
}

/// Everything that differs.
pub(super) fn compare(old: &Book, new: &Book) -> Difference {
    let (before, after) = (by_name(old), by_name(new));
    let only =
        |one: &BTreeMap<Name<'_>, &Model>, other: &BTreeMap<Name<'_>, &Model>| -> Vec<String> {
            let gone = one.keys().filter(|name| !other.contains_key(*name));
            gone.map(|(provider, model)| format!("{provider} {model}")).collect()
        };
    let (added, removed) = (only(&after, &before), only(&before, &after));
    let both = before.iter().filter_map(|(name, old)| Some((old, after.get(name)?)));
    let changed = both.flat_map(|(old, new)| changes(old, new)).collect();
    let currencies = (old.currency().to_owned(), new.currency().to_owned());
    let currency = (currencies.0 != currencies.1).then_some(currencies);
    Difference { added, removed, changed, currency }
}

impl Difference {
    /// For people: at most so many lines of each kind, and how many there are.
    pub(super) fn show(&self, most: usize) -> Result<(), Failure> {
        show_some(most, self.added.iter().map(|name| format!("+ {name}")))?;
        show_some(most, self.removed.iter().map(|name| format!("- {name}")))?;
        show_some(most, self.changed.iter().map(Change::to_line))?;
        if let Some((old, new)) = &self.currency {
            say(&format!("currency: {old} -> {new}"))?;
        }
        say(&format!(
            "{} added, {} removed, {} rates changed",
            self.added.len(),
            self.removed.len(),
            self.changed.len()
        ))
    }
}

fn show_some(most: usize, mut lines: impl Iterator<Item = String>) -> Result<(), Failure> {
    lines.by_ref().take(most).try_for_each(|line| say(&line))?;
    match lines.count() {
        0 => Ok(()),
        more => say(&format!("  … and {more} more")),
    }
}

fn by_name(book: &Book) -> BTreeMap<Name<'_>, &Model> {
    book.models().map(|model| ((model.provider.as_str(), model.model.as_str()), model)).collect()
}

fn changes(old: &Model, new: &Model) -> Vec<Change> {
    let (before, after) = (rates_by_place(old), rates_by_place(new));
    let places: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let none = Rates::default();
    let mut changes = Vec::new();
    for place in places {
        let of = |side: &BTreeMap<String, Rates>| {
            side.get(place).cloned().unwrap_or_else(|| none.clone())
        };
        let (before, after) = (of(&before), of(&after));
        let meters: std::collections::BTreeSet<&Meter> =
            before.0.keys().chain(after.0.keys()).collect();
        for meter in meters {
            let (was, is) = (before.get(*meter).copied(), after.get(*meter).copied());
            if was != is {
                changes.push(Change {
                    provider: new.provider.clone(),
                    model: new.model.clone(),
                    at: place.clone(),
                    meter: *meter,
                    old: was,
                    new: is,
                });
            }
        }
    }
    changes
}

/// Every set of rates of a model by where it stands. What a place is called says what it is for, so
/// that a period that moved in the list is still the same period.
fn rates_by_place(model: &Model) -> BTreeMap<String, Rates> {
    let mut places = BTreeMap::new();
    let mut card = |place: &str, card: CardRef<'_>| {
        let mut put = |place: String, rates: &Rates| drop(places.insert(place, rates.clone()));
        put(format!("{place}rates"), card.rates);
        for (tier, rates) in &card.tiers.0 {
            put(format!("{place}tiers.{tier}"), rates);
        }
        for context in card.context {
            let bound = context.above.map(|above| format!("above {above}"));
            let bound = bound.or(context.at_least.map(|least| format!("at_least {least}")));
            let place = format!("{place}context[{}].", bound.unwrap_or_default());
            put(format!("{place}rates"), &context.rates);
            for (tier, rates) in &context.tiers.0 {
                put(format!("{place}tiers.{tier}"), rates);
            }
        }
    };
    card("", CardRef { rates: &model.rates, tiers: &model.tiers, context: &model.context });
    for (nth, variant) in model.variants.iter().enumerate() {
        let own =
            CardRef { rates: &variant.rates, tiers: &variant.tiers, context: &variant.context };
        card(&format!("variants[{nth}]."), own);
    }
    for period in &model.history {
        let from = period.valid_from.map_or("the beginning".to_owned(), |from| from.to_string());
        let place = format!("from {from}: ");
        card(
            &place,
            CardRef { rates: &period.rates, tiers: &period.tiers, context: &period.context },
        );
    }
    if let Some(cost) = &model.cost {
        card("cost.", cost.as_ref());
    }
    places
}

impl Change {
    fn to_line(&self) -> String {
        let rate = |rate: Option<Rate>| {
            rate.map_or("-".to_owned(), |rate| format!("{} per {}", rate.amount, rate.per))
        };
        format!(
            "  {} {} {} {}: {} -> {}",
            self.provider,
            self.model,
            self.at,
            self.meter.as_str(),
            rate(self.old),
            rate(self.new)
        )
    }
}

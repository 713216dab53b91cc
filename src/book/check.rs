//! What must hold of a book before it may price anything. Every fault is found, not only the
//! first, and each says where it is.

use core::fmt;
use std::collections::{HashMap, HashSet};

use super::choose::is_default_tier;
use super::rates::{Rates, Tiers};
use super::schema::{ContextTier, Document, Model, Pattern, Variant};
use crate::money::Exact;
use crate::wire::usage::Meter;

/// Most models in a book: four times the largest public catalogue.
pub const MODELS_MAX: usize = 20_000;

/// Longest book that is read: 16 MiB, eight times the built-in catalogue. What is longer is
/// refused before it is parsed.
pub const BOOK_MAX: usize = 16 * 1024 * 1024;

/// Most faults that are listed; the next one is of more use after those are mended.
pub const FAULTS_MAX: usize = 100;

/// Most context tiers, variants or periods of one model: more than any provider has by ten.
const ENTRIES_MAX: usize = 64;

/// One thing that is wrong with a book.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Where: `models[3].rates.cache_read.per`.
    pub at: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Why a book was refused: all its faults, up to [`FAULTS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookError {
    /// In the order of the document; at least one.
    pub faults: Vec<Fault>,
    /// There are more than are listed.
    pub more: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.at, self.problem)
        }
    }
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the price book is wrong: ")?;
        for (nth, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if nth == 0 { "" } else { "; " })?;
        }
        if self.more { f.write_str("; and more") } else { Ok(()) }
    }
}

/// Gathers faults; what is past the bound is only counted as "more".
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    more: bool,
}

impl Faults {
    pub(super) fn add(&mut self, at: impl fmt::Display, problem: impl Into<String>) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(Fault { at: at.to_string(), problem: problem.into() });
        } else {
            self.more = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_error(self) -> BookError {
        BookError { faults: self.list, more: self.more }
    }
}

/// Where in a document something stands; only written out when there is a fault.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    inside: Option<&'a Place<'a>>,
    name: &'a str,
    nth: Option<usize>,
}

impl<'a> Place<'a> {
    /// An element of a list at the top.
    pub(super) fn top(name: &'a str, nth: usize) -> Self {
        Self { inside: None, name, nth: Some(nth) }
    }

    fn at(&'a self, name: &'a str) -> Self {
        Self { inside: Some(self), name, nth: None }
    }

    fn nth(&'a self, name: &'a str, nth: usize) -> Self {
        Self { inside: Some(self), name, nth: Some(nth) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inside) = self.inside {
            write!(f, "{inside}.")?;
        }
        f.write_str(self.name)?;
        self.nth.map_or(Ok(()), |nth| write!(f, "[{nth}]"))
    }
}

/// Checks a document that is of the schema.
pub(super) fn check(document: &Document, faults: &mut Faults) {
    head(document, faults);
    providers(document, faults);
    let mut taken: HashMap<(&str, String), usize> = HashMap::new();
    for (at, model) in document.models.iter().enumerate() {
        let place = Place::top("models", at);
        for name in core::iter::once(&model.model).chain(&model.aliases) {
            let name = name.to_lowercase();
            let first = *taken.entry((&model.provider, name.clone())).or_insert(at);
            if first != at {
                let problem = format!(
                    "{name:?} of {} is priced by models[{first}] already; one name, one model",
                    model.provider
                );
                faults.add(place, problem);
            }
        }
        check_model(&place, model, faults);
    }
}

fn head(document: &Document, faults: &mut Faults) {
    if !matches!(document.format.as_str(), "farebox-book-1" | "farebox-book-2") {
        faults.add("format", "this Farebox reads \"farebox-book-2\" and \"farebox-book-1\"");
    }
    if document.version.trim().is_empty() || document.version.len() > 64 {
        faults.add("version", "must be 1 to 64 characters; records name it");
    }
    let currency = document.currency.as_bytes();
    if currency.len() != 3 || !currency.iter().all(u8::is_ascii_uppercase) {
        faults.add("currency", "must be an ISO 4217 code such as \"USD\"");
    }
    if document.models.is_empty() || document.models.len() > MODELS_MAX {
        faults.add("models", format!("must hold 1 to {MODELS_MAX} models"));
    }
    let hundred = Exact::from(100);
    if document.margin_guard.is_some_and(|guard| guard.at_least_percent > hundred) {
        faults.add("margin_guard.at_least_percent", "more than 100 percent can never be left");
    }
}

fn providers(document: &Document, faults: &mut Faults) {
    let mut ids = HashSet::new();
    for (at, provider) in document.providers.iter().enumerate() {
        let place = Place::top("providers", at);
        for spelling in core::iter::once(&provider.id).chain(&provider.aliases) {
            if spelling.is_empty() || !ids.insert(spelling.to_lowercase()) {
                faults.add(place, format!("the spelling {spelling:?} is empty or given twice"));
            }
        }
        patterns(&place.at("spellings"), &provider.spellings, faults);
        patterns(&place.at("makes"), &provider.makes, faults);
        for (nth, other) in provider.serves.iter().enumerate() {
            if !document.providers.iter().any(|provider| provider.id == *other) {
                faults.add(place.nth("serves", nth), format!("there is no provider {other:?}"));
            }
        }
    }
}

fn patterns(place: &Place<'_>, patterns: &[Pattern], faults: &mut Faults) {
    for (at, pattern) in patterns.iter().enumerate() {
        if pattern.is_empty() {
            faults.add(
                Place { nth: Some(at), ..*place },
                "says nothing, so it would claim every name; give prefix, suffix, contains or dated",
            );
        }
    }
}

/// What must hold of one model by itself.
pub(super) fn check_model(place: &Place<'_>, model: &Model, faults: &mut Faults) {
    if model.provider.is_empty()
        || model.model.is_empty()
        || model.aliases.iter().any(String::is_empty)
    {
        faults.add(place, "provider, model and aliases must not be empty");
    }
    patterns(&place.at("families"), &model.families, faults);
    let bounds = [
        ("context_window", model.context_window),
        ("max_output_tokens", model.max_output_tokens),
        ("typical_output_tokens", model.typical_output_tokens),
    ];
    let parts = model.part_tokens_max.iter().map(|(kind, most)| (kind.as_str(), Some(*most)));
    for (name, bound) in bounds.into_iter().chain(parts) {
        if bound.is_some_and(|bound| bound.to_u64().is_none()) {
            faults.add(format!("{place}.{name}"), "must be a whole number of tokens");
        }
    }
    for (feature, caps) in &model.feature_caps {
        for meter in caps.0.iter().filter(|(_, cap)| cap.is_negative()).map(|(meter, _)| meter) {
            let place = format!("{place}.feature_caps.{feature}.{}", meter.as_str());
            faults.add(place, "must not be negative");
        }
    }
    markup(place, model, faults);
    card(place, &model.rates, &model.tiers, &model.context, faults);
    variants(place, &model.variants, faults);
    for (at, period) in model.history.iter().enumerate() {
        let place = place.nth("history", at);
        card(&place, &period.rates, &period.tiers, &period.context, faults);
        variants(&place, &period.variants, faults);
    }
    periods(place, model, faults);
    if let Some(cost) = &model.cost {
        card(&place.at("cost"), &cost.rates, &cost.tiers, &cost.context, faults);
    }
}

fn markup(place: &Place<'_>, model: &Model, faults: &mut Faults) {
    let Some(markup) = model.markup else { return };
    if markup.is_negative() {
        faults.add(place.at("markup"), "must not be negative");
    }
    if model.cost.is_none() {
        faults.add(place.at("markup"), "needs `cost`: there is nothing to add to");
    }
}

/// The periods of one model must follow each other without a gap or an overlap.
fn periods(place: &Place<'_>, model: &Model, faults: &mut Faults) {
    let mut all = vec![(model.valid_from, model.valid_to, *place)];
    let history = model.history.iter().enumerate();
    all.extend(history.map(|(at, p)| (p.valid_from, p.valid_to, place.nth("history", at))));
    all.sort_by_key(|(from, ..)| *from);
    for (from, to, place) in &all {
        if from.zip(*to).is_some_and(|(from, to)| from >= to) {
            faults.add(place, "valid_to must be later than valid_from");
        }
    }
    for ((_, to, earlier), (from, _, later)) in all.iter().zip(all.iter().skip(1)) {
        if to.is_some() && to == from {
            continue;
        }
        let to = to.map_or("for ever".to_owned(), |to| format!("to {to}"));
        let from = from.map_or("from the beginning".to_owned(), |from| format!("from {from}"));
        faults.add(
            later,
            format!("applies {from}, but {earlier} applies {to}: there is a gap or an overlap"),
        );
    }
}

fn variants(place: &Place<'_>, variants: &[Variant], faults: &mut Faults) {
    if variants.len() > ENTRIES_MAX {
        faults.add(place.at("variants"), format!("must hold at most {ENTRIES_MAX}"));
        return;
    }
    for (at, variant) in variants.iter().enumerate() {
        let here = place.nth("variants", at);
        if variant.conditions() == 0 {
            faults.add(here, "states no condition; such rates belong into `rates`");
        }
        if let Some(hours) = &variant.hours {
            if hours.bounds().is_none() {
                faults.add(here.at("hours"), "from and to must be times of day, HH:MM");
            }
            if hours.weekdays.iter().any(|day| !(1..=7).contains(day)) {
                faults.add(format!("{here}.hours.weekdays"), "are numbers from 1 (Monday) to 7");
            }
        }
        card(&here, &variant.rates, &variant.tiers, &variant.context, faults);
        for (other_at, other) in variants.iter().enumerate().take(at) {
            if variant.conditions() == other.conditions() && !variant.excludes(other) {
                let problem = format!("and variants[{other_at}] may both apply, with equal weight");
                faults.add(here, problem);
            }
        }
    }
}

impl Variant {
    /// Whether no request can be in both.
    fn excludes(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| {
            a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| !a.eq_ignore_ascii_case(b))
        };
        let apart = self.hours.as_ref().zip(other.hours.as_ref()).is_some_and(|(a, b)| {
            let days = |hours: &super::schema::Hours| -> HashSet<u8> {
                if hours.weekdays.is_empty() {
                    (1..=7).collect()
                } else {
                    hours.weekdays.iter().copied().collect()
                }
            };
            days(a).is_disjoint(&days(b)) || a.apart(b)
        });
        apart
            || differ(&self.region, &other.region)
            || differ(&self.quality, &other.quality)
            || differ(&self.resolution, &other.resolution)
    }
}

impl super::schema::Hours {
    /// Whether no minute of the day is in both.
    fn apart(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (self.bounds(), other.bounds()) else { return true };
        let starts_in = |(from, to): (u32, u32), minute: u32| {
            if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        };
        !starts_in(a, b.0) && !starts_in(b, a.0)
    }
}

/// Rates, tiers and context tiers of one place.
fn card(
    place: &Place<'_>,
    rates: &Rates,
    tiers: &Tiers,
    context: &[ContextTier],
    faults: &mut Faults,
) {
    check_rates(&place.at("rates"), rates, faults);
    check_tiers(place, tiers, faults);
    if context.len() > ENTRIES_MAX {
        faults.add(place.at("context"), format!("must hold at most {ENTRIES_MAX}"));
        return;
    }
    let mut previous: Option<Exact> = None;
    for (at, tier) in context.iter().enumerate() {
        let here = place.nth("context", at);
        match tier.bound() {
            None => faults.add(here, "exactly one of `above` and `at_least` must be given"),
            Some((bound, _)) if bound.to_u64().is_none() => {
                faults.add(here, "the bound must be a whole number of tokens");
            }
            Some((bound, inside)) => {
                // Above 100 and at least 101 are the same tier: tokens are whole.
                let first = if inside { bound } else { bound.plus(1.into()).unwrap_or(bound) };
                if previous.is_some_and(|previous| first <= previous) {
                    faults.add(here, "starts at or below the tier before it; bounds must rise");
                }
                previous = Some(first);
            }
        }
        check_rates(&here.at("rates"), &tier.rates, faults);
        check_tiers(&here, &tier.tiers, faults);
        same_meters(&here, rates, &tier.rates, faults);
    }
}

/// A meter priced in short requests but not in long ones would be unpriced past the bound.
fn same_meters(place: &Place<'_>, base: &Rates, long: &Rates, faults: &mut Faults) {
    let missing: Vec<&str> = base
        .0
        .keys()
        .filter(|meter| !long.0.contains_key(meter))
        .map(|meter| meter.as_str())
        .collect();
    if !missing.is_empty() {
        let problem = format!(
            "gives no rate for {}, which the rates below the bound price",
            missing.join(", ")
        );
        faults.add(place.at("rates"), problem);
    }
}

fn check_tiers(place: &Place<'_>, tiers: &Tiers, faults: &mut Faults) {
    let plain = |tier: &str| {
        (1..=32).contains(&tier.len()) && tier.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    for (tier, rates) in &tiers.0 {
        let inside = place.at("tiers");
        let here = inside.at(tier);
        if is_default_tier(tier) {
            faults.add(here, "the default tier's rates are `rates`: this prices it twice");
        } else if !plain(tier) {
            faults.add(here, "a tier is named as in \"batch\", \"flex\", \"priority\"");
        }
        check_rates(&here, rates, faults);
    }
}

/// Meters no price may be set for, and what to price instead.
const NEVER_PRICED: [(Meter, &str); 3] = [
    (Meter::InputTotal, "price its parts: input_uncached, cache_read, cache_write"),
    (Meter::CountedTokens, "counting is free"),
    (Meter::CostInUsdTicks, "it is the provider's own price"),
];

fn check_rates(place: &Place<'_>, rates: &Rates, faults: &mut Faults) {
    if rates.0.is_empty() {
        faults.add(place, "has no rate; a model without rates would be free");
    }
    for (meter, rate) in &rates.0 {
        let here = || format!("{place}.{}", meter.as_str());
        if let Some((_, why)) = NEVER_PRICED.iter().find(|(never, _)| never == meter) {
            faults.add(here(), format!("is never charged: {why}"));
        }
        if rate.amount.is_negative() {
            faults.add(format!("{}.amount", here()), "is negative");
        }
        if rate.per <= Exact::ZERO {
            faults.add(format!("{}.per", here()), "must be above zero");
        } else if rate.price(Exact::from(1)).is_err() {
            faults.add(here(), "one unit has no exact price in 28 digits; choose another `per`");
        }
    }
}

//! The rows of genai-prices: dated, tiered, with variants by service tier.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::regex;
use super::table::{Table, rate};
use super::{Origin, empty_model, litellm};
use crate::book::{Card, Hours, Model, Pattern, Period, Provider, Variant};
use crate::clock::Timestamp;
use crate::wire::usage::Meter;

#[derive(Deserialize)]
pub(super) struct GenaiProvider {
    id: String,
    spellings: Option<Clause>,
    makes: Option<Clause>,
    serves: Vec<String>,
    models: Vec<GenaiModel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clause {
    Equals(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(String),
    Or(Vec<Clause>),
    And(Vec<Clause>),
}

#[derive(Deserialize)]
struct GenaiModel {
    id: String,
    r#match: Clause,
    context_window: Option<u64>,
    prices: Vec<Entry>,
    variants: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// First day on which it applies.
    from: Option<String>,
    /// Or the time of day.
    hours: Option<(String, String)>,
    #[serde(default)]
    when: BTreeMap<String, String>,
    prices: BTreeMap<String, Price>,
}

#[derive(Deserialize)]
struct Price {
    base: String,
    #[serde(default)]
    above: Vec<(u64, String)>,
}

/// What each price is for. Those that are not listed have no meter here, and are left out.
const METERS: [(&str, Meter); 28] = [
    ("input_mtok", Meter::InputUncached),
    ("output_mtok", Meter::OutputTotal),
    ("cache_read_mtok", Meter::CacheRead),
    ("cache_write_mtok", Meter::CacheWrite),
    ("cache_write_5m_mtok", Meter::CacheWrite5m),
    ("cache_write_1h_mtok", Meter::CacheWrite1h),
    ("input_text_mtok", Meter::TextIn),
    ("input_audio_mtok", Meter::AudioIn),
    ("input_image_mtok", Meter::ImageIn),
    ("input_video_mtok", Meter::VideoIn),
    ("input_tool_mtok", Meter::ToolPrompt),
    ("output_text_mtok", Meter::TextOut),
    ("output_audio_mtok", Meter::AudioOut),
    ("output_image_mtok", Meter::ImageOut),
    ("output_reasoning_mtok", Meter::Reasoning),
    ("output_citation_mtok", Meter::Citation),
    ("cache_text_read_mtok", Meter::CacheReadText),
    ("cache_audio_read_mtok", Meter::CacheReadAudio),
    ("cache_image_read_mtok", Meter::CacheReadImage),
    ("input_mchars", Meter::Characters),
    ("audio_hours", Meter::Seconds),
    ("input_audio_hours", Meter::Seconds),
    ("output_audio_hours", Meter::Seconds),
    ("input_document_kpages", Meter::Pages),
    ("rerank_searches_kcount", Meter::SearchUnits),
    ("web_searches_kcount", Meter::WebSearchRequests),
    ("social_searches_kcount", Meter::XSearchRequests),
    ("requests_kcount", Meter::Requests),
];

/// What was read.
#[derive(Default)]
pub(super) struct Read {
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    /// Models listed without a price: free, if another source says so too.
    pub unpriced: Vec<Model>,
}

/// Providers and models as the book writes them. Says on the way what could not be expressed.
pub(super) fn read(
    providers: Vec<GenaiProvider>,
    units: &BTreeMap<String, u64>,
    origin: &Origin,
    notes: &mut Vec<String>,
) -> Read {
    let mut read = Read::default();
    for provider in providers {
        let spelt =
            provider.spellings.as_ref().map_or_else(regex::Named::default, |c| c.named(notes));
        let makes = provider.makes.as_ref().map_or_else(regex::Named::default, |c| c.named(notes));
        let aliases =
            litellm::aliases(&provider.id).map(str::to_owned).chain(spelt.exact).collect();
        read.providers.push(Provider {
            aliases: distinct(aliases, &provider.id),
            spellings: spelt.families,
            makes: makes
                .exact
                .into_iter()
                .map(whole)
                .chain(makes.families)
                .chain(litellm::makes(&provider.id))
                .collect(),
            serves: provider.serves,
            id: provider.id.clone(),
        });
        own_models(&provider.id, &provider.models, units, origin, &mut read, notes);
    }
    read
}

/// A provider claims whole names by a pattern with the same beginning and end.
pub(super) fn whole(name: String) -> Pattern {
    Pattern { prefix: Some(name.clone()), suffix: Some(name), ..Pattern::default() }
}

fn distinct(names: Vec<String>, id: &str) -> Vec<String> {
    let mut seen = BTreeSet::from([id.to_lowercase()]);
    names.into_iter().filter(|name| seen.insert(name.to_lowercase())).collect()
}

fn own_models(
    provider: &str,
    list: &[GenaiModel],
    units: &BTreeMap<String, u64>,
    origin: &Origin,
    read: &mut Read,
    notes: &mut Vec<String>,
) {
    // Whole names first: an id is a name too, unless another model answers to it.
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let named: Vec<regex::Named> = list.iter().map(|model| model.r#match.named(notes)).collect();
    let claims: Vec<Vec<String>> = named
        .iter()
        .map(|named| {
            let fresh = named.exact.iter().filter(|name| taken.insert(name.to_lowercase()));
            fresh.cloned().collect()
        })
        .collect();
    for ((model, named), mut names) in list.iter().zip(named).zip(claims) {
        let is_id = |name: &String| name.eq_ignore_ascii_case(&model.id);
        if names.iter().any(is_id) {
            names.retain(|name| !is_id(name));
        } else if !taken.insert(model.id.to_lowercase()) {
            notes.push(format!("{provider} {}: another model has this name", model.id));
            continue;
        }
        let mut row = empty_model(provider, &model.id, origin);
        row.aliases = names;
        row.families =
            named.families.into_iter().filter(|family| *family != Pattern::default()).collect();
        row.context_window = model.context_window.map(Into::into);
        if fill(&mut row, model, units, origin, notes) {
            read.models.push(row);
        } else {
            notes.push(format!("{provider} {}: no price has a meter here", model.id));
            let free = model.prices.iter().all(|entry| entry.prices.is_empty());
            read.unpriced.extend(free.then_some(row));
        }
    }
}

/// Sets the periods of a row. The one in force when the data was read is the row's own.
fn fill(
    row: &mut Model,
    model: &GenaiModel,
    units: &BTreeMap<String, u64>,
    origin: &Origin,
    notes: &mut Vec<String>,
) -> bool {
    let entries = model.prices.iter().chain(&model.variants);
    let starts: BTreeSet<&str> = entries.filter_map(|entry| entry.from.as_deref()).collect();
    let starts: Vec<Option<&str>> =
        core::iter::once(None).chain(starts.into_iter().map(Some)).collect();
    let mut periods: Vec<Period> = Vec::new();
    for from in starts {
        let table = |hours| model.table(from, hours, units, "", &mut Vec::new());
        let Card { rates, tiers, context } = table(None).card();
        let times = model.prices.iter().filter_map(|entry| entry.hours.as_ref());
        let variants = times
            .map(|hours| {
                let Card { rates, tiers, context } = table(Some(hours)).card();
                let hours =
                    Hours { from: hours.0.clone(), to: hours.1.clone(), weekdays: Vec::new() };
                Variant { hours: Some(hours), rates, tiers, context, ..Variant::default() }
            })
            .collect();
        let period = Period { valid_from: None, valid_to: None, rates, tiers, context, variants };
        let unchanged = periods
            .last()
            .is_some_and(|last| Period { valid_from: None, ..last.clone() } == period);
        if !unchanged {
            let valid_from = from.and_then(midnight);
            periods.push(Period { valid_from, ..period });
        }
    }
    model.table(None, None, units, &format!("{} {}", row.provider, row.model), notes);
    let later: Vec<_> = periods.iter().skip(1).map(|period| period.valid_from).collect();
    for (period, end) in periods.iter_mut().zip(later) {
        period.valid_to = end;
    }
    // A model that had no price at first was not sold then.
    periods.retain(|period| !period.rates.is_empty());
    let current = periods.iter().rposition(|period| period.valid_from <= Some(origin.read_at));
    let Some(at) = current.or((!periods.is_empty()).then_some(0)) else { return false };
    let now = periods.remove(at);
    (row.valid_from, row.valid_to, row.rates) = (now.valid_from, now.valid_to, now.rates);
    (row.tiers, row.context, row.variants, row.history) =
        (now.tiers, now.context, now.variants, periods);
    true
}

fn midnight(date: &str) -> Option<Timestamp> {
    format!("{date}T00:00:00Z").parse().ok()
}

impl GenaiModel {
    /// Its prices on a day and at a time of day. The last entry that is active counts, and the
    /// first where none is; a variant overrides single prices, the first that does wins.
    fn table(
        &self,
        day: Option<&str>,
        hours: Option<&(String, String)>,
        units: &BTreeMap<String, u64>,
        name: &str,
        notes: &mut Vec<String>,
    ) -> Table {
        let started = |entry: &&Entry| entry.from.as_deref().is_none_or(|from| day >= Some(from));
        let timed = |entry: &&Entry| entry.hours.is_none() || entry.hours.as_ref() == hours;
        let active = self.prices.iter().rfind(|entry| started(entry) && timed(entry));
        let mut table = Table::default();
        let Some(entry) = active.or(self.prices.first()) else { return table };
        entry.add_to(&mut table, None, units, name, notes);
        for variant in self.variants.iter().filter(|entry| started(entry)) {
            let when: Vec<_> =
                variant.when.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            match when[..] {
                [("processing", "batch")] => {
                    variant.add_to(&mut table, Some("batch"), units, name, notes);
                }
                [("service_tier", "default")] => {}
                [("service_tier", tier)] => {
                    variant.add_to(&mut table, Some(tier), units, name, notes);
                }
                [("speed", "fast")] => {
                    variant.add_to(&mut table, Some("fast"), units, name, notes);
                }
                _ => notes.push(format!("{name}: the condition {when:?} cannot be expressed")),
            }
        }
        table
    }
}

impl Entry {
    fn add_to(
        &self,
        table: &mut Table,
        tier: Option<&str>,
        units: &BTreeMap<String, u64>,
        name: &str,
        notes: &mut Vec<String>,
    ) {
        for (key, price) in &self.prices {
            let Some((_, meter)) = METERS.iter().find(|(known, _)| known == key) else {
                notes.push(format!("{name}: {key} has no meter here"));
                continue;
            };
            let per = units.get(key).copied().unwrap_or(1_000_000);
            let cells = core::iter::once((None, &price.base))
                .chain(price.above.iter().map(|(start, amount)| (Some(*start), amount)));
            for (above, amount) in cells {
                match rate(amount, per) {
                    Some(rate) => table.set(tier, above, *meter, rate),
                    None => notes
                        .push(format!("{name}: {key} {amount} per {per} never ends in decimals")),
                }
            }
        }
    }
}

impl Clause {
    /// Whole names and families it stands for.
    fn named(&self, notes: &mut Vec<String>) -> regex::Named {
        let mut named = regex::Named::default();
        self.gather(&mut named, notes);
        named
    }

    fn gather(&self, named: &mut regex::Named, notes: &mut Vec<String>) {
        match self {
            Self::Equals(name) => named.exact.push(name.clone()),
            Self::Or(rules) => rules.iter().for_each(|rule| rule.gather(named, notes)),
            Self::Regex(rule) => match regex::named(rule) {
                Some(meant) => {
                    named.exact.extend(meant.exact);
                    named.families.extend(meant.families);
                }
                None => notes.push(format!("the pattern {rule} cannot be expressed")),
            },
            Self::And(rules) => {
                let mut parts = regex::Named::default();
                rules.iter().for_each(|rule| rule.gather(&mut parts, notes));
                named.families.push(parts.families.into_iter().fold(Pattern::default(), both));
            }
            Self::Prefix(part) => {
                named.families.push(Pattern { prefix: Some(part.clone()), ..Pattern::default() });
            }
            Self::Suffix(part) => {
                named.families.push(Pattern { suffix: Some(part.clone()), ..Pattern::default() });
            }
            Self::Contains(part) => {
                named.families.push(Pattern { contains: Some(part.clone()), ..Pattern::default() });
            }
        }
    }
}

/// Two patterns in one. Of two `contains`, the first is how the name begins, in all of the data.
fn both(first: Pattern, second: Pattern) -> Pattern {
    let twice = first.contains.is_some() && second.contains.is_some();
    Pattern {
        prefix: if twice { first.contains.clone() } else { first.prefix.or(second.prefix) },
        suffix: first.suffix.or(second.suffix),
        contains: second.contains.or(first.contains),
        dated: first.dated.or(second.dated),
        except: first.except.or(second.except),
    }
}

//! `farebox book import`: the catalogue of what upstreams charge, from public price data.
//!
//! genai-prices first: it dates its prices. Then litellm for what is missing: whole models, and in
//! models both list meters and service tiers the first does not price. Where the two disagree about
//! a price both state, the first stands and the row says what the second says.

mod genai;
mod litellm;
mod regex;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::Deserialize;

use crate::book::{Book, Document, Model, Provider, Rate, Rates, Tiers};
use crate::cli::{Failure, say};
use crate::clock::Timestamp;
use crate::wire::usage::Meter;

/// Make a catalogue from what scripts/dump-prices.py printed; written to standard output.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The dump.
    dump: PathBuf,
    /// The day the data was read, as YYYY-MM-DD.
    #[arg(long)]
    checked: String,
}

#[derive(Deserialize)]
struct Dump {
    sources: BTreeMap<String, String>,
    units: BTreeMap<String, u64>,
    genai: Vec<genai::GenaiProvider>,
    litellm: BTreeMap<String, litellm::Entry>,
}

/// Where a row comes from.
struct Origin {
    source: String,
    checked: String,
    read_at: Timestamp,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&args.dump)
        .map_err(|error| format!("{}: {error}", args.dump.display()))?;
    let dump: Dump =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", args.dump.display()))?;
    let read_at = format!("{}T00:00:00Z", args.checked)
        .parse()
        .map_err(|()| format!("{:?} is not a day such as 2026-11-24", args.checked))?;
    let mut notes = Vec::new();
    let document = merge(dump, &args.checked, read_at, &mut notes)?;
    notes.sort();
    notes.dedup();
    for note in &notes {
        eprintln!("{note}");
    }
    let text = write(&document)?;
    Book::parse(&text).map_err(|error| error.to_string())?;
    let disputed = document.models.iter().filter(|model| model.disputed.is_some()).count();
    eprintln!(
        "{} models, {disputed} of them disputed, {} notes",
        document.models.len(),
        notes.len()
    );
    say(text.trim_end())
}

fn merge(
    dump: Dump,
    checked: &str,
    read_at: Timestamp,
    notes: &mut Vec<String>,
) -> Result<Document, Failure> {
    let origin = |name: &str| {
        let version = dump.sources.get(name).map_or("", String::as_str);
        Origin { source: format!("{name} {version}"), checked: checked.to_owned(), read_at }
    };
    let (first, second) = (origin("genai-prices"), origin("litellm"));
    let (mut providers, models) = genai::read(dump.genai, &dump.units, &first, notes);
    providers.extend(missing_providers(&providers, &dump.litellm));
    let mut document = Document {
        format: "farebox-book-2".into(),
        version: format!("catalogue-{checked}"),
        currency: "USD".into(),
        effective_from: Timestamp::from_ms(0),
        known_at: Some(read_at),
        margin_guard: None,
        providers,
        models,
    };
    let base = Book::parse(&write(&document)?).map_err(|error| error.to_string())?;
    let at: HashMap<(&str, &str), usize> = base
        .document()
        .models
        .iter()
        .enumerate()
        .map(|(at, model)| ((model.provider.as_str(), model.model.as_str()), at))
        .collect();
    let mut added: HashMap<(String, String), usize> = HashMap::new();
    for (key, entry) in &dump.litellm {
        let Some(row) = litellm::model(key, entry, &second) else { continue };
        let known = base.find(Some(&row.provider), &row.model);
        if let Some(at) = known.and_then(|model| at.get(&(&*model.provider, &*model.model))) {
            if let Some(model) = document.models.get_mut(*at) {
                complete(model, &row, key, &second);
            }
            continue;
        }
        let name = (row.provider.clone(), row.model.to_lowercase());
        match added.get(&name).and_then(|at| document.models.get_mut(*at)) {
            Some(model) if model.rates == row.rates => {}
            Some(model) => dispute(model, &row, key, &second),
            None => {
                added.insert(name, document.models.len());
                document.models.push(row);
            }
        }
    }
    Ok(document)
}

fn missing_providers(
    known: &[Provider],
    entries: &BTreeMap<String, litellm::Entry>,
) -> Vec<Provider> {
    let names = entries.values().filter_map(|entry| entry.get("litellm_provider")?.as_str());
    let mut ids: Vec<String> = names.map(litellm::provider).collect();
    ids.sort();
    ids.dedup();
    ids.retain(|id| known.iter().all(|provider| provider.id != *id));
    ids.into_iter()
        .map(|id| Provider {
            aliases: litellm::aliases(&id).map(str::to_owned).collect(),
            id,
            spellings: Vec::new(),
            makes: Vec::new(),
            serves: Vec::new(),
        })
        .collect()
}

/// Prices both sources state, if they state any: those a request nearly always pays.
const COMPARED: [Meter; 3] = [Meter::InputUncached, Meter::OutputTotal, Meter::CacheRead];

/// Meters that stand beside the token classes, so that one source may know them alone.
const BESIDE: [Meter; 14] = [
    Meter::AudioIn,
    Meter::ImageIn,
    Meter::VideoIn,
    Meter::AudioOut,
    Meter::ImageOut,
    Meter::CacheReadAudio,
    Meter::CacheReadImage,
    Meter::Citation,
    Meter::WebSearchRequests,
    Meter::Images,
    Meter::Characters,
    Meter::Seconds,
    Meter::Pages,
    Meter::SearchUnits,
];

/// Adds to a row what another source knows besides; notes where they differ.
fn complete(model: &mut Model, other: &Model, key: &str, origin: &Origin) {
    if !same_base(&model.rates, &other.rates) {
        dispute(model, other, key, origin);
        return;
    }
    let extra: Vec<(Meter, Rate)> = BESIDE
        .iter()
        .filter(|meter| model.rates.get(**meter).is_none())
        .filter_map(|meter| Some((*meter, *other.rates.get(*meter)?)))
        .collect();
    let add = |rates: &mut Rates| {
        extra.iter().for_each(|(meter, rate)| drop(rates.0.insert(*meter, *rate)))
    };
    let bounds = |model: &Model| -> Vec<_> {
        model.context.iter().map(|tier| (tier.above, tier.at_least)).collect()
    };
    // Tiers of the other source are complete only where both know the same bounds.
    if bounds(model) == bounds(other) {
        adopt(&mut model.tiers, &other.tiers);
        for (tier, other) in model.context.iter_mut().zip(&other.context) {
            adopt(&mut tier.tiers, &other.tiers);
        }
    }
    let cards = core::iter::once((&mut model.rates, &mut model.tiers))
        .chain(model.context.iter_mut().map(|tier| (&mut tier.rates, &mut tier.tiers)));
    for (rates, tiers) in cards {
        add(rates);
        tiers.0.values_mut().for_each(|rates| add(rates));
    }
    let beside = model
        .history
        .iter_mut()
        .map(|period| (&mut period.rates, &mut period.tiers, &mut period.context));
    let variants = model
        .variants
        .iter_mut()
        .map(|variant| (&mut variant.rates, &mut variant.tiers, &mut variant.context));
    for (rates, tiers, context) in beside.chain(variants) {
        add(rates);
        tiers.0.values_mut().for_each(|rates| add(rates));
        for tier in context {
            add(&mut tier.rates);
            tier.tiers.0.values_mut().for_each(|rates| add(rates));
        }
    }
    model.max_output_tokens = model.max_output_tokens.or(other.max_output_tokens);
}

fn adopt(tiers: &mut Tiers, other: &Tiers) {
    for (tier, rates) in &other.0 {
        if !tiers.0.contains_key(tier) {
            tiers.0.insert(tier.clone(), rates.clone());
        }
    }
}

fn same_base(one: &Rates, other: &Rates) -> bool {
    COMPARED.iter().all(|meter| match (one.get(*meter), other.get(*meter)) {
        (Some(one), Some(other)) => one.price(1.into()) == other.price(1.into()),
        // A free output in the other data is one that does not exist, as in embeddings.
        _ => true,
    })
}

/// Most that a row says about disagreements: the first tells enough to look it up.
const DISPUTED_MAX: usize = 200;

fn dispute(model: &mut Model, other: &Model, key: &str, origin: &Origin) {
    let prices = COMPARED.iter().filter_map(|meter| {
        let rate = other.rates.get(*meter)?;
        let differs =
            model.rates.get(*meter).is_none_or(|own| own.price(1.into()) != rate.price(1.into()));
        differs.then(|| format!("{} {} per {}", meter.as_str(), rate.amount, rate.per))
    });
    let text = format!("{} {key}: {}", origin.source, prices.collect::<Vec<_>>().join(", "));
    let all = match model.disputed.take() {
        None => text,
        Some(before) if before.len() + text.len() > DISPUTED_MAX => before,
        Some(before) => format!("{before}; {text}"),
    };
    model.disputed = Some(all);
}

fn empty_model(provider: &str, name: &str, origin: &Origin) -> Model {
    Model {
        provider: provider.to_owned(),
        model: name.to_owned(),
        aliases: Vec::new(),
        families: Vec::new(),
        context_window: None,
        max_output_tokens: None,
        typical_output_tokens: None,
        part_tokens_max: BTreeMap::new(),
        feature_caps: BTreeMap::new(),
        valid_from: None,
        valid_to: None,
        rates: Rates::default(),
        tiers: Tiers::default(),
        context: Vec::new(),
        variants: Vec::new(),
        history: Vec::new(),
        cost: None,
        markup: None,
        source: Some(origin.source.clone()),
        checked: Some(origin.checked.clone()),
        disputed: None,
    }
}

/// One provider and one model a line, so that a change of one price is a change of one line.
fn write(document: &Document) -> Result<String, Failure> {
    fn list<T: serde::Serialize>(rows: &[T]) -> Result<String, Failure> {
        let rows: Result<Vec<_>, _> = rows.iter().map(serde_json::to_string).collect();
        rows.map(|rows| rows.join(",\n")).map_err(|error| error.to_string())
    }
    let head = Document { providers: Vec::new(), models: Vec::new(), ..document.clone() };
    let head = serde_json::to_string(&head).map_err(|error| error.to_string())?;
    let head = head.trim_end_matches(r#","models":[]}"#);
    Ok(format!(
        "{head},\n\"providers\":[\n{}\n],\n\"models\":[\n{}\n]}}\n",
        list(&document.providers)?,
        list(&document.models)?
    ))
}

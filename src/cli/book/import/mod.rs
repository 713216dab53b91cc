//! `farebox book import`: the catalogue of what upstreams charge, from public price data.
//!
//! genai-prices first: it dates its prices. Then litellm for what is missing: whole models, and in
//! models both list meters and service tiers the first does not price. Where the two disagree about
//! a price both state, the first stands and the row says what the second says.

mod genai;
mod litellm;
mod regex;
mod table;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::Deserialize;

use crate::book::{Book, CardRef, ContextTier, Document, Model, Provider, Rates, Situation, Tiers};
use crate::cli::{Failure, say};
use crate::clock::Timestamp;
use crate::money::Exact;
use crate::wire::usage::Meter;

/// Make a catalogue from what scripts/dump-prices.py printed; written to standard output.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
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
    let read = genai::read(dump.genai, &dump.units, &first, notes);
    let mut providers = read.providers;
    providers.extend(missing_providers(&providers, &dump.litellm));
    let mut document = Document {
        format: "farebox-book-2".into(),
        version: format!("catalogue-{checked}"),
        currency: "USD".into(),
        effective_from: Timestamp::from_ms(0),
        known_at: Some(read_at),
        margin_guard: None,
        providers,
        models: read.models,
    };
    let base = Book::parse(&write(&document)?).map_err(|error| error.to_string())?;
    let rows = dump
        .litellm
        .iter()
        .filter_map(|(key, entry)| Some((key, litellm::model(key, entry, &second)?)));
    let mut merged = Merged::default();
    for (key, row) in rows {
        merged.take(&base, &read.unpriced, key, row, &second);
    }
    merged.into_document(&mut document);
    homes(&mut document, &dump.litellm)?;
    Ok(document)
}

/// A name that the second source writes without its provider belongs there: where several providers
/// list it and none claims it, that one does.
fn homes(
    document: &mut Document,
    entries: &BTreeMap<String, litellm::Entry>,
) -> Result<(), Failure> {
    let book = Book::parse(&write(document)?).map_err(|error| error.to_string())?;
    for (key, entry) in entries {
        let Some(provider) = entry.get("litellm_provider").and_then(|name| name.as_str()) else {
            continue;
        };
        let provider = litellm::provider(provider);
        let lost = book.find(None, key).is_none() && book.find(Some(&provider), key).is_some();
        if let (true, Some(home)) =
            (lost, document.providers.iter_mut().find(|entry| entry.id == provider))
        {
            home.makes.push(genai::whole(key.to_lowercase()));
        }
    }
    Ok(())
}

/// The second source's rows, sorted out against the first's.
#[derive(Default)]
struct Merged {
    /// Rows of the first source with what the second adds to the model of that very name.
    completed: HashMap<Name, Model>,
    /// Rows of the first source as they are for another name they answer to.
    renamed: Vec<(Name, Model)>,
    /// Names the first source does not know.
    added: BTreeMap<Name, Model>,
}

/// Provider, and name in lower case.
type Name = (String, String);

fn name_of(model: &Model) -> Name {
    (model.provider.clone(), model.model.to_lowercase())
}

fn is_free(rates: &Rates) -> bool {
    rates.0.values().all(|rate| rate.amount.is_zero())
}

impl Merged {
    fn take(&mut self, base: &Book, unpriced: &[Model], key: &str, row: Model, origin: &Origin) {
        let name = name_of(&row);
        match base.find(Some(&row.provider), &row.model) {
            Some(model) if model.provider == row.provider => {
                let mut own = model.clone();
                complete(&mut own, &row, key, origin);
                // The same name comes from several of a provider's platforms; the plain key, or
                // the first, speaks for the name itself.
                if name_of(model) == name
                    && (key == row.model || !self.completed.contains_key(&name))
                {
                    if let Some(before) = self.completed.insert(name.clone(), own) {
                        self.rename(name, before, format!("{}/{}", row.provider, row.model));
                    }
                } else {
                    let plain = name_of(model) == name
                        || self.renamed.iter().any(|(_, row)| name_of(row) == name);
                    let called = if plain { key.to_owned() } else { row.model };
                    self.rename(name_of(model), own, called);
                }
            }
            Some(model) => self.add(name, served(model, row, origin), key, origin),
            // Nought says "not known" as often as "free": it takes two sources to be free.
            None if is_free(&row.rates) => {
                let also = unpriced.iter().any(|model| {
                    let families = model.families.iter().any(|family| family.fits(&name.1));
                    let exact = core::iter::once(&model.model).chain(&model.aliases);
                    model.provider == row.provider
                        && (families
                            || exact.into_iter().any(|own| own.eq_ignore_ascii_case(&name.1)))
                });
                if also {
                    self.add(name, row, key, origin);
                }
            }
            None => self.add(name, row, key, origin),
        }
    }

    /// The row as it is for one more name.
    fn rename(&mut self, of: Name, mut row: Model, name: String) {
        (row.model, row.aliases, row.families) = (name, Vec::new(), Vec::new());
        self.renamed.push((of, row));
    }

    fn add(&mut self, name: Name, row: Model, key: &str, origin: &Origin) {
        match self.added.get_mut(&name) {
            Some(model) if model.rates == row.rates => {}
            Some(model) => dispute(model, &row, key, origin),
            None => {
                self.added.insert(name, row);
            }
        }
    }

    /// Puts everything into the document. A name gets a row of its own only where that differs.
    fn into_document(self, document: &mut Document) {
        for model in &mut document.models {
            if let Some(completed) = self.completed.get(&name_of(model)) {
                model.clone_from(completed);
            }
        }
        let at: HashMap<Name, usize> =
            document.models.iter().enumerate().map(|(at, model)| (name_of(model), at)).collect();
        let mut own: BTreeMap<Name, Model> = self.added;
        for (of, mut model) in self.renamed {
            let Some(row) = at.get(&of).and_then(|at| document.models.get_mut(*at)) else {
                continue;
            };
            let name = name_of(&model);
            if same_prices(row, &model) {
                row.disputed = row.disputed.take().or(model.disputed.take());
            } else if let Entry::Vacant(free) = own.entry(name) {
                row.aliases.retain(|alias| !alias.eq_ignore_ascii_case(&free.key().1));
                free.insert(model);
            }
        }
        document.models.extend(own.into_values());
    }
}

fn same_prices(one: &Model, other: &Model) -> bool {
    one.rates == other.rates
        && one.tiers == other.tiers
        && one.context == other.context
        && one.variants == other.variants
        && one.history == other.history
}

/// A model of another provider, which this one serves too. At the same price it is that model,
/// dates and all, but not its service tiers: those are the other provider's.
fn served(model: &Model, row: Model, origin: &Origin) -> Model {
    if !same_base(&model.rates, &row.rates) {
        return row;
    }
    let mut own = Model {
        provider: row.provider.clone(),
        model: row.model.clone(),
        aliases: Vec::new(),
        families: Vec::new(),
        disputed: None,
        ..model.clone()
    };
    own.tiers = Tiers::default();
    own.context.iter_mut().for_each(|tier| tier.tiers = Tiers::default());
    for period in &mut own.history {
        period.tiers = Tiers::default();
        period.context.iter_mut().for_each(|tier| tier.tiers = Tiers::default());
    }
    complete(&mut own, &row, &row.model, origin);
    own
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

/// Adds to a row what another source knows besides; notes where they differ.
fn complete(model: &mut Model, other: &Model, key: &str, origin: &Origin) {
    if !same_base(&model.rates, &other.rates) {
        dispute(model, other, key, origin);
        return;
    }
    let other_card = other.card(&Situation::default());
    let Some(other_card) = other_card else { return };
    let bounds = |model: &Model| -> Vec<_> {
        model.context.iter().map(|tier| (tier.above, tier.at_least)).collect()
    };
    // Tiers of the other source are complete only where both know the same bounds.
    if bounds(model) == bounds(other) {
        adopt(&mut model.tiers, &other.tiers, &model.rates, &other.rates);
        for (tier, other) in model.context.iter_mut().zip(&other.context) {
            adopt(&mut tier.tiers, &other.tiers, &tier.rates, &other.rates);
        }
    }
    add_missing(&mut model.rates, &mut model.tiers, &mut model.context, other_card);
    for period in &mut model.history {
        add_missing(&mut period.rates, &mut period.tiers, &mut period.context, other_card);
    }
    for variant in &mut model.variants {
        add_missing(&mut variant.rates, &mut variant.tiers, &mut variant.context, other_card);
    }
    model.max_output_tokens = model.max_output_tokens.or(other.max_output_tokens);
}

/// Adds the meters a card does not price, each at the other card's rate for that tier and length.
fn add_missing(
    rates: &mut Rates,
    tiers: &mut Tiers,
    context: &mut [ContextTier],
    other: CardRef<'_>,
) {
    let add = |rates: &mut Rates, tier: Option<&str>, length: Exact| {
        let known = other.rates_for(tier, length).or_else(|| other.rates_for(None, length));
        for (meter, rate) in known.into_iter().flat_map(|known| &known.0) {
            // A price of its own for reasoning is what the sources most often have wrong.
            if *meter != Meter::Reasoning {
                rates.0.entry(*meter).or_insert(*rate);
            }
        }
    };
    let all = |rates: &mut Rates, tiers: &mut Tiers, length: Exact| {
        add(rates, None, length);
        tiers.0.iter_mut().for_each(|(tier, rates)| add(rates, Some(tier), length));
    };
    all(rates, tiers, Exact::ZERO);
    for tier in context {
        let length = tier.above.or(tier.at_least).unwrap_or(Exact::ZERO);
        let length = length.plus(Exact::from(1)).unwrap_or(length);
        all(&mut tier.rates, &mut tier.tiers, length);
    }
}

/// Takes over service tiers, with the meters that one of the sources prices in its default tier: a
/// price for cache reads in batches alone is a price no one has checked.
fn adopt(tiers: &mut Tiers, other: &Tiers, own: &Rates, default: &Rates) {
    for (tier, rates) in &other.0 {
        if !tiers.0.contains_key(tier) {
            let mut rates = rates.clone();
            rates.0.retain(|meter, _| own.get(*meter).or(default.get(*meter)).is_some());
            tiers.0.insert(tier.clone(), rates);
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

//! Request × book → what it can cost: at least, probably, at most. The edge holds the most before
//! it forwards; the browser shows all three. Both run this code.

pub mod asked;
pub mod batch;
pub mod document;
pub mod month;
mod most;
pub mod signed;
mod worst;

use serde::{Deserialize, Serialize};

use crate::book::{Book, GuardAction, Model, Rates, Situation};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};
use crate::rating::Line;
use crate::wire::request::Ask;
use crate::wire::usage::Meter;
pub use asked::{quote_json, quote_text};
use most::Most;
pub use most::knows_newer_length;
pub use worst::{AtMost, ManyAtMost, Worst};

/// Why a request has no bound. Each is the operator's to mend, in the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpriced {
    /// The book does not sell this model.
    Model,
    /// Sold, but not in the service tier asked for.
    ServiceTier(String),
    /// A meter that the request can use has no rate.
    Meter(Meter),
    /// The request uses a feature whose cost nothing bounds.
    Feature(&'static str),
    /// Neither the request nor the book says how long the answer may get.
    OutputLength,
    /// Listed, but not priced at that time.
    NotInForce,
    /// It would be sold below the margin the operator guards.
    Margin,
    /// The bound is a number too large to be exact.
    OutOfRange,
}

impl From<OutOfRange> for Unpriced {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// What one request can cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The model as the book names it.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// Currency of every amount here.
    pub currency: String,
    /// Input tokens.
    pub input_tokens: Bounds,
    /// Output tokens, all choices together.
    pub output_tokens: Bounds,
    /// The least: the counted input, no output.
    pub lower: Exact,
    /// The likely cost, where the book says how long answers usually are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Exact>,
    /// The most: what is held.
    pub upper: Exact,
    /// The arithmetic of `upper`.
    pub lines: Vec<Line>,
    /// The same in quantities, meter by meter; none where the request is free.
    #[serde(skip)]
    pub worst: Vec<AtMost>,
    /// What `expected` is made of.
    #[serde(skip)]
    pub likely: Vec<AtMost>,
    /// What `worst` is for one request, of a batch: model by model.
    #[serde(skip)]
    pub batch: Vec<ManyAtMost>,
    /// The book that priced it.
    pub book_version: String,
    /// For the operator alone, where the book knows the cost.
    #[serde(skip)]
    pub margin: Option<Margin>,
}

/// What a request costs the operator at most, and whether it is sold below the guarded margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// What the upstream charges for the same worst case.
    pub cost: Exact,
    /// The guard says this is too little.
    pub alert: bool,
}

/// From … to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Fewest.
    pub lower: Exact,
    /// Most.
    pub upper: Exact,
}

/// Bytes of text to a token, roughly, in English and code; for the expected cost only.
const BYTES_PER_TOKEN: u64 = 4;

/// Bounds the cost of `ask` at a time, or says why it cannot be bounded. Without a time: under
/// the rates that are current in the book.
pub fn quote(ask: &Ask, book: &Book, at: Option<Timestamp>) -> Result<Quote, Unpriced> {
    let model = book.sold(&ask.model).ok_or(Unpriced::Model)?;
    quote_model(ask, book, model, &Situation { at, ..situation(ask) })
}

/// What a request says that prices may depend on, beside its time.
pub fn situation(ask: &Ask) -> Situation<'_> {
    Situation {
        quality: ask.quality.as_deref(),
        resolution: ask.resolution.as_deref(),
        ..Situation::default()
    }
}

/// As [`quote`], for a model already found, in a situation that may say more than the request.
pub fn quote_model(
    ask: &Ask,
    book: &Book,
    model: &Model,
    situation: &Situation<'_>,
) -> Result<Quote, Unpriced> {
    let tier = ask.service_tier.as_deref();
    let most = Most::of(ask, model)?;
    let card = model.card(situation).ok_or(Unpriced::NotInForce)?;
    let least = Exact::from(ask.input_least).min(most.input);
    let plain = card
        .rates_for(tier, least)
        .ok_or_else(|| Unpriced::ServiceTier(tier.unwrap_or("default").to_owned()))?;
    let mut lines = Vec::new();
    let mut upper = Exact::ZERO;
    let cards = model.possible(situation);
    let mut by_card = Vec::new();
    for rates in cards.iter().flat_map(|card| card.reachable(tier, most.input)) {
        let worst = most.at(rates)?;
        let amount = Exact::sum(worst.iter().map(|line| line.amount))?;
        if lines.is_empty() || amount > upper {
            (lines, upper) = (worst.clone(), amount);
        }
        by_card.push(worst);
    }
    let per_request = plain.get(Meter::Requests).map(|rate| rate.price(Exact::from(1)));
    let fixed = per_request.transpose()?.unwrap_or(Exact::ZERO);
    let likely = likely(ask, model, plain, most.output)?;
    let amounts = likely.iter().map(|one| one.amount);
    let expected = (!likely.is_empty()).then(|| Exact::sum(amounts)).transpose()?;
    Ok(Quote {
        margin: margin(book, model, tier, &most, upper)?,
        lower: if ask.free { Exact::ZERO } else { cheapest_input(plain, least)?.plus(fixed)? },
        expected,
        model: model.model.clone(),
        provider: model.provider.clone(),
        currency: book.currency().to_owned(),
        input_tokens: Bounds { lower: least, upper: most.input },
        output_tokens: Bounds { lower: Exact::ZERO, upper: most.output },
        upper,
        lines,
        worst: if ask.free { Vec::new() } else { worst::at_most(&most.quantities(), &by_card) },
        batch: Vec::new(),
        likely,
        book_version: book.version().to_owned(),
    })
}

/// The cost of the worst case and what the book's guard says to it. Unknown where the book has no
/// cost, or none for some meter: a guard then stays silent, as there is nothing to compare.
fn margin(
    book: &Book,
    model: &Model,
    tier: Option<&str>,
    most: &Most,
    price: Exact,
) -> Result<Option<Margin>, Unpriced> {
    let Some(cost) = &model.cost else { return Ok(None) };
    let mut worst = Exact::ZERO;
    for rates in cost.as_ref().reachable(tier, most.input) {
        let Ok(lines) = most.at(rates) else { return Ok(None) };
        worst = worst.max(Exact::sum(lines.iter().map(|line| line.amount))?);
    }
    let Some(guard) = book.margin_guard() else {
        return Ok(Some(Margin { cost: worst, alert: false }));
    };
    let hundred = Exact::from(100);
    let left = price.minus(worst)?.times(hundred)?;
    let below = left < price.times(guard.at_least_percent)?;
    if below && guard.action == GuardAction::Refuse {
        return Err(Unpriced::Margin);
    }
    Ok(Some(Margin { cost: worst, alert: below }))
}

impl Quote {
    /// How many output tokens in all `budget` buys at the dearest rate, after the input is paid;
    /// `None` where output costs nothing.
    pub fn affordable_output(&self, budget: Exact) -> Option<Exact> {
        let output = self.lines.iter().find(|line| is_output(line.meter))?;
        let rest = budget.minus(self.upper.minus(output.amount).ok()?).ok()?;
        rest.times(output.per).ok()?.whole_times(output.rate).ok()
    }
}

fn is_output(meter: Meter) -> bool {
    matches!(meter, Meter::OutputTotal | Meter::Reasoning | Meter::TextOut)
}

/// The counted input at the cheapest class it may turn out to be.
fn cheapest_input(rates: &Rates, tokens: Exact) -> Result<Exact, Unpriced> {
    let classes = [Meter::InputUncached, Meter::CacheRead, Meter::TextIn];
    let mut least = None;
    for rate in classes.into_iter().filter_map(|meter| rates.get(meter)) {
        let amount = rate.price(tokens)?;
        least = Some(least.map_or(amount, |least: Exact| least.min(amount)));
    }
    Ok(least.unwrap_or(Exact::ZERO))
}

/// What a request will probably use; nothing where the book does not say how long answers are.
fn likely(
    ask: &Ask,
    model: &Model,
    rates: &Rates,
    output_most: Exact,
) -> Result<Vec<AtMost>, Unpriced> {
    let (Some(usual), Some(input), Some(output)) = (
        model.typical_output_tokens,
        rates.get(Meter::InputUncached),
        rates.get(Meter::OutputTotal),
    ) else {
        return Ok(Vec::new());
    };
    let tokens = Exact::from(ask.input_most.div_ceil(BYTES_PER_TOKEN).max(ask.input_least));
    let answer = usual.times(Exact::from(ask.choices))?.min(output_most);
    let of = |meter, quantity, amount| AtMost { meter, quantity: Some(quantity), amount };
    Ok(vec![
        of(Meter::InputTotal, tokens, input.price(tokens)?),
        of(Meter::OutputTotal, answer, output.price(answer)?),
    ])
}

#[cfg(test)]
mod tests;

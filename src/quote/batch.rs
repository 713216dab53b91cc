//! What a batch can cost: all of its requests, at the prices of batches.

use std::collections::HashMap;

use super::{ManyAtMost, Unpriced, quote_model, situation};
use crate::book::{Book, Card, Model, Rates, Situation, Tiers};
use crate::clock::Timestamp;
use crate::ledger::{Forecast, ModelPrices, Pinned};
use crate::money::Exact;
use crate::wire::request::Ask;

/// The service tier of every request of a batch, as books and plans name it.
pub const TIER: &str = "batch";
/// Most models in one batch: each is pinned with its prices.
pub const MODELS_MAX: usize = 32;

/// Why a batch cannot be priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unforeseen {
    /// One of its requests cannot, and of which model it is.
    Unpriced(Unpriced, String),
    /// Its models are served by different providers: of these two models.
    Providers(String, String),
    /// It asks for more than [`MODELS_MAX`] models.
    Models,
}

/// Adds up what requests can cost.
pub struct Forecaster<'b> {
    book: &'b Book,
    at: Timestamp,
    /// Where a provider serves, as the book names regions.
    region: &'b dyn Fn(&str) -> Option<String>,
    /// Models as the requests name them: sold at batch prices, and what is pinned.
    models: HashMap<String, (Model, usize)>,
    forecast: Forecast,
}

impl<'b> Forecaster<'b> {
    /// For requests that come at a time; `region` says where a provider serves, where that makes a
    /// price.
    pub fn new(book: &'b Book, at: Timestamp, region: &'b dyn Fn(&str) -> Option<String>) -> Self {
        let forecast = Forecast {
            upstream: String::new(),
            endpoint: String::new(),
            lines: 0,
            prices: Vec::new(),
            held: Exact::ZERO,
            floor: Exact::ZERO,
            dearest: Exact::ZERO,
            input_least: 0,
            book_version: book.version().to_owned(),
            currency: book.currency().to_owned(),
        };
        Self { book, at, region, models: HashMap::new(), forecast }
    }

    /// Adds one request.
    pub fn add(&mut self, mut ask: Ask) -> Result<(), Unforeseen> {
        // Whatever a request of a batch says of a tier, it is served in the batches'.
        ask.service_tier = None;
        let unpriced = |why| Unforeseen::Unpriced(why, ask.model.clone());
        self.know(&ask)?;
        let Some((model, at)) = self.models.get(&ask.model) else { return Ok(()) };
        let region = (self.region)(&model.provider);
        let situation =
            Situation { at: Some(self.at), region: region.as_deref(), ..situation(&ask) };
        let quote = quote_model(&ask, self.book, model, &situation).map_err(unpriced)?;
        let forecast = &mut self.forecast;
        if let Some(prices) = forecast.prices.get_mut(*at) {
            prices.pinned.input_least = prices.pinned.input_least.min(ask.input_least);
            if let Some(most) = prices.most.as_mut().filter(|_| !quote.worst.is_empty()) {
                let least = (ask.input_least, quote.lower.min(quote.upper));
                most.add(&quote.worst, least).map_err(|_| unpriced(Unpriced::OutOfRange))?;
            }
        }
        let sums = forecast
            .held
            .plus(quote.upper)
            .and_then(|held| Ok((held, forecast.floor.plus(quote.lower.min(quote.upper))?)));
        (forecast.held, forecast.floor) = sums.map_err(|_| unpriced(Unpriced::OutOfRange))?;
        forecast.dearest = forecast.dearest.max(quote.upper);
        forecast.lines = forecast.lines.saturating_add(1);
        forecast.input_least = forecast.input_least.saturating_add(ask.input_least);
        Ok(())
    }

    /// All of them; `endpoint` is where they go.
    pub fn done(self, endpoint: String) -> Forecast {
        Forecast { endpoint, ..self.forecast }
    }

    /// Looks a model up, once.
    fn know(&mut self, ask: &Ask) -> Result<(), Unforeseen> {
        if self.models.contains_key(&ask.model) {
            return Ok(());
        }
        if self.models.len() >= MODELS_MAX {
            return Err(Unforeseen::Models);
        }
        let unpriced = |why| Unforeseen::Unpriced(why, ask.model.clone());
        let model = self.book.sold(&ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
        let pinned = pinned(ask, model, self.at, (self.region)(&model.provider).as_deref())
            .map_err(unpriced)?;
        let at_batch_prices = at_batch_prices(model).map_err(unpriced)?;
        match self.forecast.prices.first() {
            Some(first) if first.pinned.provider != model.provider => {
                return Err(Unforeseen::Providers(first.model.clone(), ask.model.clone()));
            }
            Some(_) => {}
            None => self.forecast.upstream.clone_from(&model.provider),
        }
        let most = Some(ManyAtMost::of(&model.model));
        self.models.insert(ask.model.clone(), (at_batch_prices, self.forecast.prices.len()));
        self.forecast.prices.push(ModelPrices { model: ask.model.clone(), pinned, most });
        Ok(())
    }
}

/// Whether a batch would still be charged at the prices it was forecast with.
pub fn still_holds(forecast: &Forecast, book: &Book, at: Timestamp, region: Option<&str>) -> bool {
    forecast.prices.iter().all(|prices| {
        let Some(model) = book.sold(&prices.model) else { return false };
        let situation = Situation { at: Some(at), region, ..Situation::default() };
        let is_same = |card: Card| {
            let Pinned { rates, tiers, context, cost, .. } = &prices.pinned;
            (&card.rates, &card.tiers, &card.context, &model.cost) == (rates, tiers, context, cost)
        };
        model.card(&situation).is_some_and(|card| is_same(card.to_card()))
    })
}

/// Which of a batch's models answered, by the name that served. Absent where that cannot be told.
pub fn asked_model<'p>(
    prices: &'p [ModelPrices],
    book: &Book,
    served: Option<&str>,
) -> Option<&'p str> {
    if let [only] = prices {
        return Some(&only.model);
    }
    let (served, provider) = (served?, prices.first()?.pinned.provider.as_str());
    let names = || prices.iter().map(|each| each.model.as_str());
    let listed = book.find(Some(provider), served).map(|model| &model.model);
    let means = |name: &&str| book.sold(name).map(|model| &model.model) == listed;
    let same = names().find(|name| *name == served);
    same.or_else(|| names().find(|name| listed.is_some() && means(name)))
        .or_else(|| names().filter(|n| served.starts_with(n)).max_by_key(|name| name.len()))
}

fn pinned(
    ask: &Ask,
    model: &Model,
    at: Timestamp,
    region: Option<&str>,
) -> Result<Pinned, Unpriced> {
    let situation = Situation { at: Some(at), region, ..situation(ask) };
    let card = model.card(&situation).ok_or(Unpriced::NotInForce)?.to_card();
    let card = if ask.free { Card::default() } else { card };
    Ok(Pinned {
        provider: model.provider.clone(),
        upstream: model.provider.clone(),
        rates: card.rates,
        tiers: card.tiers,
        context: card.context,
        cost: model.cost.clone(),
        below_margin: false,
        input_least: ask.input_least,
    })
}

/// The model as if batches were all it is sold for. Where a condition or a length has no price for
/// batches, its ordinary one stands, as it does when a line is charged.
fn at_batch_prices(model: &Model) -> Result<Model, Unpriced> {
    let mut sold = model.clone();
    if !sold.tiers.0.contains_key(TIER) {
        return Err(Unpriced::ServiceTier(TIER.to_owned()));
    }
    let lower = |rates: &mut Rates, tiers: &mut Tiers| {
        if let Some(batch) = tiers.0.remove(TIER) {
            *rates = batch;
        }
        tiers.0.clear();
    };
    lower(&mut sold.rates, &mut sold.tiers);
    sold.context.iter_mut().for_each(|c| lower(&mut c.rates, &mut c.tiers));
    let periods = sold.history.iter_mut().flat_map(|period| period.variants.iter_mut());
    for variant in sold.variants.iter_mut().chain(periods) {
        lower(&mut variant.rates, &mut variant.tiers);
        variant.context.iter_mut().for_each(|c| lower(&mut c.rates, &mut c.tiers));
    }
    for period in &mut sold.history {
        lower(&mut period.rates, &mut period.tiers);
        period.context.iter_mut().for_each(|c| lower(&mut c.rates, &mut c.tiers));
    }
    sold.cost = sold.cost.and_then(|mut cost| {
        let batch = cost.tiers.0.remove(TIER)?;
        Some(Card { rates: batch, ..Card::default() })
    });
    Ok(sold)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::wire::request::{Request, inspect};
    use crate::wire::route::Route;

    fn book(tiers: &str) -> Book {
        let rates = |input: &str, output: &str| {
            format!(
                r#"{{"input_uncached":{{"amount":"{input}","per":"1"}},
                    "output_total":{{"amount":"{output}","per":"1"}}}}"#
            )
        };
        let model = |provider: &str, name: &str, tiers: &str| {
            format!(
                r#"{{"provider":"{provider}","model":"{name}","max_output_tokens":"1000","rates":{}{tiers}}}"#,
                rates("2", "10")
            )
        };
        let batch = format!(r#","tiers":{{"batch":{}}}"#, rates("1", "5"));
        let tiers = if tiers == "batch" { batch.as_str() } else { "" };
        Book::parse(&format!(
            r#"{{"format":"farebox-book-2","version":"v","currency":"USD",
                "effective_from":"2026-01-01T00:00:00Z","models":[{},{},{}]}}"#,
            model("openai", "m", tiers),
            model("openai", "n", tiers),
            model("other", "o", tiers),
        ))
        .unwrap()
    }

    fn ask(model: &str, output: u64) -> Ask {
        let body = format!(
            r#"{{"model":"{model}","max_tokens":{output},"service_tier":"priority",
                "messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let route = Route::of("/v1/chat/completions").unwrap();
        let content_type = "application/json";
        inspect(&Request { route, query: "", content_type, body: body.as_bytes() }).unwrap()
    }

    const NOW: &str = "2026-11-23T22:00:00Z";

    #[test]
    fn a_batch_is_held_for_at_its_own_prices_whatever_its_requests_say() {
        let book = book("batch");
        let mut forecaster = Forecaster::new(&book, NOW.parse().unwrap(), &|_| None);
        let asks = [ask("m", 10), ask("n", 100), ask("m", 10)];
        let input: u64 = asks.iter().map(|ask| ask.input_most).sum();
        asks.iter().for_each(|ask| forecaster.add(ask.clone()).unwrap());
        let forecast = forecaster.done("/v1/chat/completions".into());
        assert_eq!(forecast.held, Exact::from(input + 120 * 5));
        assert_eq!(forecast.dearest, Exact::from(asks[1].input_most + 100 * 5));
        assert_eq!((forecast.lines, forecast.upstream.as_str()), (3, "openai"));
        let models: Vec<&str> = forecast.prices.iter().map(|each| each.model.as_str()).collect();
        assert_eq!(models, ["m", "n"]);
        assert!(forecast.prices[0].pinned.tiers.get("batch").is_some());
    }

    #[test]
    fn a_model_without_a_price_for_batches_is_refused() {
        let book = book("");
        let mut forecaster = Forecaster::new(&book, NOW.parse().unwrap(), &|_| None);
        let why = forecaster.add(ask("m", 10)).unwrap_err();
        assert_eq!(why, Unforeseen::Unpriced(Unpriced::ServiceTier("batch".into()), "m".into()));
    }

    #[test]
    fn one_batch_goes_to_one_provider() {
        let book = book("batch");
        let mut forecaster = Forecaster::new(&book, NOW.parse().unwrap(), &|_| None);
        forecaster.add(ask("m", 10)).unwrap();
        let why = forecaster.add(ask("o", 10)).unwrap_err();
        assert_eq!(why, Unforeseen::Providers("m".into(), "o".into()));
    }

    #[test]
    fn a_line_is_its_models_by_name_by_the_book_or_by_the_name_it_begins_with() {
        let book = book("batch");
        let mut forecaster = Forecaster::new(&book, NOW.parse().unwrap(), &|_| None);
        forecaster.add(ask("m", 10)).unwrap();
        let one = forecaster.forecast.prices.clone();
        assert_eq!(asked_model(&one, &book, None), Some("m"));
        forecaster.add(ask("n", 10)).unwrap();
        let two = forecaster.done(String::new()).prices;
        for (served, model) in [
            (Some("n"), Some("n")),
            (Some("n-2026-01-01"), Some("n")),
            (Some("x"), None),
            (None, None),
        ] {
            assert_eq!(asked_model(&two, &book, served), model, "{served:?}");
        }
    }

    #[test]
    fn a_forecast_holds_as_long_as_its_prices_do() {
        let forecaster_of = |book: &Book| {
            let mut forecaster = Forecaster::new(book, NOW.parse().unwrap(), &|_| None);
            forecaster.add(ask("m", 10)).unwrap();
            forecaster.done(String::new())
        };
        let forecast = forecaster_of(&book("batch"));
        assert!(still_holds(&forecast, &book("batch"), NOW.parse().unwrap(), None));
        assert!(!still_holds(&forecast, &book(""), NOW.parse().unwrap(), None));
    }
}

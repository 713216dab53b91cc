//! Which of a model's rates apply: by time, by conditions, by context and by service tier.

use super::rates::{Rates, Tiers};
use super::schema::{Card, ContextTier, Hours, Model, Period, Variant};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};
use crate::wire::usage::{Meter, Usage};

/// What is known about a request when its rates are chosen. What is unknown is `None`: a variant
/// that asks for it does not apply, and a hold counts it among what may come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Situation<'a> {
    /// When; `None` means under the rates that are current in the book.
    pub at: Option<Timestamp>,
    /// Where it is served.
    pub region: Option<&'a str>,
    /// Asked for: `hd`, `high` …
    pub quality: Option<&'a str>,
    /// Asked for: `1024x1024`, `1080p` …
    pub resolution: Option<&'a str>,
}

/// A [`Card`], borrowed from wherever it stands.
#[derive(Debug, Clone, Copy)]
pub struct CardRef<'a> {
    /// Rates in the default service tier.
    pub rates: &'a Rates,
    /// Rates in other service tiers.
    pub tiers: &'a Tiers,
    /// Rates of long requests, in rising order.
    pub context: &'a [ContextTier],
}

/// The default tier by any of its names, in any API.
pub fn is_default_tier(tier: &str) -> bool {
    matches!(tier, "default" | "auto" | "standard" | "standard_only" | "on_demand")
}

impl<'a> CardRef<'a> {
    /// The rates for a service tier and a total input; `None` where the tier is not sold.
    pub fn rates_for(&self, tier: Option<&str>, input_total: Exact) -> Option<&'a Rates> {
        let reached = self.context.iter().rev().find(|context| context.reached(input_total));
        let (rates, tiers) =
            reached.map_or((self.rates, self.tiers), |context| (&context.rates, &context.tiers));
        match tier.filter(|tier| !is_default_tier(tier)) {
            None => Some(rates),
            Some(tier) => tiers.get(tier),
        }
    }

    /// Every set of rates that a request for `tier` with at most `input_most` tokens may end up
    /// at. Where the client leaves the tier open, any may be served; an upstream may always fall
    /// back to its default.
    pub fn reachable(&self, tier: Option<&str>, input_most: Exact) -> Vec<&'a Rates> {
        let mut all = Vec::new();
        let mut add = |rates: &'a Rates, tiers: &'a Tiers| {
            all.push(rates);
            match tier {
                None | Some("auto") => all.extend(tiers.0.values()),
                Some(tier) => all.extend(tiers.get(tier)),
            }
        };
        add(self.rates, self.tiers);
        for context in self.context.iter().filter(|context| context.reached(input_most)) {
            add(&context.rates, &context.tiers);
        }
        all
    }

    /// The same, owned: what a hold keeps.
    pub fn to_card(self) -> Card {
        Card {
            rates: self.rates.clone(),
            tiers: self.tiers.clone(),
            context: self.context.to_vec(),
        }
    }
}

impl Card {
    /// Borrows it.
    pub fn as_ref(&self) -> CardRef<'_> {
        CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context }
    }
}

impl From<Rates> for Card {
    /// The same rates whatever the tier and the length.
    fn from(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }
}

impl ContextTier {
    /// Whether a total input of so many tokens is in this tier.
    pub fn reached(&self, input_total: Exact) -> bool {
        match (self.above, self.at_least) {
            (Some(above), _) => input_total > above,
            (None, Some(least)) => input_total >= least,
            (None, None) => false,
        }
    }

    /// The bound it starts at, and whether the bound itself is inside.
    pub(super) fn bound(&self) -> Option<(Exact, bool)> {
        match (self.above, self.at_least) {
            (Some(above), None) => Some((above, false)),
            (None, Some(least)) => Some((least, true)),
            _ => None,
        }
    }
}

/// All input tokens of a usage, cached ones included: what a context tier is chosen by. Where no
/// total was reported it is the sum of the parts.
pub fn input_total(usage: &Usage) -> Result<Exact, OutOfRange> {
    if let Some(total) = usage.get(Meter::InputTotal) {
        return Ok(total);
    }
    let written = usage.get(Meter::CacheWrite).map_or_else(
        || {
            Exact::sum(
                [Meter::CacheWrite5m, Meter::CacheWrite1h].into_iter().filter_map(|m| usage.get(m)),
            )
        },
        Ok,
    )?;
    let rest = [Meter::InputUncached, Meter::CacheRead].into_iter().filter_map(|m| usage.get(m));
    Exact::sum(rest.chain([written]))
}

impl Model {
    /// The rates in force in a situation; `None` where the model was not priced at that time.
    pub fn card(&self, situation: &Situation<'_>) -> Option<CardRef<'_>> {
        let (period, variants) = self.in_force(situation.at)?;
        let best = variants
            .iter()
            .filter(|variant| variant.holds(situation, false))
            .max_by_key(|variant| variant.conditions());
        Some(best.map_or(period, Variant::card))
    }

    /// Every card a request may end up at, given what is known of it: those of variants whose
    /// other conditions are still unknown as well.
    pub fn possible(&self, situation: &Situation<'_>) -> Vec<CardRef<'_>> {
        let Some((period, variants)) = self.in_force(situation.at) else { return Vec::new() };
        let open = variants.iter().filter(|variant| variant.holds(situation, true));
        core::iter::once(period).chain(open.map(Variant::card)).collect()
    }

    fn in_force(&self, at: Option<Timestamp>) -> Option<(CardRef<'_>, &[Variant])> {
        let inline = (
            CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context },
            &*self.variants,
        );
        let Some(at) = at else { return Some(inline) };
        if within(at, self.valid_from, self.valid_to) {
            return Some(inline);
        }
        let period =
            self.history.iter().find(|period| within(at, period.valid_from, period.valid_to))?;
        Some((period.card(), &period.variants))
    }
}

/// Half-open: the first instant is inside, the last is not.
fn within(at: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
}

impl Period {
    pub(super) fn card(&self) -> CardRef<'_> {
        CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context }
    }
}

impl Variant {
    pub(super) fn card(&self) -> CardRef<'_> {
        CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context }
    }

    /// How many conditions it states.
    pub(super) fn conditions(&self) -> usize {
        [
            self.region.is_some(),
            self.hours.is_some(),
            self.quality.is_some(),
            self.resolution.is_some(),
        ]
        .into_iter()
        .filter(|given| *given)
        .count()
    }

    /// Whether its conditions hold; `unknown` is the answer where the situation does not say.
    fn holds(&self, situation: &Situation<'_>, unknown: bool) -> bool {
        let text = |wanted: &Option<String>, got: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| got.map_or(unknown, |got| got.eq_ignore_ascii_case(wanted)))
        };
        text(&self.region, situation.region)
            && text(&self.quality, situation.quality)
            && text(&self.resolution, situation.resolution)
            && self
                .hours
                .as_ref()
                .is_none_or(|hours| situation.at.map_or(unknown, |at| hours.hold(at)))
    }
}

/// Minutes in a day.
const DAY: u32 = 24 * 60;

impl Hours {
    /// Whether an instant is inside.
    pub fn hold(&self, at: Timestamp) -> bool {
        let (Some((from, to)), (minute, weekday)) = (self.bounds(), at.minute_and_weekday()) else {
            return false;
        };
        let day = self.weekdays.is_empty() || self.weekdays.contains(&weekday);
        let inside =
            if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to };
        day && inside
    }

    /// First minute inside and first minute outside; `None` where they are not times of day.
    pub(super) fn bounds(&self) -> Option<(u32, u32)> {
        let to = minute_of_day(&self.to)?;
        Some((minute_of_day(&self.from)?, if to == 0 { DAY } else { to }))
    }
}

fn minute_of_day(text: &str) -> Option<u32> {
    let two = |part: &str| (part.len() == 2).then(|| part.parse::<u32>().ok()).flatten();
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two(hour)?, two(minute)?);
    (hour < 24 && minute < 60).then(|| hour.saturating_mul(60).saturating_add(minute))
}

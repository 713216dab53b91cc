//! Takes a usage apart into disjoint quantities, each with the rate that applies to it.
//!
//! A part with a rate of its own is taken out of its parent; a part without one stays inside it,
//! unless it is of a kind that must never pass at its parent's price (audio at the rate of text,
//! say): then it comes out without a rate, and is reported as unpriced.

use crate::book::{Rate, Rates};
use crate::money::{Exact, OutOfRange};
use crate::wire::usage::{Meter, Usage};

pub(super) struct Leaf<'a> {
    pub meter: Meter,
    pub quantity: Exact,
    pub rate: Option<&'a Rate>,
}

/// What a part of a total does where the book has no rate for it.
#[derive(Clone, Copy, PartialEq)]
enum Otherwise {
    StaysInside,
    IsUnpriced,
}
use Otherwise::{IsUnpriced, StaysInside};

const PARTS_OF_INPUT: [(Meter, Otherwise); 6] = [
    (Meter::TextIn, StaysInside),
    (Meter::DocumentIn, StaysInside),
    (Meter::ToolPrompt, StaysInside),
    (Meter::AudioIn, IsUnpriced),
    (Meter::ImageIn, IsUnpriced),
    (Meter::VideoIn, IsUnpriced),
];
const PARTS_OF_CACHE_READ: [(Meter, Otherwise); 3] = [
    (Meter::CacheReadText, StaysInside),
    (Meter::CacheReadAudio, StaysInside),
    (Meter::CacheReadImage, StaysInside),
];
const PARTS_OF_OUTPUT: [(Meter, Otherwise); 6] = [
    (Meter::Reasoning, StaysInside),
    (Meter::TextOut, StaysInside),
    (Meter::AcceptedPrediction, StaysInside),
    (Meter::RejectedPrediction, StaysInside),
    (Meter::AudioOut, IsUnpriced),
    (Meter::ImageOut, IsUnpriced),
];
/// Meters that stand alone.
const ALONE: [(Meter, Otherwise); 13] = [
    (Meter::WebSearchRequests, IsUnpriced),
    (Meter::WebFetchRequests, IsUnpriced),
    (Meter::XSearchRequests, IsUnpriced),
    (Meter::SearchUnits, IsUnpriced),
    (Meter::SearchQueries, IsUnpriced),
    (Meter::Citation, IsUnpriced),
    (Meter::Images, IsUnpriced),
    (Meter::Characters, IsUnpriced),
    (Meter::Seconds, IsUnpriced),
    (Meter::PredictSeconds, IsUnpriced),
    (Meter::Pages, IsUnpriced),
    (Meter::Turns, StaysInside),
    (Meter::Requests, StaysInside),
];

/// Modality counts of the input include what was read from a cache; these say how much that is.
const CACHED_PART: [(Meter, Meter); 3] = [
    (Meter::TextIn, Meter::CacheReadText),
    (Meter::AudioIn, Meter::CacheReadAudio),
    (Meter::ImageIn, Meter::CacheReadImage),
];

pub(super) fn of<'a>(
    usage: &Usage,
    rates: &'a Rates,
    suspect: &mut Vec<Meter>,
) -> Result<Vec<Leaf<'a>>, OutOfRange> {
    let reported = usage.iter().fold(0, |mask, (meter, _)| mask | bit(meter));
    let leaves = Vec::with_capacity(LEAVES_USUAL);
    let mut split = Split { usage, reported, rates, leaves, suspect };
    split.input()?;
    split.cache_write()?;
    let output = usage.get(Meter::OutputTotal);
    split.whole(Meter::OutputTotal, output, &PARTS_OF_OUTPUT, rates.get(Meter::OutputTotal))?;
    for (meter, otherwise) in ALONE {
        if !split.has(meter) {
            continue;
        }
        let rate = rates.get(meter);
        if let Some(quantity) = usage.get(meter)
            && (rate.is_some() || otherwise == IsUnpriced)
        {
            split.leaves.push(Leaf { meter, quantity, rate });
        }
    }
    Ok(split.leaves)
}

/// Room for the leaves of a usual answer, so that the list grows only for unusual ones.
const LEAVES_USUAL: usize = 8;

/// All tokens written to a cache. They may be reported by their parts alone.
fn written(usage: &Usage) -> Result<Option<Exact>, OutOfRange> {
    let parts = [usage.get(Meter::CacheWrite5m), usage.get(Meter::CacheWrite1h)];
    match usage.get(Meter::CacheWrite) {
        None if parts != [None, None] => Exact::sum(parts.into_iter().flatten()).map(Some),
        total => Ok(total),
    }
}

/// Input tokens neither read from a cache nor written to one; from the total where they were not
/// reported.
fn uncached(usage: &Usage, written: Option<Exact>) -> Result<Uncached, OutOfRange> {
    if let Some(uncached) = usage.get(Meter::InputUncached) {
        return Ok(Uncached::Known(Some(uncached)));
    }
    let Some(total) = usage.get(Meter::InputTotal) else { return Ok(Uncached::Known(None)) };
    let cached = Exact::sum(usage.get(Meter::CacheRead).into_iter().chain(written))?;
    let rest = total.minus(cached)?;
    Ok(if rest.is_negative() {
        Uncached::Contradiction(total)
    } else {
        Uncached::Known(Some(rest))
    })
}

/// The uncached input: reported or derived, if any was; or a total smaller than its cached parts.
enum Uncached {
    Known(Option<Exact>),
    Contradiction(Exact),
}

/// A meter's place in a set of meters; there are fewer than 64.
fn bit(meter: Meter) -> u64 {
    1_u64.checked_shl(meter as u32).unwrap_or(0)
}

struct Split<'u, 'a> {
    usage: &'u Usage,
    /// The meters the usage has, as bits: most parts are absent, and need not be looked up.
    reported: u64,
    rates: &'a Rates,
    leaves: Vec<Leaf<'a>>,
    suspect: &'u mut Vec<Meter>,
}

impl<'a> Split<'_, 'a> {
    fn has(&self, meter: Meter) -> bool {
        self.reported & bit(meter) != 0
    }

    fn input(&mut self) -> Result<(), OutOfRange> {
        let input_rate = self.rates.get(Meter::InputUncached);
        let uncached = match uncached(self.usage, written(self.usage)?)? {
            Uncached::Known(uncached) => uncached,
            Uncached::Contradiction(total) => {
                // There is no remainder; the total is charged itself.
                self.suspect.push(Meter::InputTotal);
                return self.whole(Meter::InputUncached, Some(total), &PARTS_OF_INPUT, input_rate);
            }
        };
        self.whole(Meter::InputUncached, uncached, &PARTS_OF_INPUT, input_rate)?;
        let rate = self.rates.get(Meter::CacheRead).or(input_rate);
        let read = self.usage.get(Meter::CacheRead);
        self.whole(Meter::CacheRead, read, &PARTS_OF_CACHE_READ, rate)
    }

    /// A write for an hour costs more than one for five minutes; where the report splits them, so
    /// does the price. An unsplit write is one of five minutes, the providers' default. A rate for
    /// `cache_write` is for writes of any length that have no rate of their own.
    fn cache_write(&mut self) -> Result<(), OutOfRange> {
        let Some(total) = written(self.usage)? else { return Ok(()) };
        let plain = self.rates.get(Meter::CacheWrite);
        let short_rate = self.rates.get(Meter::CacheWrite5m).or(plain);
        let long = self.usage.get(Meter::CacheWrite1h).unwrap_or(Exact::ZERO);
        let short = self.remainder(Meter::CacheWrite, total, long)?;
        let (meter, rate) = match self.usage.get(Meter::CacheWrite5m) {
            Some(_) => (Meter::CacheWrite5m, short_rate),
            None => (Meter::CacheWrite, plain.or(short_rate)),
        };
        self.leaves.push(Leaf { meter, quantity: short, rate });
        let rate = self.rates.get(Meter::CacheWrite1h).or(plain);
        self.leaves.push(Leaf { meter: Meter::CacheWrite1h, quantity: long, rate });
        Ok(())
    }

    /// A total, its parts taken out where the book prices them apart.
    fn whole(
        &mut self,
        meter: Meter,
        total: Option<Exact>,
        parts: &[(Meter, Otherwise)],
        rate: Option<&'a Rate>,
    ) -> Result<(), OutOfRange> {
        let mut rest = total.unwrap_or(Exact::ZERO);
        let reported = self.reported;
        for (part, otherwise) in parts.iter().filter(|(part, _)| reported & bit(*part) != 0) {
            let Some(quantity) = self.uncached_part(*part)?.filter(|q| !q.is_zero()) else {
                continue;
            };
            let own = self.rates.get(*part);
            if own.is_some() || *otherwise == IsUnpriced {
                rest = self.remainder(meter, rest, quantity)?;
                self.leaves.push(Leaf { meter: *part, quantity, rate: own });
            }
        }
        self.leaves.push(Leaf { meter, quantity: rest, rate });
        Ok(())
    }

    /// A part as reported, without those of its tokens that were read from a cache: they are a
    /// part of `cache_read`.
    fn uncached_part(&self, part: Meter) -> Result<Option<Exact>, OutOfRange> {
        let Some(quantity) = self.usage.get(part) else { return Ok(None) };
        let cached = CACHED_PART.iter().find(|(meter, _)| *meter == part);
        let cached = cached.and_then(|(_, cached)| self.usage.get(*cached)).unwrap_or(Exact::ZERO);
        let rest = quantity.minus(cached)?;
        Ok(Some(if rest.is_negative() { Exact::ZERO } else { rest }))
    }

    fn remainder(&mut self, meter: Meter, total: Exact, part: Exact) -> Result<Exact, OutOfRange> {
        let rest = total.minus(part)?;
        if rest.is_negative() {
            self.suspect.push(meter);
            return Ok(Exact::ZERO);
        }
        Ok(rest)
    }
}

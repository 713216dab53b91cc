//! Takes a usage apart into disjoint quantities, each with the rate that applies to it.
//!
//! A part with a rate of its own is taken out of its parent; a part without one stays inside it,
//! unless it is of a kind that must never pass at its parent's price (audio at the rate of text,
//! say): then it comes out without a rate, and is reported as unpriced.

use std::borrow::Cow;

use crate::book::{Rate, Rates};
use crate::money::{Exact, OutOfRange};
use crate::wire::usage::{Meter, Provenance, Usage};

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

pub(super) fn of<'a>(
    usage: &Usage,
    rates: &'a Rates,
    suspect: &mut Vec<Meter>,
) -> Result<Vec<Leaf<'a>>, OutOfRange> {
    let usage = &with_cache_write(usage)?;
    let mut split = Split { usage, rates, leaves: Vec::new(), suspect };
    split.input()?;
    split.cache_write()?;
    let output = usage.get(Meter::OutputTotal);
    split.whole(Meter::OutputTotal, output, &PARTS_OF_OUTPUT, rates.get(Meter::OutputTotal))?;
    for (meter, otherwise) in ALONE {
        let rate = rates.get(meter);
        if let Some(quantity) = usage.get(meter)
            && (rate.is_some() || otherwise == IsUnpriced)
        {
            split.leaves.push(Leaf { meter, quantity, rate });
        }
    }
    Ok(split.leaves)
}

/// A cache write may be reported by its parts alone; then they make the total.
fn with_cache_write(usage: &Usage) -> Result<Cow<'_, Usage>, OutOfRange> {
    let parts = [usage.get(Meter::CacheWrite5m), usage.get(Meter::CacheWrite1h)];
    if usage.get(Meter::CacheWrite).is_some() || parts == [None, None] {
        return Ok(Cow::Borrowed(usage));
    }
    let mut usage = usage.clone();
    usage.set(Meter::CacheWrite, Exact::sum(parts.into_iter().flatten())?, Provenance::Reported);
    Ok(Cow::Owned(usage))
}

struct Split<'u, 'a> {
    usage: &'u Usage,
    rates: &'a Rates,
    leaves: Vec<Leaf<'a>>,
    suspect: &'u mut Vec<Meter>,
}

impl<'a> Split<'_, 'a> {
    fn input(&mut self) -> Result<(), OutOfRange> {
        let input_rate = self.rates.get(Meter::InputUncached);
        let mut usage = self.usage.clone();
        usage.complete_input();
        // A total that contradicts its cached parts has no remainder; then the total is charged.
        let contradicts = usage.get(Meter::InputUncached).is_none();
        let uncached = usage.get(Meter::InputUncached).or_else(|| usage.get(Meter::InputTotal));
        if contradicts && uncached.is_some() {
            self.suspect.push(Meter::InputTotal);
        }
        self.whole(Meter::InputUncached, uncached, &PARTS_OF_INPUT, input_rate)?;
        if contradicts && uncached.is_some() {
            return Ok(());
        }
        let rate = self.rates.get(Meter::CacheRead).or(input_rate);
        let read = self.usage.get(Meter::CacheRead);
        self.whole(Meter::CacheRead, read, &PARTS_OF_CACHE_READ, rate)
    }

    /// A write for an hour costs more than one for five minutes; where the report splits them, so
    /// does the price. An unsplit write is one of five minutes, the providers' default.
    fn cache_write(&mut self) -> Result<(), OutOfRange> {
        let Some(total) = self.usage.get(Meter::CacheWrite) else { return Ok(()) };
        let plain = self.rates.get(Meter::CacheWrite);
        let short_rate = self.rates.get(Meter::CacheWrite5m).or(plain);
        let long = self.usage.get(Meter::CacheWrite1h).unwrap_or(Exact::ZERO);
        let short = self.remainder(Meter::CacheWrite, total, long)?;
        let (meter, rate) = match self.usage.get(Meter::CacheWrite5m) {
            Some(_) => (Meter::CacheWrite5m, short_rate),
            None => (Meter::CacheWrite, plain.or(short_rate)),
        };
        self.leaves.push(Leaf { meter, quantity: short, rate });
        let rate = self.rates.get(Meter::CacheWrite1h);
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
        for (part, otherwise) in parts {
            let Some(quantity) = self.usage.get(*part).filter(|q| !q.is_zero()) else { continue };
            let own = self.rates.get(*part);
            if own.is_some() || *otherwise == IsUnpriced {
                rest = self.remainder(meter, rest, quantity)?;
                self.leaves.push(Leaf { meter: *part, quantity, rate: own });
            }
        }
        self.leaves.push(Leaf { meter, quantity: rest, rate });
        Ok(())
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

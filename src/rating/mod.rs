//! Usage × rates → lines. Exact, and nothing in it is silently free.

pub mod aggregate;
pub mod charge;
pub mod cover;
mod leaves;
pub mod outcome;

use serde::{Deserialize, Serialize};

use crate::book::{Rate, Rates};
use crate::money::{Exact, OutOfRange};
use crate::wire::usage::{Meter, Usage};

/// One line of the arithmetic: `quantity × rate ÷ per = amount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What was charged for.
    pub meter: Meter,
    /// How much of it.
    pub quantity: Exact,
    /// The price of `per` units.
    pub rate: Exact,
    /// How many units the rate buys.
    pub per: Exact,
    /// The product, unrounded.
    pub amount: Exact,
}

/// What a usage costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rated {
    /// Sum of the lines, unrounded.
    pub amount: Exact,
    /// One line per priced meter with a quantity above zero.
    pub lines: Vec<Line>,
    /// Meters that were used and have no rate. Whoever calls must not let them pass for free.
    pub unpriced: Vec<Meter>,
    /// Parts that add up to more than their total: the report contradicts itself.
    pub suspect: Vec<Meter>,
}

/// Prices `usage` by `rates`. Only leaves are priced, never totals, so nothing counts twice.
///
/// ```
/// use farebox::{book::{Book, DEFAULT}, rating, wire::usage::{Meter, Provenance, Usage}};
/// let book = Book::parse(DEFAULT).unwrap();
/// let rates = &book.find(None, "gpt-4o-mini").unwrap().rates;
/// let mut usage = Usage::default();
/// usage.set(Meter::InputUncached, 1000.into(), Provenance::Reported);
/// usage.set(Meter::OutputTotal, 100.into(), Provenance::Reported);
/// assert_eq!(rating::rate(&usage, rates).unwrap().amount.to_string(), "0.00021");
/// ```
pub fn rate(usage: &Usage, rates: &Rates) -> Result<Rated, OutOfRange> {
    let mut rated = Rated::default();
    let leaves = leaves::of(usage, rates, &mut rated.suspect)?;
    rated.lines.reserve_exact(leaves.len());
    for leaf in leaves {
        if leaf.quantity.is_zero() {
            continue;
        }
        match leaf.rate {
            Some(rate) => rated.lines.push(line(leaf.meter, leaf.quantity, rate)?),
            None => rated.unpriced.push(leaf.meter),
        }
    }
    rated.amount = Exact::sum(rated.lines.iter().map(|line| line.amount))?;
    Ok(rated)
}

/// A usage without its tokens that `parts` tell again: what is left is priced by itself, and the
/// parts at their own rates.
pub fn without_parts(usage: &Usage, parts: &[&Usage]) -> Usage {
    let mut rest = Usage::default();
    let told = |meter| {
        let total = [Meter::InputTotal, Meter::InputUncached].contains(&meter);
        total || parts.iter().any(|part| part.get(meter).is_some())
    };
    for (meter, measured) in usage.iter().filter(|(meter, _)| !told(*meter)) {
        rest.set(meter, measured.quantity, measured.provenance);
    }
    rest
}

/// One line of arithmetic.
pub fn line(meter: Meter, quantity: Exact, rate: &Rate) -> Result<Line, OutOfRange> {
    let amount = rate.price(quantity)?;
    Ok(Line { meter, quantity, rate: rate.amount, per: rate.per, amount })
}

#[cfg(test)]
mod tests;

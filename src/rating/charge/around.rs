//! What any charge may carry: conversion of the quantity before the model, bounds and rounding of
//! the amount after it.
//!
//! Order: `divide_by` → `quantity_rounding` → `quantity_multiple` → `free_units` → the model →
//! `minimum_amount`, `maximum_amount` → `round_to`.

use super::{Kind, Line, Part, Parts};
use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::strict::{Faults, Object};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Around {
    divide_by: Option<Exact>,
    quantity_rounding: Option<Rounding>,
    quantity_multiple: Option<Exact>,
    free_units: Exact,
    minimum: Option<Exact>,
    maximum: Option<Exact>,
    round_to: Option<(RoundTo, Rounding)>,
    /// `first_tier_flat_fee_at_zero_usage`.
    pub fee_at_zero: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoundTo {
    /// So many digits after the point.
    Places(u32),
    /// A multiple of this, where it is a fraction: `0.05`.
    Step(Exact),
}

/// Most places `round_to` may ask for; no number has more.
const PLACES_MAX: u64 = 28;
/// Where a line without an exact decimal is cut, or before where it has many digits in front.
const CUT_PLACES: u32 = 18;

impl Around {
    pub fn read(charge: &mut Object, faults: &mut Faults) -> Self {
        let min_path = charge.at("minimum_amount");
        let around = Self {
            divide_by: charge.above_zero("divide_by", faults),
            quantity_rounding: charge
                .take("quantity_rounding")
                .and_then(|spot| spot.one_of(&Rounding::NAMES, faults)),
            quantity_multiple: charge.above_zero("quantity_multiple", faults),
            free_units: charge.amount("free_units", faults).unwrap_or_default(),
            minimum: charge.amount("minimum_amount", faults),
            maximum: charge.amount("maximum_amount", faults),
            round_to: read_round_to(charge, faults),
            fee_at_zero: charge
                .take("first_tier_flat_fee_at_zero_usage")
                .and_then(|spot| spot.flag(faults)),
        };
        if around.minimum.zip(around.maximum).is_some_and(|(min, max)| min > max) {
            faults.invalid(min_path, "is above maximum_amount");
        }
        around
    }

    /// Whether the first tier's fee is due at zero usage; it is not unless somebody says so.
    pub fn fee_at_zero(&self) -> bool {
        self.fee_at_zero.unwrap_or(false)
    }

    /// Neither converts nor bounds nor rounds.
    pub fn is_plain(&self) -> bool {
        *self == Self { fee_at_zero: self.fee_at_zero, ..Self::default() }
    }

    /// Whether quantities or amounts are rounded: then a few units may cost as much as many.
    pub fn rounds(&self) -> bool {
        self.quantity_rounding.is_some()
            || self.quantity_multiple.is_some()
            || self.round_to.is_some()
    }

    /// Sets how the amount is rounded where the charge itself does not say.
    pub fn round_by_default(&mut self, other: &Self) {
        self.round_to = self.round_to.or(other.round_to);
    }

    /// `quantity` in the charge's unit, without what is free.
    pub fn quantity(&self, quantity: Exact) -> Result<Ratio, OutOfRange> {
        let quantity = self.convert(quantity)?;
        quantity.minus(quantity.min(self.free_units.into()))
    }

    /// How far at most so many more units lie from where they start, in the charge's unit: rounding
    /// may add up to one, and where halves go to the even number, one more.
    pub fn reach(&self, quantity: Exact) -> Result<Ratio, OutOfRange> {
        let mut reach = Ratio::from(quantity);
        if let Some(divisor) = self.divide_by {
            reach = reach.over(divisor.into())?;
        }
        if let Some(rounding) = self.quantity_rounding {
            reach = reach.rounded(0, Rounding::Up)?.plus(stray(rounding, 1))?.into();
        }
        if let Some(multiple) = self.quantity_multiple {
            reach = reach.to_step(multiple, Rounding::Up)?.into();
        }
        Ok(reach)
    }

    /// The most that rounding makes of a difference of amounts.
    pub fn rounded_up(&self, difference: Ratio) -> Result<Ratio, OutOfRange> {
        let Some((to, rounding)) = self.round_to else { return Ok(difference) };
        let (up, step) = match to {
            RoundTo::Places(places) => {
                let step = Ratio::from(Exact::from(1)).over(power(places)?)?;
                (difference.rounded(places, Rounding::Up)?, step.exact()?)
            }
            RoundTo::Step(step) => (difference.to_step(step, Rounding::Up)?, step),
        };
        Ok(up.plus(stray(rounding, step))?.into())
    }

    /// `minimum_amount`.
    pub fn minimum(&self) -> Option<Exact> {
        self.minimum
    }

    /// `maximum_amount`.
    pub fn maximum(&self) -> Option<Exact> {
        self.maximum
    }

    /// Each amount likewise; what is free is taken from the first ones.
    pub fn amounts(&self, amounts: &[Exact]) -> Result<Vec<Ratio>, OutOfRange> {
        let mut free = Ratio::from(self.free_units);
        let mut convert = |amount: &Exact| {
            let amount = self.convert(*amount)?;
            if free.is_zero() || amount.is_negative() {
                return Ok(amount);
            }
            let taken = amount.min(free);
            free = free.minus(taken)?;
            amount.minus(taken)
        };
        amounts.iter().map(&mut convert).collect()
    }

    fn convert(&self, number: Exact) -> Result<Ratio, OutOfRange> {
        let mut number = Ratio::from(number);
        if let Some(divisor) = self.divide_by {
            number = number.over(divisor.into())?;
        }
        if let Some(rounding) = self.quantity_rounding {
            number = number.rounded(0, rounding)?.into();
        }
        if let Some(multiple) = self.quantity_multiple {
            number = number.to_step(multiple, Rounding::Up)?.into();
        }
        Ok(number)
    }

    /// The amount within its bounds, rounded where the charge says so, and its parts.
    pub fn settle(&self, parts: &mut Parts) -> Result<Ratio, OutOfRange> {
        self.bound(parts)?;
        let total = parts.total()?;
        Ok(match self.round_to {
            None => total,
            Some((RoundTo::Places(places), rounding)) => total.rounded(places, rounding)?.into(),
            Some((RoundTo::Step(step), rounding)) => total.to_step(step, rounding)?.into(),
        })
    }

    fn bound(&self, parts: &mut Parts) -> Result<(), OutOfRange> {
        let total = parts.total()?;
        if let Some(minimum) = self.minimum.map(Ratio::from)
            && total < minimum
        {
            parts.fee(Kind::Minimum, minimum.minus(total)?);
        }
        if let Some(maximum) = self.maximum.map(Ratio::from)
            && total > maximum
        {
            parts.fee(Kind::Maximum, maximum.minus(total)?);
        }
        Ok(())
    }
}

/// By how much the rounded values of two numbers can differ beyond their rounded difference: of 0.5
/// and 1.5, halves to even make 0 and 2.
fn stray(rounding: Rounding, step: impl Into<Exact>) -> Exact {
    if rounding == Rounding::HalfEven { step.into() } else { Exact::ZERO }
}

fn power(places: u32) -> Result<Ratio, OutOfRange> {
    let ten = Ratio::from(Exact::from(10));
    (0..places).try_fold(Exact::from(1).into(), |power: Ratio, _| power.times(ten))
}

/// The parts as lines that add up to `amount`.
pub(super) fn lines(parts: &Parts, amount: Exact) -> Result<Vec<Line>, OutOfRange> {
    let mut lines = parts.0.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let added = Exact::sum(lines.iter().map(|line| line.amount))?;
    let rest = amount.minus(added)?;
    if !rest.is_zero() {
        lines.push(Line {
            quantity: Exact::ZERO,
            unit_price: None,
            amount: rest,
            kind: Kind::Rounding,
            inexact: false,
        });
    }
    Ok(lines)
}

/// A part as decimals: exact where it can be, else cut and marked.
fn line(part: &Part) -> Result<Line, OutOfRange> {
    let cut = |number: Ratio| {
        let fits = |places| number.rounded(places, Rounding::Down).ok();
        (0..=CUT_PLACES).rev().find_map(fits).ok_or(OutOfRange)
    };
    let (quantity, amount) = (part.quantity.exact(), part.amount.exact());
    let inexact = quantity.is_err() || amount.is_err();
    Ok(Line {
        quantity: quantity.or_else(|_| cut(part.quantity))?,
        // A price per unit that does not end (a dollar for three) is not shown cut.
        unit_price: part.unit_price.and_then(|price| price.exact().ok()),
        amount: amount.or_else(|_| cut(part.amount))?,
        kind: part.kind,
        inexact,
    })
}

fn read_round_to(charge: &mut Object, faults: &mut Faults) -> Option<(RoundTo, Rounding)> {
    let rounding = charge.take("rounding");
    let Some(spot) = charge.take("round_to") else {
        if let Some(rounding) = rounding {
            faults.invalid(rounding.path, "rounds nothing without `round_to`");
        }
        return None;
    };
    let mode = match rounding {
        Some(rounding) => rounding.one_of(&Rounding::NAMES, faults)?,
        None => Rounding::default(),
    };
    let number = spot.positive_or_zero(faults)?;
    let to = match number.to_u64() {
        Some(places) if places <= PLACES_MAX => u32::try_from(places).ok().map(RoundTo::Places),
        None if number < Exact::from(1) => Some(RoundTo::Step(number)),
        _ => None,
    };
    if to.is_none() {
        let message = format!("{number} is neither 0 to {PLACES_MAX} places nor a step below 1");
        faults.invalid(spot.path, message);
    }
    to.map(|to| (to, mode))
}

/// `round_to` and `rounding` where they stand beside a charge instead of in it.
pub(super) fn beside(object: &mut Object, faults: &mut Faults) -> Around {
    Around { round_to: read_round_to(object, faults), ..Around::default() }
}

//! Exact fractions: what a quotient is before anybody rounds it.

use core::cmp::Ordering;

use super::{Exact, OutOfRange, Rounding, SCALE_MAX, power_of_ten};

/// An exact fraction. `1000 s ÷ 3600` has no decimal spelling, yet `× 3.6 USD` it is exactly 1 USD:
/// so quotients stay fractions until the end, and are rounded once or not at all.
///
/// Lowest terms, the denominator above zero; both are integers of at most 127 bits.
///
/// ```
/// use farebox::money::{Exact, Ratio, Rounding};
/// let hours = Ratio::from(Exact::from(1000)).over(Exact::from(3600).into()).unwrap();
/// assert!(hours.exact().is_err());
/// assert_eq!(hours.rounded(2, Rounding::HalfUp).unwrap().to_string(), "0.28");
/// let price: Exact = "3.6".parse().unwrap();
/// assert_eq!(hours.times(price.into()).unwrap().exact().unwrap(), Exact::from(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    /// Nothing at all.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator ÷ denominator` in lowest terms; fails where the denominator is zero.
    fn build(numerator: i128, denominator: i128) -> Result<Self, OutOfRange> {
        let common = common_divisor(numerator, denominator)?;
        let sign = if denominator < 0 { -1 } else { 1 };
        let reduced = |number: i128| {
            number.checked_div(common).and_then(|n| n.checked_mul(sign)).ok_or(OutOfRange)
        };
        let (numerator, denominator) = (reduced(numerator)?, reduced(denominator)?);
        if denominator == 0 { Err(OutOfRange) } else { Ok(Self { numerator, denominator }) }
    }

    /// `self + other`.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        let common = common_divisor(self.denominator, other.denominator)?;
        let lift = other.denominator.checked_div(common).ok_or(OutOfRange)?;
        let other_lift = self.denominator.checked_div(common).ok_or(OutOfRange)?;
        let left = self.numerator.checked_mul(lift).ok_or(OutOfRange)?;
        let right = other.numerator.checked_mul(other_lift).ok_or(OutOfRange)?;
        let denominator = self.denominator.checked_mul(lift).ok_or(OutOfRange)?;
        Self::build(left.checked_add(right).ok_or(OutOfRange)?, denominator)
    }

    /// `self - other`; may be negative.
    pub fn minus(self, other: Self) -> Result<Self, OutOfRange> {
        let numerator = other.numerator.checked_neg().ok_or(OutOfRange)?;
        self.plus(Self { numerator, ..other })
    }

    /// `self × other`. What cancels is cancelled first, so that only the result has to fit.
    pub fn times(self, other: Self) -> Result<Self, OutOfRange> {
        let left = Self::build(self.numerator, other.denominator)?;
        let right = Self::build(other.numerator, self.denominator)?;
        let product = |a: i128, b: i128| a.checked_mul(b).ok_or(OutOfRange);
        Self::build(
            product(left.numerator, right.numerator)?,
            product(left.denominator, right.denominator)?,
        )
    }

    /// `self ÷ divisor`; fails where the divisor is zero.
    pub fn over(self, divisor: Self) -> Result<Self, OutOfRange> {
        self.times(Self::build(divisor.denominator, divisor.numerator)?)
    }

    /// The sum of `numbers`.
    pub fn sum(numbers: impl IntoIterator<Item = Self>) -> Result<Self, OutOfRange> {
        numbers.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// Exactly zero.
    pub fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self.numerator < 0
    }

    /// The same number as a decimal; fails where it does not end within 28 places.
    pub fn exact(self) -> Result<Exact, OutOfRange> {
        let (twos, rest) = factor_out(self.denominator, 2);
        let (fives, rest) = factor_out(rest, 5);
        if rest != 1 {
            return Err(OutOfRange);
        }
        let scale = twos.max(fives);
        let lift = |base: i128, by: u32| base.checked_pow(scale.saturating_sub(by));
        let factor = lift(2, twos)
            .and_then(|two| lift(5, fives).and_then(|five| two.checked_mul(five)))
            .ok_or(OutOfRange)?;
        Exact::build(self.numerator.checked_mul(factor).ok_or(OutOfRange)?, scale)
    }

    /// The nearest decimal with at most `places` digits after the point, by `rounding`.
    pub fn rounded(self, places: u32, rounding: Rounding) -> Result<Exact, OutOfRange> {
        if places > SCALE_MAX {
            return Err(OutOfRange);
        }
        if places == 0 {
            return Exact::build(rounding.divide(self.numerator, self.denominator)?, 0);
        }
        // Whole part and rest apart: only the rest needs room for the places. Lifted by a power
        // of ten the whole part is even, so "half to even" looks at the rest's digits alone.
        let whole = self.numerator.checked_div(self.denominator).ok_or(OutOfRange)?;
        let rest = self.numerator.checked_rem(self.denominator).ok_or(OutOfRange)?;
        let lift = power_of_ten(places).ok_or(OutOfRange)?;
        let rest = Self::build(rest, self.denominator)?
            .times(Self { numerator: lift, denominator: 1 })
            .and_then(|rest| rounding.divide(rest.numerator, rest.denominator))?;
        let whole = whole.checked_mul(lift).ok_or(OutOfRange)?;
        Exact::build(whole.checked_add(rest).ok_or(OutOfRange)?, places)
    }

    /// The nearest multiple of `step`, by `rounding`; `0.05` for cash in Swiss francs, say.
    pub fn to_step(self, step: Exact, rounding: Rounding) -> Result<Exact, OutOfRange> {
        self.over(step.into())?.rounded(0, rounding)?.times(step)
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    /// Whole parts first, then the rests turned upside down: nothing here can grow out of range.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) =
            ((self.numerator, self.denominator), (other.numerator, other.denominator));
        let mut turned = false;
        loop {
            let parts = |(n, d): (i128, i128)| {
                // Denominators are above zero, so the fallback is never taken.
                (n.checked_div_euclid(d).unwrap_or(0), n.checked_rem_euclid(d).unwrap_or(0))
            };
            let ((whole, rest), (other_whole, other_rest)) = (parts(a), parts(b));
            let order = whole.cmp(&other_whole).then_with(|| (rest != 0).cmp(&(other_rest != 0)));
            if order != Ordering::Equal || rest == 0 {
                return if turned { order.reverse() } else { order };
            }
            (a, b) = ((a.1, rest), (b.1, other_rest));
            turned = !turned;
        }
    }
}

impl From<Exact> for Ratio {
    fn from(number: Exact) -> Self {
        let plain = || {
            let denominator = power_of_ten(number.0.scale()).ok_or(OutOfRange)?;
            Self::build(number.0.mantissa(), denominator)
        };
        // A decimal of 96 bits and 28 places always fits; the fallback is never taken.
        plain().unwrap_or(Self::ZERO)
    }
}

/// The greatest number that divides both; 1 where both are zero.
fn common_divisor(a: i128, b: i128) -> Result<i128, OutOfRange> {
    let (mut a, mut b) = (a.checked_abs().ok_or(OutOfRange)?, b.checked_abs().ok_or(OutOfRange)?);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    Ok(a.max(1))
}

/// How often `factor` divides `number`, and what is left.
fn factor_out(mut number: i128, factor: i128) -> (u32, i128) {
    let mut times: u32 = 0;
    while number != 0 && number.checked_rem(factor) == Some(0) {
        number = number.checked_div(factor).unwrap_or(0);
        times = times.saturating_add(1);
    }
    (times, number)
}

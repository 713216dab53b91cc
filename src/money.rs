//! Exact decimal arithmetic: the only place where amounts and quantities are computed.
//!
//! `rust_decimal` rounds silently once a result needs more than 28 digits. Farebox never does:
//! every operation here is done on the 128-bit integers beneath and either is exact or answers
//! [`OutOfRange`]. Only [`Ratio`] rounds, and only by a [`Rounding`] that its caller names.

mod ratio;
mod rounding;
mod sum;

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of so many characters fits 64 bits whatever its digits.
const DIGITS_SMALL: usize = 18;
pub use ratio::Ratio;
pub use rounding::Rounding;
pub use sum::Sum;

/// Digits after the point that a result may have; the most `rust_decimal` holds.
const SCALE_MAX: u32 = 28;

/// The result does not fit 96 bits and 28 places exactly. Public code: `amount_out_of_range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number needs more than 28 digits to be exact")
    }
}

/// An exact decimal number: an amount of money, a quantity or a rate, as the name of the variable
/// or field says. Written as a decimal string at every boundary, never as a JSON number.
///
/// Kept without trailing zeros, so equal numbers have one spelling.
///
/// ```
/// use farebox::money::Exact;
/// let rate: Exact = "0.15".parse().unwrap();
/// let amount = rate.times(Exact::from(345)).unwrap().over(Exact::from(1_000_000)).unwrap();
/// assert_eq!(amount.to_string(), "0.00005175");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Exact(Decimal);

impl Exact {
    /// Nothing at all. Not the same as absent, which is `None`.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Builds `mantissa × 10^-scale`, or fails where that is not representable.
    fn build(mut mantissa: i128, mut scale: u32) -> Result<Self, OutOfRange> {
        // Nearly every number fits 64 bits, where division is many times faster than in 128.
        if let Ok(mut small) = u64::try_from(mantissa) {
            while scale > 0 && small.checked_rem(10) == Some(0) {
                small = small.checked_div(10).ok_or(OutOfRange)?;
                scale = scale.saturating_sub(1);
            }
            mantissa = i128::from(small);
        }
        while scale > 0 && mantissa.checked_rem(10) == Some(0) {
            mantissa = mantissa.checked_div(10).ok_or(OutOfRange)?;
            scale = scale.saturating_sub(1);
        }
        if scale > SCALE_MAX {
            return Err(OutOfRange);
        }
        Decimal::try_from_i128_with_scale(mantissa, scale).map(Self).map_err(|_| OutOfRange)
    }

    /// Both mantissas at the larger of the two scales.
    fn aligned(self, other: Self) -> Result<(i128, i128, u32), OutOfRange> {
        let scale = self.0.scale().max(other.0.scale());
        let lift = |number: Decimal| {
            power_of_ten(scale.saturating_sub(number.scale()))
                .and_then(|factor| number.mantissa().checked_mul(factor))
                .ok_or(OutOfRange)
        };
        Ok((lift(self.0)?, lift(other.0)?, scale))
    }

    /// `self + other`, exactly.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        let (a, b, scale) = self.aligned(other)?;
        Self::build(a.checked_add(b).ok_or(OutOfRange)?, scale)
    }

    /// `self - other`, exactly; may be negative.
    pub fn minus(self, other: Self) -> Result<Self, OutOfRange> {
        let (a, b, scale) = self.aligned(other)?;
        Self::build(a.checked_sub(b).ok_or(OutOfRange)?, scale)
    }

    /// `self × other`, exactly.
    pub fn times(self, other: Self) -> Result<Self, OutOfRange> {
        match self.0.mantissa().checked_mul(other.0.mantissa()) {
            Some(mantissa) => Self::build(mantissa, self.0.scale().saturating_add(other.0.scale())),
            // The plain product does not fit; what is left after cancelling tens may.
            None => Ratio::from(self).times(other.into())?.exact(),
        }
    }

    /// `self ÷ divisor`, exactly: fails where the quotient does not terminate within 28 places
    /// (a price per 3,600 seconds, say) and where the divisor is zero.
    pub fn over(self, divisor: Self) -> Result<Self, OutOfRange> {
        if let Some(places) = divisor.zeros_after_one() {
            return Self::build(self.0.mantissa(), self.0.scale().saturating_add(places));
        }
        self.over_by_digits(divisor).or_else(|_| Ratio::from(self).over(divisor.into())?.exact())
    }

    /// Long division: digit by digit until nothing is left, or the working room is used up.
    fn over_by_digits(self, divisor: Self) -> Result<Self, OutOfRange> {
        let (mut dividend, divisor, _) = self.aligned(divisor)?;
        for scale in 0..=SCALE_MAX {
            if dividend.checked_rem(divisor).ok_or(OutOfRange)? == 0 {
                return Self::build(dividend.checked_div(divisor).ok_or(OutOfRange)?, scale);
            }
            dividend = dividend.checked_mul(10).ok_or(OutOfRange)?;
        }
        Err(OutOfRange)
    }

    /// How many zeros it has where it is a one with nothing but zeros behind it: a price per
    /// thousand or per million only moves the point.
    fn zeros_after_one(self) -> Option<u32> {
        if self.0.scale() != 0 {
            return None;
        }
        let number = u64::try_from(self.0.mantissa()).ok()?;
        let zeros = POWERS_OF_TEN.iter().position(|power| *power == number)?;
        u32::try_from(zeros).ok()
    }

    /// How many whole times `divisor` fits into `self`; zero for a negative `self`.
    pub fn whole_times(self, divisor: Self) -> Result<Self, OutOfRange> {
        let (a, b, _) = self.aligned(divisor)?;
        Self::build(a.max(0).checked_div(b).ok_or(OutOfRange)?, 0)
    }

    /// The sum of `numbers`, exactly.
    pub fn sum(numbers: impl IntoIterator<Item = Self>) -> Result<Self, OutOfRange> {
        numbers.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// The nearest number with at most `places` digits after the point, by `rounding`.
    ///
    /// ```
    /// use farebox::money::{Exact, Rounding};
    /// let amount: Exact = "2.345".parse().unwrap();
    /// assert_eq!(amount.rounded(2, Rounding::HalfEven).unwrap().to_string(), "2.34");
    /// ```
    pub fn rounded(self, places: u32, rounding: Rounding) -> Result<Self, OutOfRange> {
        Ratio::from(self).rounded(places, rounding)
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// Exactly zero.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The number as a whole count, if it is one and fits.
    pub fn to_u64(self) -> Option<u64> {
        (self.0.scale() == 0).then(|| u64::try_from(self.0.mantissa()).ok()).flatten()
    }
}

/// The powers of ten that prices are given per, and that scales differ by: more than a price of a
/// billion needs.
const POWERS_OF_TEN: [u64; 13] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
];

/// `10^exponent`, or `None` past 128 bits.
fn power_of_ten(exponent: u32) -> Option<i128> {
    let known = usize::try_from(exponent).ok().and_then(|at| POWERS_OF_TEN.get(at));
    known.map_or_else(|| 10_i128.checked_pow(exponent), |power| Some(i128::from(*power)))
}

impl From<u64> for Exact {
    fn from(count: u64) -> Self {
        Self(Decimal::from(count))
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Exact {
    type Err = OutOfRange;

    /// Plain decimal notation: `12`, `-0.5`. No exponent, no `+`, no `_`, no spaces, no bare point.
    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        if let Some((number, scale)) = small(text) {
            return Self::build(i128::from(number), scale);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(OutOfRange);
        }
        let exact = Decimal::from_str_exact(text).map_err(|_| OutOfRange)?;
        Self::build(exact.mantissa(), exact.scale())
    }
}

/// A plain number without a sign that fits 64 bits by its length, and its scale: most of a price book
/// and of a record is such numbers, and they are read in one pass.
fn small(text: &str) -> Option<(u64, u32)> {
    if text.len() > DIGITS_SMALL {
        return None;
    }
    let (mut number, mut scale, mut point) = (0_u64, 0_u32, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_digit() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0')));
            scale = scale.wrapping_add(u32::from(point));
        } else if byte == b'.' && !point && at > 0 {
            point = true;
        } else {
            return None;
        }
    }
    (!text.is_empty() && (!point || scale > 0)).then_some((number, scale))
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Exact;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number in a string, such as \"0.15\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Exact, E> {
                text.parse().map_err(|_| {
                    E::custom(format_args!(
                        "{text:?} is not a plain decimal number of at most 28 digits"
                    ))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests;

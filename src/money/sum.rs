//! A running sum of very many numbers.

use super::{Exact, OutOfRange, power_of_ten};

/// A sum that is brought into its one spelling at the end and not after each number: several times
/// faster than [`Exact::plus`], and as exact.
///
/// ```
/// use farebox::money::Sum;
/// let mut sum = Sum::default();
/// for number in ["0.1", "0.2", "-0.05"] {
///     sum.add(number.parse().unwrap()).unwrap();
/// }
/// assert_eq!(sum.total().unwrap().to_string(), "0.25");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    mantissa: i128,
    scale: u32,
}

impl Sum {
    /// Adds a number.
    pub fn add(&mut self, number: Exact) -> Result<(), OutOfRange> {
        let (mantissa, scale) = (number.0.mantissa(), number.0.scale());
        let lift = |mantissa: i128, from: u32, to: u32| {
            let factor = power_of_ten(to.saturating_sub(from)).ok_or(OutOfRange)?;
            mantissa.checked_mul(factor).ok_or(OutOfRange)
        };
        let common = scale.max(self.scale);
        let own = if self.scale == common {
            self.mantissa
        } else {
            lift(self.mantissa, self.scale, common)?
        };
        let other = if scale == common { mantissa } else { lift(mantissa, scale, common)? };
        *self = Self { mantissa: own.checked_add(other).ok_or(OutOfRange)?, scale: common };
        Ok(())
    }

    /// Takes a number away again.
    pub fn take(&mut self, number: Exact) -> Result<(), OutOfRange> {
        self.add(Exact::ZERO.minus(number)?)
    }

    /// The sum.
    pub fn total(self) -> Result<Exact, OutOfRange> {
        Exact::build(self.mantissa, self.scale)
    }
}

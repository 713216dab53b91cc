//! The named ways to round. Nothing is rounded without naming one.

use serde::{Deserialize, Serialize};

use super::OutOfRange;

/// How a number between two steps becomes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearer; a half goes away from zero: 2.5 → 3, -2.5 → -3.
    #[default]
    HalfUp,
    /// To the nearer; a half goes to the even neighbour: 2.5 → 2, 3.5 → 4.
    HalfEven,
    /// Away from zero: 2.1 → 3, -2.1 → -3.
    Up,
    /// Towards zero: 2.9 → 2, -2.9 → -2.
    Down,
    /// Towards plus infinity: 2.1 → 3, -2.9 → -2.
    Ceiling,
}

impl Rounding {
    /// Every way and its name in JSON.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("half_up", Self::HalfUp),
        ("half_even", Self::HalfEven),
        ("up", Self::Up),
        ("down", Self::Down),
        ("ceiling", Self::Ceiling),
    ];

    /// `number ÷ divisor` as a whole number; the divisor is above zero.
    pub(super) fn divide(self, number: i128, divisor: i128) -> Result<i128, OutOfRange> {
        let whole = number.checked_div(divisor).ok_or(OutOfRange)?;
        let rest = number.checked_rem(divisor).and_then(i128::checked_abs).ok_or(OutOfRange)?;
        let missing = divisor.checked_sub(rest).ok_or(OutOfRange)?;
        let away = rest != 0
            && match self {
                Self::HalfUp => rest >= missing,
                Self::HalfEven => {
                    rest > missing || (rest == missing && whole.checked_rem(2) != Some(0))
                }
                Self::Up => true,
                Self::Down => false,
                Self::Ceiling => number > 0,
            };
        if away { whole.checked_add(number.signum()).ok_or(OutOfRange) } else { Ok(whole) }
    }
}

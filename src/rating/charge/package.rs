//! Package: whole packages of so many units. A begun one counts in full, or not at all.

use super::Parts;
use crate::money::{Exact, OutOfRange, Ratio, Rounding};

pub(super) fn price(
    size: Exact,
    price: Exact,
    rounding: Rounding,
    quantity: Ratio,
    parts: &mut Parts,
) -> Result<(), OutOfRange> {
    let packages = quantity.over(size.into())?.rounded(0, rounding)?;
    parts.units(packages.into(), price.into())
}

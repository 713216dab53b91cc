//! Cost-plus: what each event cost, times a factor, plus a fixed addition for each event.

use super::{Kind, Parts};
use crate::money::{Exact, OutOfRange, Ratio};

pub(super) fn price(
    multiplier: Exact,
    add: Exact,
    costs: &[Ratio],
    parts: &mut Parts,
) -> Result<(), OutOfRange> {
    parts.units(Ratio::sum(costs.iter().copied())?, multiplier.into())?;
    if add.is_zero() {
        return Ok(());
    }
    let events = u64::try_from(costs.len()).map_err(|_| OutOfRange)?;
    parts.units_of(Kind::FixedFee, Exact::from(events).into(), add.into())
}

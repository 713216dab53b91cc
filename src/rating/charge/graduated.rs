//! Graduated: each tier prices the units that fall into it. A tier's fee is due once it is entered.

use super::tiers::Tier;
use super::{Kind, Parts, beyond_tiers};
use crate::money::Ratio;
use crate::strict::Fault;

pub(super) fn price(
    tiers: &[Tier],
    quantity: Ratio,
    fee_at_zero: bool,
    parts: &mut Parts,
) -> Result<(), Fault> {
    if quantity.is_zero() {
        if let Some(first) = tiers.first().filter(|_| fee_at_zero) {
            parts.fee(Kind::FlatFee, first.flat_fee.into());
        }
        return Ok(());
    }
    let mut before = Ratio::ZERO;
    for tier in tiers {
        if quantity <= before {
            return Ok(());
        }
        let end = tier.up_to.map_or(quantity, |up_to| quantity.min(up_to.into()));
        parts.units(end.minus(before)?, tier.unit_price)?;
        parts.fee(Kind::FlatFee, tier.flat_fee.into());
        before = end;
    }
    if quantity > before { Err(beyond_tiers()) } else { Ok(()) }
}

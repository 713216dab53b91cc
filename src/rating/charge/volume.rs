//! Volume: the one tier that the whole quantity reaches prices all of it.

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
    for tier in tiers {
        let holds = match tier.up_to {
            Some(up_to) => quantity <= up_to.into(),
            None => true,
        };
        if holds {
            parts.units(quantity, tier.unit_price)?;
            if fee_at_zero || !quantity.is_zero() {
                parts.fee(Kind::FlatFee, tier.flat_fee.into());
            }
            return Ok(());
        }
    }
    Err(beyond_tiers())
}

//! Packages in tiers. A tier sells `max_blocks` blocks of `block_size` units, then the next begins:
//! graduated buys from each tier in turn, volume buys everything in the tier it ends in. A begun
//! block counts in full.

use super::{Parts, beyond_tiers, tiers};
use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::strict::{Fault, Faults, Object};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockTier {
    pub size: Exact,
    /// `None` has no end.
    pub max_blocks: Option<Exact>,
    pub price: Exact,
}

impl BlockTier {
    /// How many units the tier holds.
    pub fn room(&self) -> Result<Option<Exact>, OutOfRange> {
        self.max_blocks.map(|blocks| blocks.times(self.size)).transpose()
    }

    /// `units` in whole blocks of this tier.
    fn buy(&self, units: Ratio, parts: &mut Parts) -> Result<(), OutOfRange> {
        let blocks = units.over(self.size.into())?.rounded(0, Rounding::Up)?;
        parts.units(blocks.into(), self.price.into())
    }
}

pub(super) fn read(charge: &mut Object, faults: &mut Faults) -> Option<Vec<BlockTier>> {
    let mut end = Some(Exact::ZERO);
    tiers::each(charge, faults, |tier, faults| {
        let size = tier.need_above_zero("block_size", faults);
        let max_path = tier.at("max_blocks");
        let max_blocks = tier.above_zero("max_blocks", faults);
        if max_blocks.is_some_and(|blocks| blocks.to_u64().is_none()) {
            faults.invalid(max_path, "must be a whole number of blocks");
        }
        let price = tier.need_amount("price_per_block", faults);
        let tier = BlockTier { size: size?, max_blocks, price: price? };
        end = match (end, tier.room().ok()?) {
            (Some(end), Some(room)) => end.plus(room).ok(),
            _ => None,
        };
        Some((tier, end))
    })
}

pub(super) fn graduated(
    tiers: &[BlockTier],
    quantity: Ratio,
    parts: &mut Parts,
) -> Result<(), Fault> {
    let mut left = quantity;
    for tier in tiers {
        let taken = tier.room()?.map_or(left, |room| left.min(room.into()));
        tier.buy(taken, parts)?;
        left = left.minus(taken)?;
    }
    if left.is_zero() { Ok(()) } else { Err(beyond_tiers()) }
}

pub(super) fn volume(tiers: &[BlockTier], quantity: Ratio, parts: &mut Parts) -> Result<(), Fault> {
    let mut left = quantity;
    for tier in tiers {
        match tier.room()? {
            Some(room) if left > room.into() => {
                left = left.minus(room.into())?;
            }
            _ => return Ok(tier.buy(quantity, parts)?),
        }
    }
    Err(beyond_tiers())
}

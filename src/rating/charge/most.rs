//! The most that a quantity can add to a charge, whatever else is used before it: what a hold needs.
//!
//! A request is admitted when so much was used, but settles when others have settled too; so its
//! hold must cover `price(c + q) − price(c)` for every `c` from now on. Each model has its own
//! supremum: where prices change in tiers it lies at a tier's edge, where they come in packages it is
//! every package that can be begun.

use super::tiered_package::BlockTier;
use super::tiers::Tier;
use super::{Charge, Input, Model, fault};
use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::strict::Fault;

/// Most tiers of a charge that requests are held for: edges are compared with edges.
pub const TIERS_HELD_MAX: usize = 50;

impl Charge {
    /// The supremum of `price(c + q) − price(c)` over every `c ≥ from` and `0 ≤ q ≤ quantity`, never
    /// below zero: no order in which requests settle makes this one cost more.
    ///
    /// Exact for per-unit, graduated, volume and package charges; never too low, but by up to a
    /// package (or a step of rounding) too high where packages come in tiers or amounts are rounded.
    ///
    /// Errors: as [`Charge::price`] for `from + quantity`, and `too_many_tiers` above
    /// [`TIERS_HELD_MAX`].
    ///
    /// ```
    /// use farebox::{rating::charge::Charge, strict::{Faults, Spot}};
    /// let mut faults = Faults::default();
    /// let text = r#"{"model": "graduated", "tiers": [
    ///     {"up_to": "10", "unit_price": "1"}, {"up_to": null, "unit_price": "2"}]}"#;
    /// let charge = Charge::read(&Spot::root(text, &mut faults).unwrap(), &mut faults).unwrap();
    /// // Three more may all fall into the second tier, once others have filled the first.
    /// assert_eq!(charge.most(0.into(), 3.into()).unwrap().exact().unwrap(), 6.into());
    /// ```
    pub fn most(&self, from: Exact, quantity: Exact) -> Result<Ratio, Fault> {
        if quantity.is_zero() || matches!(self.model, Model::Flat { .. }) {
            return Ok(Ratio::ZERO);
        }
        if self.takes_amounts() {
            return Err(fault("unexpected_field", "quantity", "this model takes `amounts`"));
        }
        if self.has_end() {
            // Beyond the last tier there is no price at all.
            self.settled(&Input::quantity(from.plus(quantity)?))?;
        }
        let (start, reach) = (self.around.quantity(from)?, self.around.reach(quantity)?);
        let more = match &self.model {
            Model::PerUnit { unit_price } => unit_price.times(reach)?,
            Model::Package { size, price, .. } => blocks(reach, *size)?.times((*price).into())?,
            Model::Graduated { tiers } | Model::GraduatedPercentage { tiers } => {
                few(tiers)?;
                let fee_at_zero = self.around.fee_at_zero();
                at_edges(&edges(tiers), start, reach, &|at| graduated(tiers, at, fee_at_zero))?
            }
            Model::Volume { tiers } => {
                few(tiers)?;
                let fee_at_zero = self.around.fee_at_zero();
                at_edges(&edges(tiers), start, reach, &|at| volume(tiers, at, fee_at_zero))?
            }
            Model::GraduatedPackage { tiers } => graduated_package(tiers, reach)?,
            Model::VolumePackage { tiers } => {
                few(tiers)?;
                volume_package(tiers, start, reach)?
            }
            Model::Flat { .. } | Model::Percentage(_) | Model::CostPlus { .. } => Ratio::ZERO,
        };
        let more = if more.is_negative() { Ratio::ZERO } else { more };
        let room = self.room(from)?;
        Ok(self.around.rounded_up(room.map_or(more, |room| more.min(room)))?)
    }

    /// The same of several uses that come to `quantity` together and to `largest` each at most,
    /// whatever is used between them: of packages each may begin its own.
    ///
    /// Errors: as [`Charge::most`].
    pub fn most_of(
        &self,
        from: Exact,
        quantity: Exact,
        (largest, times): (Exact, u64),
    ) -> Result<Ratio, Fault> {
        let at_once = self.most(from, quantity)?;
        if times <= 1 || self.is_linear() {
            return Ok(at_once);
        }
        let times = Ratio::from(Exact::from(times));
        let each = self.most(from, largest.min(quantity))?.times(times)?;
        Ok(match self.most_by_unit(quantity, times)? {
            Some(by_unit) => each.min(by_unit),
            None => each,
        })
    }

    /// Every unit at the dearest tier's price, and every use at every tier's fee; `None` where a use
    /// can cost more than its units do.
    fn most_by_unit(&self, quantity: Exact, times: Ratio) -> Result<Option<Ratio>, Fault> {
        let by_units = !self.around.rounds();
        let (prices, fees): (Vec<Ratio>, Vec<Ratio>) = match &self.model {
            Model::PerUnit { unit_price } if by_units => (vec![*unit_price], Vec::new()),
            Model::Graduated { tiers } | Model::GraduatedPercentage { tiers } if by_units => {
                tiers.iter().map(|tier| (tier.unit_price, Ratio::from(tier.flat_fee))).unzip()
            }
            _ => return Ok(None),
        };
        let dearest = prices.into_iter().max().unwrap_or(Ratio::ZERO);
        let units = self.around.reach(quantity)?.times(dearest)?;
        Ok(Some(units.plus(Ratio::sum(fees)?.times(times)?)?))
    }

    /// Whether quantities above some bound have no price.
    fn has_end(&self) -> bool {
        match &self.model {
            Model::Graduated { tiers }
            | Model::GraduatedPercentage { tiers }
            | Model::Volume { tiers } => tiers.last().is_some_and(|tier| tier.up_to.is_some()),
            Model::GraduatedPackage { tiers } | Model::VolumePackage { tiers } => {
                tiers.last().is_some_and(|tier| tier.max_blocks.is_some())
            }
            _ => false,
        }
    }

    /// What `maximum_amount` leaves, from here on; where the whole may become cheaper by using more,
    /// that is all of it.
    fn room(&self, from: Exact) -> Result<Option<Ratio>, Fault> {
        let Some(maximum) = self.around.maximum() else { return Ok(None) };
        let falls = matches!(self.model, Model::Volume { .. } | Model::VolumePackage { .. });
        let now = if falls {
            self.around.minimum().unwrap_or_default().into()
        } else {
            let mut parts = super::Parts::default();
            self.parts(&self.used(&Input::quantity(from))?, &mut parts)?;
            parts.total()?.max(self.around.minimum().unwrap_or_default().into())
        };
        let room = Ratio::from(maximum).minus(now)?;
        Ok(Some(if room.is_negative() { Ratio::ZERO } else { room }))
    }
}

fn few<T>(tiers: &[T]) -> Result<(), Fault> {
    if tiers.len() <= TIERS_HELD_MAX {
        return Ok(());
    }
    let message = format!("requests are held for by at most {TIERS_HELD_MAX} tiers");
    Err(fault("too_many_tiers", "tiers", message))
}

/// Whole blocks that so many units can begin, wherever they start.
fn blocks(units: Ratio, size: Exact) -> Result<Ratio, OutOfRange> {
    Ok(units.over(size.into())?.rounded(0, Rounding::Up)?.into())
}

/// A cumulative quantity, or just above it: prices jump behind an edge.
#[derive(Clone, Copy)]
struct At {
    units: Ratio,
    above: bool,
}

impl At {
    /// Whether it lies behind an edge.
    fn is_past(self, edge: Ratio) -> bool {
        self.units > edge || (self.above && self.units == edge)
    }
}

/// The supremum for a price that is linear between `edges`: it lies where the quantity begins or ends
/// at an edge, on one side of it or the other.
fn at_edges(
    edges: &[Ratio],
    from: Ratio,
    reach: Ratio,
    price: &impl Fn(At) -> Result<Option<Ratio>, OutOfRange>,
) -> Result<Ratio, OutOfRange> {
    let mut starts = vec![from];
    for edge in edges {
        starts.extend([*edge, edge.minus(reach)?].into_iter().filter(|start| *start >= from));
    }
    let mut most = Ratio::ZERO;
    for units in starts {
        for above in [false, true] {
            let Some(before) = price(At { units, above })? else { continue };
            let end = units.plus(reach)?;
            let mut try_end = |at: At| -> Result<(), OutOfRange> {
                if let Some(after) = price(at)? {
                    most = most.max(after.minus(before)?);
                }
                Ok(())
            };
            try_end(At { units: end, above: false })?;
            if above {
                try_end(At { units: end, above: true })?;
            }
            for edge in edges.iter().filter(|edge| units <= **edge && **edge < end) {
                if units < *edge {
                    try_end(At { units: *edge, above: false })?;
                }
                try_end(At { units: *edge, above: true })?;
            }
        }
    }
    Ok(most)
}

/// Where prices may jump or bend: zero, and every tier's end.
fn edges(tiers: &[Tier]) -> Vec<Ratio> {
    let ends = tiers.iter().filter_map(|tier| tier.up_to).map(Ratio::from);
    [Ratio::ZERO].into_iter().chain(ends).collect()
}

fn graduated(tiers: &[Tier], at: At, fee_at_zero: bool) -> Result<Option<Ratio>, OutOfRange> {
    let (mut sum, mut before) = (Ratio::ZERO, Ratio::ZERO);
    for (nth, tier) in tiers.iter().enumerate() {
        if !at.is_past(before) {
            let free = !(nth == 0 && fee_at_zero);
            let fee = if free { Exact::ZERO } else { tier.flat_fee };
            return sum.plus(fee.into()).map(Some);
        }
        let end = tier.up_to.map_or(at.units, |up_to| at.units.min(up_to.into()));
        sum = sum.plus(end.minus(before)?.times(tier.unit_price)?)?.plus(tier.flat_fee.into())?;
        before = tier.up_to.map_or(at.units, Ratio::from);
        if tier.up_to.is_none() {
            return Ok(Some(sum));
        }
    }
    Ok((!at.is_past(before)).then_some(sum))
}

fn volume(tiers: &[Tier], at: At, fee_at_zero: bool) -> Result<Option<Ratio>, OutOfRange> {
    let holds = |tier: &&Tier| tier.up_to.is_none_or(|up_to| !at.is_past(up_to.into()));
    let Some(tier) = tiers.iter().find(holds) else { return Ok(None) };
    let amount = at.units.times(tier.unit_price)?;
    let fee_due = fee_at_zero || at.is_past(Ratio::ZERO);
    if fee_due { amount.plus(tier.flat_fee.into()).map(Some) } else { Ok(Some(amount)) }
}

/// Of neighbouring tiers, all the blocks that so many units can begin.
fn graduated_package(tiers: &[BlockTier], reach: Ratio) -> Result<Ratio, OutOfRange> {
    let mut most = Ratio::ZERO;
    for first in 0..tiers.len() {
        let (mut sum, mut between) = (Ratio::ZERO, Ratio::ZERO);
        for (nth, tier) in tiers.iter().skip(first).enumerate() {
            // To reach this tier, all of those between it and the first must be crossed.
            if nth > 0 && between >= reach {
                break;
            }
            let room = tier.room()?.map(Ratio::from);
            let units = room.map_or(reach, |room| reach.min(room));
            sum = sum.plus(blocks(units, tier.size)?.times(tier.price.into())?)?;
            if nth > 0 {
                between = room.map_or(Ok(reach), |room| between.plus(room))?;
            }
        }
        most = most.max(sum);
    }
    Ok(most)
}

/// As if blocks were sold by the unit, and the dearest block begun besides.
fn volume_package(tiers: &[BlockTier], start: Ratio, reach: Ratio) -> Result<Ratio, OutOfRange> {
    let (mut by_unit, mut end, mut dearest) = (Vec::new(), Exact::ZERO, Exact::ZERO);
    for tier in tiers {
        let room = tier.room()?;
        end = end.plus(room.unwrap_or_default())?;
        by_unit.push(Tier {
            up_to: room.map(|_| end),
            unit_price: Ratio::from(tier.price).over(tier.size.into())?,
            flat_fee: Exact::ZERO,
        });
        dearest = dearest.max(tier.price);
    }
    let most = at_edges(&edges(&by_unit), start, reach, &|at| volume(&by_unit, at, false))?;
    most.plus(dearest.into())
}

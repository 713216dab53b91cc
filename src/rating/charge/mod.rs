//! Charge models: one quantity, or a list of amounts, × one charge → lines.
//!
//! In scope: the arithmetic of each model, and what every charge may carry around it (unit
//! conversion, free units, minimum and maximum, rounding). Out of scope: where the quantity comes
//! from (`rating::aggregate`) and what charges a plan has (`plan`).
//!
//! Everything is computed in exact fractions; a line becomes a decimal only at the very end.

mod answer;
mod around;
mod cost_plus;
mod graduated;
mod most;
mod package;
mod percentage;
mod read;
mod tiered_package;
mod tiers;
mod volume;

use serde::{Deserialize, Serialize};

use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::strict::Fault;
pub use answer::answer;
use around::Around;
pub use most::TIERS_HELD_MAX;
use percentage::Percentage;
pub use read::Task;
use tiered_package::BlockTier;
use tiers::Tier;

/// One charge: a model and what stands around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    model: Model,
    around: Around,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Model {
    /// The same amount whatever was used.
    Flat { amount: Exact },
    /// Every unit at one price.
    PerUnit { unit_price: Ratio },
    /// Each tier prices the units that fall into it.
    Graduated { tiers: Vec<Tier> },
    /// The tier that the whole quantity reaches prices all of it.
    Volume { tiers: Vec<Tier> },
    /// Whole packages.
    Package { size: Exact, price: Exact, rounding: Rounding },
    /// A share of every amount, and a fee for each.
    Percentage(Percentage),
    /// Each tier takes its share of the part that falls into it.
    GraduatedPercentage { tiers: Vec<Tier> },
    /// Whole blocks; each tier sells so many before the next begins.
    GraduatedPackage { tiers: Vec<BlockTier> },
    /// Whole blocks, all of the tier that the quantity reaches.
    VolumePackage { tiers: Vec<BlockTier> },
    /// What it cost, times a factor, plus something for each.
    CostPlus { multiplier: Exact, add: Exact },
}

/// What was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// For models that price a quantity.
    pub quantity: Option<Exact>,
    /// For models that price amounts of money one by one, in the order they came.
    pub amounts: Option<Vec<Exact>>,
}

impl Input {
    /// So many units.
    pub fn quantity(quantity: impl Into<Exact>) -> Self {
        Self { quantity: Some(quantity.into()), amounts: None }
    }
}

/// Most amounts in one input: a busy month of a customer, and still a bounded computation.
pub const AMOUNTS_MAX: usize = 1_000_000;

/// One line of the arithmetic. Where a unit price is given, `quantity × unit_price = amount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How much this line prices; zero where it prices no units (a fee of a tier, a minimum).
    pub quantity: Exact,
    /// The price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Exact>,
    /// What the line adds.
    pub amount: Exact,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Kind::is_usage")]
    pub kind: Kind,
    /// The line has no exact decimal (a third, say) and is cut after 18 places; the line of kind
    /// `rounding` makes up for it, so the lines still add up to the amount.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub inexact: bool,
}

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The units themselves.
    #[default]
    Usage,
    /// A fee that does not depend on how much was used.
    FlatFee,
    /// A fee for each paid event.
    FixedFee,
    /// What lifts events to `per_event_min`.
    PerEventMinimum,
    /// What lowers events to `per_event_max`.
    PerEventMaximum,
    /// What lifts the charge to `minimum_amount`.
    Minimum,
    /// What lowers the charge to `maximum_amount`.
    Maximum,
    /// What rounding adds or takes.
    Rounding,
}

impl Kind {
    // serde's skip_serializing_if hands a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_usage(&self) -> bool {
        *self == Self::Usage
    }
}

/// What a charge comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Charged {
    /// The sum of the lines, exactly.
    pub amount: Exact,
    /// How it comes about. No line for nothing.
    pub lines: Vec<Line>,
}

impl Charge {
    /// Prices `input`.
    ///
    /// Errors: `missing_field` and `unexpected_field` where the model wants the other kind of
    /// input, `negative_quantity`, `quantity_beyond_tiers`, and `amount_out_of_range` where the
    /// amount has no exact decimal in 28 digits and the charge names no `round_to`.
    ///
    /// ```
    /// use farebox::{rating::charge::{Charge, Input}, strict::{Faults, Spot}};
    /// let mut faults = Faults::default();
    /// let text = r#"{"model": "graduated", "tiers": [
    ///     {"up_to": "10", "unit_price": "1"}, {"up_to": null, "unit_price": "0.5"}]}"#;
    /// let charge = Charge::read(&Spot::root(text, &mut faults).unwrap(), &mut faults).unwrap();
    /// let charged = charge.price(&Input { quantity: Some(12.into()), amounts: None }).unwrap();
    /// assert_eq!(charged.amount.to_string(), "11");
    /// assert_eq!(charged.lines.len(), 2);
    /// ```
    pub fn price(&self, input: &Input) -> Result<Charged, Fault> {
        let (parts, total) = self.settled(input)?;
        let amount = total.exact()?;
        Ok(Charged { amount, lines: around::lines(&parts, amount)? })
    }

    /// As [`Charge::price`], for whoever rounds afterwards: the amount before `rounding` to so many
    /// `places`, which may have no decimal, and the lines of the rounded one.
    pub fn price_to(
        &self,
        input: &Input,
        places: u32,
        rounding: Rounding,
    ) -> Result<(Ratio, Charged), Fault> {
        let (parts, total) = self.settled(input)?;
        let amount = total.rounded(places, rounding)?;
        Ok((total, Charged { amount, lines: around::lines(&parts, amount)? }))
    }

    fn settled(&self, input: &Input) -> Result<(Parts, Ratio), Fault> {
        let used = self.used(input)?;
        let mut parts = Parts::default();
        self.parts(&used, &mut parts)?;
        let total = self.around.settle(&mut parts)?;
        Ok((parts, total))
    }

    fn parts(&self, used: &Used, parts: &mut Parts) -> Result<(), Fault> {
        match (&self.model, used) {
            (Model::Flat { amount }, _) => parts.fee(Kind::FlatFee, (*amount).into()),
            (Model::PerUnit { unit_price }, Used::Quantity(quantity)) => {
                parts.units(*quantity, *unit_price)?;
            }
            (
                Model::Graduated { tiers } | Model::GraduatedPercentage { tiers },
                Used::Quantity(quantity),
            ) => graduated::price(tiers, *quantity, self.around.fee_at_zero(), parts)?,
            (Model::Volume { tiers }, Used::Quantity(quantity)) => {
                volume::price(tiers, *quantity, self.around.fee_at_zero(), parts)?;
            }
            (Model::Package { size, price, rounding }, Used::Quantity(quantity)) => {
                package::price(*size, *price, *rounding, *quantity, parts)?;
            }
            (Model::GraduatedPackage { tiers }, Used::Quantity(quantity)) => {
                tiered_package::graduated(tiers, *quantity, parts)?;
            }
            (Model::VolumePackage { tiers }, Used::Quantity(quantity)) => {
                tiered_package::volume(tiers, *quantity, parts)?;
            }
            (Model::Percentage(terms), Used::Amounts(amounts)) => terms.price(amounts, parts)?,
            (Model::CostPlus { multiplier, add }, Used::Amounts(amounts)) => {
                cost_plus::price(*multiplier, *add, amounts, parts)?;
            }
            // `used` gives each model its own kind.
            (_, Used::Nothing | Used::Quantity(_) | Used::Amounts(_)) => {}
        }
        Ok(())
    }

    /// The input in the kind this model prices, converted and checked.
    fn used(&self, input: &Input) -> Result<Used, Fault> {
        match self.model {
            Model::Flat { .. } => Ok(Used::Nothing),
            Model::Percentage(_) | Model::CostPlus { .. } => {
                if input.quantity.is_some() {
                    return Err(fault(
                        "unexpected_field",
                        "quantity",
                        "this model takes `amounts`",
                    ));
                }
                let Some(amounts) = &input.amounts else {
                    return Err(fault("missing_field", "amounts", "this model needs `amounts`"));
                };
                // A refund of a cost takes back what was charged for it; a share of an amount has
                // free parts and bounds that have no mirror image.
                let refunds = matches!(self.model, Model::CostPlus { .. });
                let negative = amounts.iter().position(|amount| amount.is_negative());
                if let Some(at) = negative.filter(|_| !refunds) {
                    let path = format!("amounts[{at}]");
                    return Err(fault("negative_quantity", path, "must not be negative"));
                }
                Ok(Used::Amounts(self.around.amounts(amounts)?))
            }
            _ => {
                if input.amounts.is_some() {
                    return Err(fault(
                        "unexpected_field",
                        "amounts",
                        "this model takes `quantity`",
                    ));
                }
                let Some(quantity) = input.quantity else {
                    return Err(fault("missing_field", "quantity", "this model needs `quantity`"));
                };
                if quantity.is_negative() {
                    return Err(fault("negative_quantity", "quantity", "must not be negative"));
                }
                Ok(Used::Quantity(self.around.quantity(quantity)?))
            }
        }
    }

    /// Charges the first tier's fee at zero usage too, unless the charge itself decides.
    pub fn fee_at_zero_by_default(&mut self) {
        self.around.fee_at_zero = self.around.fee_at_zero.or(Some(true));
    }

    /// Whether every unit has the same price, whatever else was used: only then does taking some
    /// back have one answer.
    pub fn is_linear(&self) -> bool {
        matches!(self.model, Model::PerUnit { .. }) && self.around.is_plain()
    }

    /// Whether the charge prices `amounts`, not a `quantity`.
    pub fn takes_amounts(&self) -> bool {
        matches!(self.model, Model::Percentage(_) | Model::CostPlus { .. })
    }
}

/// What is to be priced, after conversion and free units.
enum Used {
    Nothing,
    Quantity(Ratio),
    Amounts(Vec<Ratio>),
}

/// Lines while they are still fractions.
#[derive(Default)]
struct Parts(Vec<Part>);

struct Part {
    quantity: Ratio,
    unit_price: Option<Ratio>,
    amount: Ratio,
    kind: Kind,
}

impl Parts {
    /// `quantity` units at `unit_price` each; nothing for no units.
    fn units(&mut self, quantity: Ratio, unit_price: Ratio) -> Result<(), OutOfRange> {
        self.units_of(Kind::Usage, quantity, unit_price)
    }

    fn units_of(&mut self, kind: Kind, quantity: Ratio, price: Ratio) -> Result<(), OutOfRange> {
        if !quantity.is_zero() {
            let amount = quantity.times(price)?;
            self.0.push(Part { quantity, unit_price: Some(price), amount, kind });
        }
        Ok(())
    }

    /// An amount that is not for units; nothing for zero.
    fn fee(&mut self, kind: Kind, amount: Ratio) {
        if !amount.is_zero() {
            self.0.push(Part { quantity: Ratio::ZERO, unit_price: None, amount, kind });
        }
    }

    fn total(&self) -> Result<Ratio, OutOfRange> {
        Ratio::sum(self.0.iter().map(|part| part.amount))
    }
}

fn fault(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault { code, path: path.into(), message: message.into() }
}

fn beyond_tiers() -> Fault {
    let message = "is above the last tier; give the last tier no upper bound to price it";
    fault("quantity_beyond_tiers", "quantity", message)
}

impl From<OutOfRange> for Fault {
    fn from(error: OutOfRange) -> Self {
        fault("amount_out_of_range", "", error.to_string())
    }
}

#[cfg(test)]
mod tests;

//! A charge from JSON: the model's own fields, then those any charge may carry, then nothing else.

use super::around::{self, Around};
use super::percentage::Percentage;
use super::tiers::{RATE_PERCENT, UNIT_PRICE};
use super::{AMOUNTS_MAX, Charge, Input, Model, tiered_package, tiers};
use crate::money::{Exact, Ratio, Rounding};
use crate::strict::{Faults, Object, Spot};

/// A charge and what it is to price, as one line of `farebox rate` holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The charge.
    pub charge: Charge,
    /// What was used.
    pub input: Input,
}

impl Task {
    /// Reads `{"id", "charge", "quantity"?, "amounts"?}`. `round_to` and `rounding` may stand in
    /// the charge or beside it.
    pub fn read(text: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let task = Self::try_read(text, &mut faults);
        faults.unless(task)
    }

    fn try_read(text: &str, faults: &mut Faults) -> Option<Self> {
        let mut object = Spot::root(text, faults)?.object(faults)?;
        object.need("id", faults);
        let charge = object.need("charge", faults).and_then(|spot| Charge::read(&spot, faults));
        let quantity = object.take("quantity").and_then(|spot| spot.number(faults));
        let amounts = object.take("amounts").and_then(|spot| read_amounts(&spot, faults));
        let beside = around::beside(&mut object, faults);
        object.done(faults);
        let mut charge = charge?;
        charge.around.round_by_default(&beside);
        Some(Self { charge, input: Input { quantity, amounts } })
    }
}

fn read_amounts(spot: &Spot, faults: &mut Faults) -> Option<Vec<Exact>> {
    let items = spot.list(AMOUNTS_MAX, faults)?;
    items.iter().map(|item| item.number(faults)).collect()
}

impl Charge {
    /// Reads a charge. Faults are added to `faults`; `None` where there was one that leaves no
    /// charge to speak of.
    pub fn read(spot: &Spot, faults: &mut Faults) -> Option<Self> {
        let mut object = spot.object(faults)?;
        let name = object.need("model", faults)?;
        let text = name.text(faults)?;
        // Without a known model there is no telling which fields are unknown.
        let Some((_, read)) = MODELS.iter().find(|(known, _)| *known == text) else {
            let known: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
            let message = format!("{text:?} is none of {}", known.join(", "));
            faults.add("unknown_charge_model", name.path, message);
            return None;
        };
        let around = Around::read(&mut object, faults);
        let model = read(&mut object, faults);
        object.done(faults);
        Some(Self { model: model?, around })
    }
}

type Read = fn(&mut Object, &mut Faults) -> Option<Model>;

const MODELS: [(&str, Read); 10] = [
    ("flat", |charge, faults| {
        let amount = charge.need("amount", faults)?.number(faults)?;
        Some(Model::Flat { amount })
    }),
    ("per_unit", per_unit),
    ("graduated", |charge, faults| {
        Some(Model::Graduated { tiers: tiers::read(charge, &UNIT_PRICE, faults)? })
    }),
    ("volume", |charge, faults| {
        Some(Model::Volume { tiers: tiers::read(charge, &UNIT_PRICE, faults)? })
    }),
    ("package", package),
    ("percentage", |charge, faults| Percentage::read(charge, faults).map(Model::Percentage)),
    ("graduated_percentage", |charge, faults| {
        Some(Model::GraduatedPercentage { tiers: tiers::read(charge, &RATE_PERCENT, faults)? })
    }),
    ("graduated_package", |charge, faults| {
        Some(Model::GraduatedPackage { tiers: tiered_package::read(charge, faults)? })
    }),
    ("volume_package", |charge, faults| {
        Some(Model::VolumePackage { tiers: tiered_package::read(charge, faults)? })
    }),
    ("cost_plus", |charge, faults| {
        let multiplier = charge.need_amount("multiplier", faults);
        let add = charge.amount("add", faults).unwrap_or_default();
        Some(Model::CostPlus { multiplier: multiplier?, add })
    }),
];

fn per_unit(charge: &mut Object, faults: &mut Faults) -> Option<Model> {
    let price = charge.need_amount("unit_price", faults);
    let per = charge.above_zero("unit_price_is_per", faults).unwrap_or(Exact::from(1));
    Some(Model::PerUnit { unit_price: Ratio::from(price?).over(per.into()).ok()? })
}

fn package(charge: &mut Object, faults: &mut Faults) -> Option<Model> {
    const DIRECTIONS: [(&str, Rounding); 2] = [("up", Rounding::Up), ("down", Rounding::Down)];
    let size = charge.need_above_zero("package_size", faults);
    let price = charge.need_amount("price_per_package", faults);
    let rounding = match charge.take("package_rounding") {
        Some(spot) => spot.one_of(&DIRECTIONS, faults),
        None => Some(Rounding::Up),
    };
    Some(Model::Package { size: size?, price: price?, rounding: rounding? })
}

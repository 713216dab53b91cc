//! The rules on which billing engines disagree, each named, and presets of them.
//!
//! A plan names a preset and may override single rules; a priced plan prints what was in force. A
//! preset never changes: another choice is another preset with another number.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::calendar::DayCount;
use crate::credits::BurnOrder;
use crate::money::Rounding;
use crate::strict::{Faults, Object, Spot};

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The preset they started from.
    pub preset: &'static str,
    /// How amounts become payable ones.
    pub rounding: Rounding,
    /// Where that happens.
    pub rounding_point: RoundingPoint,
    /// How a part of a period is measured.
    pub day_count: DayCount,
    /// What an allowance does once it is exceeded.
    pub allowance: Allowance,
    /// In which order discounts apply.
    pub discount_order: DiscountOrder,
    /// Whether spend counts towards a commitment before or after discounts.
    pub commitment_counts: CommitmentCounts,
    /// What a minimum is worth in a partial period.
    pub minimum_in_part: MinimumInPart,
    /// Whether the first tier's flat fee is due without usage.
    pub first_tier_fee_at_zero: bool,
    /// Which grant is spent first.
    pub burn_order: BurnOrder,
}

/// Where amounts are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundingPoint {
    /// Each line once; the total is the sum of what the lines show.
    Line,
    /// Only the total.
    Total,
}

/// What an allowance does once it is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// It is taken off first: only what lies above is priced.
    Subtracted,
    /// It is a threshold: above it everything is priced, the allowance too.
    Threshold,
}

/// In which order discounts apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscountOrder {
    /// As the plan lists them.
    AsListed,
    /// Shares first, then amounts.
    PercentFirst,
}

/// What counts towards a commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitmentCounts {
    /// Spend before discounts.
    Gross,
    /// Spend after discounts.
    Net,
}

/// What a minimum is worth in a partial period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinimumInPart {
    /// Its share, by the day count.
    Prorated,
    /// All of it.
    Whole,
}

const ROUNDING_POINTS: [(&str, RoundingPoint); 2] =
    [("line", RoundingPoint::Line), ("total", RoundingPoint::Total)];
const ALLOWANCES: [(&str, Allowance); 2] =
    [("subtracted", Allowance::Subtracted), ("threshold", Allowance::Threshold)];
const DISCOUNT_ORDERS: [(&str, DiscountOrder); 2] =
    [("as_listed", DiscountOrder::AsListed), ("percent_first", DiscountOrder::PercentFirst)];
const COMMITMENT_COUNTS: [(&str, CommitmentCounts); 2] =
    [("gross", CommitmentCounts::Gross), ("net", CommitmentCounts::Net)];
const MINIMUMS: [(&str, MinimumInPart); 2] =
    [("prorated", MinimumInPart::Prorated), ("whole", MinimumInPart::Whole)];

/// Farebox's own choices, and what the others' presets leave as it is.
const FAREBOX: Rules = Rules {
    preset: "farebox-1",
    rounding: Rounding::HalfUp,
    rounding_point: RoundingPoint::Line,
    day_count: DayCount::Exact,
    allowance: Allowance::Subtracted,
    discount_order: DiscountOrder::AsListed,
    commitment_counts: CommitmentCounts::Gross,
    minimum_in_part: MinimumInPart::Prorated,
    first_tier_fee_at_zero: false,
    burn_order: BurnOrder::PriorityExpiry,
};

/// Each preset sets what is known of that engine and keeps Farebox's choice elsewhere; `docs/pricing.md` lists
/// them side by side.
const PRESETS: [Rules; 9] = [
    FAREBOX,
    Rules {
        preset: "lago-1",
        rounding_point: RoundingPoint::Total,
        day_count: DayCount::DaysInclusive,
        first_tier_fee_at_zero: true,
        burn_order: BurnOrder::PriorityGiven,
        ..FAREBOX
    },
    Rules {
        preset: "openmeter-1",
        minimum_in_part: MinimumInPart::Whole,
        first_tier_fee_at_zero: true,
        ..FAREBOX
    },
    Rules { preset: "flexprice-1", day_count: DayCount::DaysInclusive, ..FAREBOX },
    Rules {
        preset: "meteroid-1",
        day_count: DayCount::Days,
        discount_order: DiscountOrder::PercentFirst,
        ..FAREBOX
    },
    Rules { preset: "polar-1", day_count: DayCount::Days, ..FAREBOX },
    Rules { preset: "autumn-1", allowance: Allowance::Threshold, ..FAREBOX },
    Rules { preset: "orb-1", burn_order: BurnOrder::NamedExpiry, ..FAREBOX },
    Rules { preset: "metronome-1", burn_order: BurnOrder::RolloverPriority, ..FAREBOX },
];

impl Default for Rules {
    fn default() -> Self {
        FAREBOX
    }
}

impl Rules {
    /// Reads `{"preset"?, …}`.
    pub(super) fn read(spot: &Spot, faults: &mut Faults) -> Option<Self> {
        let mut object = spot.object(faults)?;
        let named = PRESETS.each_ref().map(|rules| (rules.preset, rules));
        let preset = object.take("preset").and_then(|spot| spot.one_of(&named, faults));
        let mut rules = preset.unwrap_or(&FAREBOX).clone();
        set(&mut object, "rounding", &Rounding::NAMES, &mut rules.rounding, faults);
        set(&mut object, "rounding_point", &ROUNDING_POINTS, &mut rules.rounding_point, faults);
        set(&mut object, "day_count", &DayCount::NAMES, &mut rules.day_count, faults);
        set(&mut object, "allowance", &ALLOWANCES, &mut rules.allowance, faults);
        set(&mut object, "discount_order", &DISCOUNT_ORDERS, &mut rules.discount_order, faults);
        let counts = &mut rules.commitment_counts;
        set(&mut object, "commitment_counts", &COMMITMENT_COUNTS, counts, faults);
        set(&mut object, "minimum_in_part", &MINIMUMS, &mut rules.minimum_in_part, faults);
        set(&mut object, "burn_order", &BurnOrder::NAMES, &mut rules.burn_order, faults);
        let flag = object.take("first_tier_fee_at_zero").and_then(|spot| spot.flag(faults));
        rules.first_tier_fee_at_zero = flag.unwrap_or(rules.first_tier_fee_at_zero);
        object.done(faults);
        Some(rules)
    }
}

/// The rules that have names, and their names, for the schema.
#[cfg(test)]
pub(super) fn names() -> Vec<(&'static str, Vec<&'static str>)> {
    fn of<T>(names: &[(&'static str, T)]) -> Vec<&'static str> {
        names.iter().map(|(name, _)| *name).collect()
    }
    vec![
        ("preset", PRESETS.iter().map(|rules| rules.preset).collect()),
        ("rounding", of(&Rounding::NAMES)),
        ("rounding_point", of(&ROUNDING_POINTS)),
        ("day_count", of(&DayCount::NAMES)),
        ("allowance", of(&ALLOWANCES)),
        ("discount_order", of(&DISCOUNT_ORDERS)),
        ("commitment_counts", of(&COMMITMENT_COUNTS)),
        ("minimum_in_part", of(&MINIMUMS)),
        ("burn_order", of(&BurnOrder::NAMES)),
    ]
}

fn set<T: Copy>(
    object: &mut Object,
    name: &str,
    names: &[(&str, T)],
    rule: &mut T,
    faults: &mut Faults,
) {
    if let Some(value) = object.take(name).and_then(|spot| spot.one_of(names, faults)) {
        *rule = value;
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("preset", self.preset)?;
        map.serialize_entry("rounding", &self.rounding)?;
        let point = name(&ROUNDING_POINTS, self.rounding_point);
        map.serialize_entry("rounding_point", point)?;
        map.serialize_entry("day_count", name(&DayCount::NAMES, self.day_count))?;
        map.serialize_entry("allowance", name(&ALLOWANCES, self.allowance))?;
        map.serialize_entry("discount_order", name(&DISCOUNT_ORDERS, self.discount_order))?;
        let counts = name(&COMMITMENT_COUNTS, self.commitment_counts);
        map.serialize_entry("commitment_counts", counts)?;
        map.serialize_entry("minimum_in_part", name(&MINIMUMS, self.minimum_in_part))?;
        map.serialize_entry("first_tier_fee_at_zero", &self.first_tier_fee_at_zero)?;
        map.serialize_entry("burn_order", name(&BurnOrder::NAMES, self.burn_order))?;
        map.end()
    }
}

fn name<'a, T: Copy + PartialEq>(names: &[(&'a str, T)], value: T) -> &'a str {
    names.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| *name)
}

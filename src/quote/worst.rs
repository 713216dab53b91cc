//! The worst case in quantities, for whoever prices by more than the book: a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::{Exact, OutOfRange};
use crate::rating::Line;
use crate::rating::cover::total_of;
use crate::wire::usage::Meter;

/// The most that a request can use of a meter, and what the price book makes of it at its dearest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtMost {
    /// A total, or a meter that stands alone.
    pub meter: Meter,
    /// The most that nothing can exceed; absent where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Exact>,
    /// By the book; zero where the book does not price it.
    pub amount: Exact,
}

/// What a plan needs to know of a request before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worst {
    /// The model, as the book names it.
    pub model: String,
    /// Meter by meter; none for a request that is free.
    pub most: Vec<AtMost>,
    /// Of a batch, all of its requests; `most` then says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch: Vec<ManyAtMost>,
}

/// The most that a batch's requests to one model can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManyAtMost {
    /// The model, as the book names it.
    pub model: String,
    /// How many requests.
    pub times: u64,
    /// Together.
    pub all: Vec<AtMost>,
    /// Any one of them.
    pub each: Vec<AtMost>,
    /// Input tokens counted in all of them. Zero in files that were kept before it was noted.
    #[serde(default)]
    pub input_least: u64,
    /// What the book makes of that: all of them at their least.
    #[serde(default)]
    pub lower: Exact,
}

impl ManyAtMost {
    /// None yet.
    pub fn of(model: &str) -> Self {
        let (all, each) = (Vec::new(), Vec::new());
        Self { model: model.to_owned(), times: 0, all, each, input_least: 0, lower: Exact::ZERO }
    }

    /// Adds one request: the most that it can use; its counted input, and what the book makes of it.
    pub fn add(
        &mut self,
        most: &[AtMost],
        (input_least, lower): (u64, Exact),
    ) -> Result<(), OutOfRange> {
        self.times = self.times.saturating_add(1);
        self.input_least = self.input_least.saturating_add(input_least);
        self.lower = self.lower.plus(lower)?;
        for one in most {
            let is_same = |known: &&mut AtMost| known.meter == one.meter;
            match self.all.iter_mut().find(is_same) {
                Some(all) => {
                    // Where nothing bounds one of them, nothing bounds all.
                    let both = all.quantity.zip(one.quantity);
                    all.quantity = both.map(|(all, one)| all.plus(one)).transpose()?;
                    all.amount = all.amount.plus(one.amount)?;
                }
                None => self.all.push(one.clone()),
            }
            match self.each.iter_mut().find(is_same) {
                Some(each) => {
                    let both = each.quantity.zip(one.quantity);
                    each.quantity = both.map(|(each, one)| each.max(one));
                    each.amount = each.amount.max(one.amount);
                }
                None => self.each.push(one.clone()),
            }
        }
        Ok(())
    }
}

/// Meter by meter: how much at most, and the dearest that any card that may apply makes of it.
pub(super) fn at_most(bounds: &[(Meter, Exact)], cards: &[Vec<Line>]) -> Vec<AtMost> {
    let mut most: BTreeMap<Meter, AtMost> = BTreeMap::new();
    for (meter, quantity) in bounds {
        let at_most = AtMost { meter: *meter, quantity: Some(*quantity), amount: Exact::ZERO };
        most.insert(*meter, at_most);
    }
    for line in cards.iter().flatten() {
        // A card has one line for a total: its dearest kind.
        let meter = total_of(line.meter);
        let unbounded = AtMost { meter, quantity: None, amount: Exact::ZERO };
        let known = most.entry(meter).or_insert(unbounded);
        known.amount = known.amount.max(line.amount);
    }
    most.into_values().collect()
}

//! What a request uses, in the words of a plan: meters by name and the dimensions they come with.
//!
//! A plan's meter is one of the gate's own (`output_total`, `characters` …), `tokens` with the
//! dimension `direction` (`input`, `output`), or `api_calls`, which is another word for `requests`.

use super::running::Part;
use super::{Plan, Where};
use crate::book::input_total;
use crate::money::{Exact, OutOfRange};
use crate::rating::aggregate::Aggregation;
use crate::rating::cover::total_of;
use crate::strict::Faults;
use crate::wire::usage::{Meter, Usage};

/// Tokens in either direction.
const TOKENS: &str = "tokens";
/// Requests, as plans for people call them.
const API_CALLS: &str = "api_calls";
/// The dimension that tells input from output.
const DIRECTION: &str = "direction";

/// The gate's meters that a plan's meter speaks of, each with the direction that tells it apart.
fn meters_of(name: &str) -> Vec<(Meter, Option<&'static str>)> {
    match name {
        TOKENS => vec![(Meter::InputTotal, Some("input")), (Meter::OutputTotal, Some("output"))],
        API_CALLS => vec![(Meter::Requests, None)],
        _ => Meter::ALL
            .iter()
            .filter(|meter| meter.as_str() == name)
            .map(|meter| (*meter, None))
            .collect(),
    }
}

impl Plan {
    /// What the plan prices of a request's usage, and the gate's meters that are covered by it.
    pub fn parts_of(
        &self,
        usage: &Usage,
        dimensions: &Where,
    ) -> Result<(Vec<Part>, Vec<Meter>), OutOfRange> {
        let told = |meter| -> Result<Option<Exact>, OutOfRange> {
            Ok(match (meter, usage.get(meter)) {
                (_, Some(quantity)) => Some(quantity),
                // One attempt is one request, whether or not anyone counted it.
                (Meter::Requests, None) => Some(Exact::from(1)),
                (Meter::InputTotal, None) => {
                    Some(input_total(usage)?).filter(|quantity| !quantity.is_zero())
                }
                _ => None,
            })
        };
        self.parts(dimensions, told)
    }

    /// The same of the most it can use: every part of a total may be all of it. What nothing bounds
    /// is not in `most`, and so not in the answer.
    pub fn parts_at_most(
        &self,
        most: &[(Meter, Exact)],
        dimensions: &Where,
    ) -> Result<(Vec<Part>, Vec<Meter>), OutOfRange> {
        self.parts(dimensions, |meter| {
            let bound = most.iter().find(|(known, _)| *known == total_of(meter));
            Ok(match (meter, bound) {
                (Meter::Requests, None) => Some(Exact::from(1)),
                _ => bound.map(|(_, quantity)| *quantity),
            })
        })
    }

    fn parts(
        &self,
        dimensions: &Where,
        quantity: impl Fn(Meter) -> Result<Option<Exact>, OutOfRange>,
    ) -> Result<(Vec<Part>, Vec<Meter>), OutOfRange> {
        let (mut parts, mut covered) = (Vec::new(), Vec::new());
        for name in self.meters() {
            for (meter, direction) in meters_of(name) {
                let mut dimensions = dimensions.clone();
                let direction = direction.map(|way| (DIRECTION.to_owned(), way.to_owned()));
                dimensions.extend(direction);
                let told = quantity(meter)?;
                let part = Part {
                    meter: name.to_owned(),
                    dimensions,
                    quantity: told.unwrap_or_default(),
                    outcome: None,
                };
                let outcomes = self.charges.iter().filter(|charge| charge.outcome.is_some());
                let of_outcomes = outcomes
                    .filter(|charge| charge.meter == name)
                    .map(|charge| Part { outcome: Some(charge.id.clone()), ..part.clone() });
                let mut priced = Vec::new();
                priced.extend(of_outcomes.chain([part.clone()]).filter(|p| self.prices_part(p)));
                if !priced.is_empty() {
                    covered.push(meter);
                }
                if told.is_some() {
                    parts.append(&mut priced);
                }
            }
        }
        Ok((parts, covered))
    }

    /// The meters that have a charge, each once.
    fn meters(&self) -> Vec<&str> {
        let mut meters: Vec<&str> = Vec::new();
        for charge in &self.charges {
            if !meters.contains(&charge.meter.as_str()) {
                meters.push(&charge.meter);
            }
        }
        meters
    }

    /// Whether a past period can be priced by the sums of what its requests used; else every reason why
    /// not. What the gate refuses is refused here; so are outcomes, which are told apart from usage only
    /// while it happens.
    pub fn fit_for_sums(&self) -> Result<(), Faults> {
        let mut faults = self.fit_for_requests().err().unwrap_or_default();
        for (at, charge) in self.charges.iter().enumerate() {
            if charge.outcome.is_some() && !meters_of(&charge.meter).is_empty() {
                let message = "usage records do not say which of this usage becomes an outcome";
                faults.invalid(format!("charges[{at}].outcome"), message);
            }
        }
        faults.unless(Some(()))
    }

    /// Whether the plan can be charged request by request; else every reason why not. Charges on
    /// meters that requests do not report are no hindrance: they are somebody else's to report.
    pub fn fit_for_requests(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        for (at, charge) in self.charges.iter().enumerate() {
            if meters_of(&charge.meter).is_empty() {
                continue;
            }
            let path = format!("charges[{at}]");
            if !matches!(charge.aggregation, Aggregation::Sum | Aggregation::Count) {
                let message = "requests are charged by `sum` or `count`";
                faults.invalid(format!("{path}.aggregation"), message);
            }
            for (nth, cell) in charge.cells.iter().enumerate() {
                if cell.charge.takes_amounts() {
                    let message = "requests report quantities, and this model prices amounts";
                    faults.invalid(format!("{path}.cells[{nth}].charge"), message);
                } else if let Err(fault) = cell.charge.most(Exact::ZERO, Exact::from(1)) {
                    faults.invalid(format!("{path}.cells[{nth}].charge"), fault.message);
                }
            }
        }
        for (at, allowance) in self.allowances.iter().enumerate() {
            if !meters_of(&allowance.meter).is_empty() && !self.is_bounded(allowance) {
                let message =
                    "is shared by prices that are not plain `per_unit`: give each its own";
                faults.invalid(format!("allowances[{at}]"), message);
            }
        }
        faults.unless(Some(()))
    }
}

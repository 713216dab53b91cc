//! What may run while no ledger answers: so much a customer, so much in all, and not a cent more
//! before it is booked.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ids::Name;
use crate::money::Exact;

/// Customers with an allowance in use at once, in one isolate: a few kilobytes.
const CUSTOMERS_MAX: usize = 1_000;
/// Attempts without a hold at once, in one isolate; each is kept until it is booked, some kilobytes
/// each. Bounds what costs nothing, too.
const ATTEMPTS_MAX: u64 = 500;

/// The operator's word on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailOpen {
    /// The most that one customer may have running or unbooked, in one isolate.
    pub customer: Exact,
    /// The most that all customers together may, in one isolate.
    pub total: Exact,
    /// How many isolates the operator reckons with. It multiplies the stated exposure and bounds
    /// nothing: how many there are, the platform decides.
    pub isolates: u64,
}

impl FailOpen {
    /// From JSON, or what is wrong with it.
    ///
    /// ```
    /// use farebox::stop::FailOpen;
    /// let text = r#"{"customer": "0.5", "total": "10", "isolates": 30}"#;
    /// assert_eq!(FailOpen::parse(text).unwrap().exposure().unwrap().to_string(), "300");
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let terms: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let fine = terms.customer > Exact::ZERO && terms.total >= terms.customer;
        if !fine || terms.isolates == 0 || terms.exposure().is_none() {
            return Err("0 < customer ≤ total, and isolates at least 1".into());
        }
        Ok(terms)
    }

    /// The most that can be lost: the total, in as many isolates as are reckoned with.
    pub fn exposure(&self) -> Option<Exact> {
        self.total.times(Exact::from(self.isolates)).ok()
    }
}

/// What of it is in use in this isolate.
#[derive(Debug, Default)]
pub struct Allowance {
    used: BTreeMap<Name, Exact>,
    total: Exact,
    attempts: u64,
}

impl Allowance {
    /// Takes `most`, an attempt's worst case; false where it is not to be had, and nothing changed.
    ///
    /// ```
    /// use farebox::{money::Exact, stop::{Allowance, FailOpen}};
    /// let terms = FailOpen::parse(r#"{"customer": "2", "total": "3", "isolates": 1}"#).unwrap();
    /// let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    /// let mut allowance = Allowance::default();
    /// assert!(allowance.take(&terms, &a, Exact::from(2)));
    /// assert!(!allowance.take(&terms, &a, "0.01".parse().unwrap()), "a's share");
    /// assert!(!allowance.take(&terms, &b, Exact::from(2)), "the total");
    /// allowance.give_back(&a, Exact::from(2));
    /// assert!(allowance.take(&terms, &b, Exact::from(2)));
    /// ```
    pub fn take(&mut self, terms: &FailOpen, customer: &Name, most: Exact) -> bool {
        let own = self.used.get(customer).copied();
        let (Ok(mine), Ok(total)) = (own.unwrap_or_default().plus(most), self.total.plus(most))
        else {
            return false;
        };
        let is_full =
            self.attempts >= ATTEMPTS_MAX || own.is_none() && self.used.len() >= CUSTOMERS_MAX;
        if is_full || most.is_negative() || mine > terms.customer || total > terms.total {
            return false;
        }
        self.used.insert(customer.clone(), mine);
        self.total = total;
        self.attempts = self.attempts.saturating_add(1);
        true
    }

    /// Gives back what an attempt took: it is booked, or used nothing.
    pub fn give_back(&mut self, customer: &Name, most: Exact) {
        self.attempts = self.attempts.saturating_sub(1);
        // Sums of what was taken: they cannot fail to be exact.
        self.total = self.total.minus(most).unwrap_or(self.total);
        if let Some(own) = self.used.get_mut(customer) {
            *own = own.minus(most).unwrap_or(*own);
            if own.is_zero() {
                self.used.remove(customer);
            }
        }
    }

    /// What all customers have of it now.
    pub fn in_use(&self) -> Exact {
        self.total
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terms_that_bound_nothing_are_refused() {
        for text in [
            r#"{"customer":"0","total":"1","isolates":1}"#,
            r#"{"customer":"2","total":"1","isolates":1}"#,
            r#"{"customer":"1","total":"1","isolates":0}"#,
            r#"{"customer":"1","total":"1"}"#,
            r#"{"customer":1.5,"total":"2","isolates":1}"#,
        ] {
            assert!(FailOpen::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
            #[test]
            fn f35_no_row_of_takings_passes_either_bound(
            steps in prop::collection::vec((0_u8..4, 0_u64..60, any::<bool>()), 1..200),
        ) {
            let terms = FailOpen::parse(r#"{"customer":"100","total":"250","isolates":1}"#).unwrap();
                let (mut allowance, mut running) = (Allowance::default(), Vec::new());
                for (who, most, gives) in steps {
                    let name: Name = format!("c{who}").parse().unwrap();
                    let most = Exact::from(most);
                    if gives && let Some((name, most)) = running.pop() {
                        allowance.give_back(&name, most);
                    } else if allowance.take(&terms, &name, most) {
                        running.push((name, most));
                    }
                    let of = |who: Option<&Name>| {
                    let all = running.iter();
                    let mine = all.filter(|(name, _)| who.is_none_or(|who| who == name));
                    Exact::sum(mine.map(|(_, most)| *most)).unwrap()
                };
                prop_assert_eq!(allowance.in_use(), of(None));
                    prop_assert!(of(None) <= terms.total);
                    for who in 0..4 {
    let name = format!("c{who}").parse().unwrap();
                        let mine = of(Some(&name));
                        prop_assert!(mine <= terms.customer);
                    }
                }
            }
        }
}

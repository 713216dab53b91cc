//! The price book: one immutable, versioned JSON document with the rates of every model sold.
//!
//! In scope: reading, checking and looking up. Out of scope: arithmetic (`rating`) and where books
//! are stored (the shells).

mod check;
mod schema;

use std::collections::HashMap;

use crate::money::Exact;
use crate::wire::usage::Meter;

pub use check::{BookError, MODELS_MAX};
pub use schema::{Document, Model, Rate, Rates};

/// The catalogue that is built in: used where no book is named.
pub const DEFAULT: &str = include_str!("../../books/default.json");

/// A price book that passed every check.
#[derive(Debug, Clone)]
pub struct Book {
    document: Document,
    /// Exact names and aliases to the models that carry them, in book order.
    index: HashMap<String, Vec<usize>>,
}

impl Book {
    /// Reads and checks a book. A book with any error is refused whole.
    ///
    /// ```
    /// use farebox::book::{Book, DEFAULT};
    /// let book = Book::parse(DEFAULT).unwrap();
    /// assert!(book.find(Some("openai"), "gpt-4o-mini").is_some());
    /// assert!(book.find(None, "gpt-nobody-knows").is_none());
    /// ```
    pub fn parse(json: &str) -> Result<Self, BookError> {
        let document: Document =
            serde_json::from_str(json).map_err(|error| BookError::Malformed(error.to_string()))?;
        let index = check::index(&document)?;
        Ok(Self { document, index })
    }

    /// The version every record priced by it names.
    pub fn version(&self) -> &str {
        &self.document.version
    }

    /// When it starts to apply.
    pub fn effective_from(&self) -> crate::clock::Timestamp {
        self.document.effective_from
    }

    /// ISO 4217 code of every amount in it.
    pub fn currency(&self) -> &str {
        &self.document.currency
    }

    /// The model of this exact name or alias. Without a provider the name must be unambiguous.
    pub fn find(&self, provider: Option<&str>, name: &str) -> Option<&Model> {
        let models = &self.document.models;
        let mut named = self.index.get(name)?.iter().filter_map(|at| models.get(*at));
        match provider {
            Some(provider) => named.find(|model| model.provider == provider),
            None => named.next().filter(|_| named.next().is_none()),
        }
    }

    /// The book as a customer may see it: sell rates, no costs.
    pub fn projection(&self) -> Document {
        let mut document = self.document.clone();
        for model in &mut document.models {
            model.cost = None;
        }
        document
    }
}

impl Model {
    /// The rates for a service tier; `None` where the model is not sold in that tier.
    pub fn rates_for(&self, tier: Option<&str>) -> Option<&Rates> {
        match tier {
            None | Some("default" | "auto" | "standard") => Some(&self.rates),
            Some(tier) => self.tiers.get(tier),
        }
    }

    /// Every set of rates that a request for `tier` may end up at: where the client leaves the
    /// tier open, any the model is sold in.
    pub fn reachable(&self, tier: Option<&str>) -> Vec<&Rates> {
        match tier {
            Some("default" | "standard" | "standard_only") => vec![&self.rates],
            None | Some("auto") => {
                core::iter::once(&self.rates).chain(self.tiers.values()).collect()
            }
            // The upstream may fall back to its default tier.
            Some(tier) => core::iter::once(&self.rates).chain(self.tiers.get(tier)).collect(),
        }
    }
}

impl Rate {
    /// What `quantity` costs at this rate; exact, or out of range.
    pub fn price(&self, quantity: Exact) -> Result<Exact, crate::money::OutOfRange> {
        self.amount.times(quantity)?.over(self.per)
    }
}

impl Rates {
    /// The rate of exactly this meter.
    pub fn get(&self, meter: Meter) -> Option<&Rate> {
        self.0.get(&meter)
    }
}

#[cfg(test)]
mod tests;

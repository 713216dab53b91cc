//! The catalogue of what upstreams charge. It belongs to the command; neither the Worker nor the
//! browser carries it.

/// Made by `farebox book import`; see docs/price-book.md.
pub(super) const CATALOGUE: &str = include_str!("../../books/catalogue.json");

//! The catalogue of what upstreams charge. It belongs to the command; neither the Worker nor the
//! browser carries it.

/// Made by `farebox book import`; see docs/price-book.md.
pub(super) const CATALOGUE: &str = include_str!("../../books/catalogue.json");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::book::Book;

    #[test]
    fn the_catalogue_is_a_valid_book_of_thousands_with_a_source_and_a_day_for_every_row() {
        let book = Book::parse(CATALOGUE).unwrap();
        assert!(book.models().count() >= 1_000);
        assert!(book.models().all(|model| model.source.is_some() && model.checked.is_some()));
    }

    #[test]
    fn opened_it_finds_and_says_what_it_says_when_read_whole() {
        let (whole, opened) = (Book::parse(CATALOGUE).unwrap(), Book::open(CATALOGUE).unwrap());
        for model in whole.models() {
            for name in core::iter::once(&model.model).chain(&model.aliases) {
                let provider = Some(model.provider.as_str());
                assert_eq!(whole.find(provider, name), Some(model), "{name}");
                assert_eq!(opened.find(provider, name), Some(model), "{name}");
                assert_eq!(opened.find(None, name), whole.find(None, name), "{name}");
            }
        }
    }
}

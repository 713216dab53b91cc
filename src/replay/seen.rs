//! Which records were counted: an archive may hold a record twice, and in any order.

use std::collections::HashMap;

/// Words of 64 records, of all customers together: 64 MiB, half a billion records.
const WORDS_MAX: usize = 8 * 1024 * 1024;

/// A bit for each record; a customer's are numbered without gaps.
#[derive(Debug, Default)]
pub(super) struct Seen {
    customers: HashMap<Box<str>, Vec<u64>>,
    words: usize,
}

/// More records than there is room for, or a number far beyond the others.
#[derive(Debug)]
pub(super) struct TooMany;

impl Seen {
    /// Marks a record; whether it was marked before.
    pub fn mark(&mut self, customer: &str, seq: u64) -> Result<bool, TooMany> {
        if !self.customers.contains_key(customer) {
            self.customers.insert(customer.into(), Vec::new());
        }
        let words = self.customers.get_mut(customer).ok_or(TooMany)?;
        let at = usize::try_from(seq.div_euclid(64)).map_err(|_| TooMany)?;
        let missing = at.saturating_add(1).saturating_sub(words.len());
        if missing > 0 {
            self.words = self.words.saturating_add(missing);
            if self.words > WORDS_MAX {
                self.words = self.words.saturating_sub(missing);
                return Err(TooMany);
            }
            words.resize(at.saturating_add(1), 0);
        }
        let word = words.get_mut(at).ok_or(TooMany)?;
        let bit = 1_u64.rotate_left(u32::try_from(seq.rem_euclid(64)).unwrap_or(0));
        let before = *word & bit != 0;
        *word |= bit;
        Ok(before)
    }
}

//! Who is asking: API keys and dashboard sessions, both signed, both checked without a lookup.
//!
//! In scope: minting, parsing and verifying the two token formats. Out of scope: whether a key was
//! revoked or what it may do; the ledger knows that.

mod key;
mod ring;
mod session;

pub use key::{ApiKey, Mode};
pub use ring::{Ring, RingError, pseudonym};
pub use session::{Rights, SESSION_LIFE_MAX, Session};

/// Why a token was turned away. Says nothing about the token itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Not a token of ours, or its tag is wrong.
    Invalid,
    /// It was good until a moment that has passed.
    Expired,
}

#[cfg(test)]
mod tests;

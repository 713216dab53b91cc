//! A JSON number read exactly, whatever an upstream writes there.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::money::Exact;

/// A count in an upstream's answer. Anything that is not a plain, non-negative number of sane size
/// — a string, `-1`, `1e99`, `null` — is absent: a wrong count must not make the answer unreadable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count(pub Option<Exact>);

/// Above this a count is not believed: larger than any context or bill, and small enough that
/// price × count stays exact.
const COUNT_MAX: u64 = 1_000_000_000_000;

impl Count {
    fn parse(text: &str) -> Self {
        let number: Option<Exact> = text.parse().ok();
        Self(number.filter(|n| !n.is_negative() && *n <= Exact::from(COUNT_MAX)))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self::parse(raw.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_counts_are_absent_not_zero() {
        for (text, want) in
            [("12", Some(12)), ("12.0", Some(12)), ("0", Some(0)), ("null", None), ("-1", None)]
        {
            let count: Count = serde_json::from_str(text).unwrap_or_default();
            assert_eq!(count.0, want.map(Exact::from), "{text}");
        }
        for text in ["\"12\"", "1e3", "9223372036854775808", "{}", "[1]", "true"] {
            assert_eq!(serde_json::from_str::<Count>(text).ok(), Some(Count(None)), "{text}");
        }
    }
}

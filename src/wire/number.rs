//! A JSON number read exactly, whatever an upstream writes there.

use super::json::Node;
use crate::money::Exact;

/// Above this a count is not believed: larger than any context or bill, and small enough that
/// price × count stays exact.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// Largest power of ten read in `1e3` notation, either way.
const EXPONENT_MAX: u32 = 28;

/// A quantity as an upstream wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// A plain, believable number.
    Sound(Exact),
    /// A number, but not as it should be: written as a string, or half a token.
    Mended(Exact),
    /// Not a quantity: negative, beyond belief, or no number at all.
    Nonsense,
}

impl Quantity {
    /// Reads a value; `whole` where the unit cannot be divided, as a token cannot.
    pub fn read(node: &Node, whole: bool) -> Self {
        let (text, written_as_text) = match node {
            Node::Number(text) => (text, false),
            Node::Text(text) => (text, true),
            _ => return Self::Nonsense,
        };
        let believed = |n: &Exact| !n.is_negative() && *n <= Exact::from(COUNT_MAX);
        let Some(number) = parse(text).filter(believed) else { return Self::Nonsense };
        let is_whole = number.whole_times(Exact::from(1)) == Ok(number);
        if written_as_text || whole && !is_whole {
            Self::Mended(number)
        } else {
            Self::Sound(number)
        }
    }
}

/// A JSON number of any notation, exactly; `None` where it needs more than 28 digits.
pub(crate) fn parse(text: &str) -> Option<Exact> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return text.parse().ok() };
    let mantissa: Exact = mantissa.parse().ok()?;
    let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return mantissa.is_zero().then_some(mantissa);
    }
    let power: u32 = exponent.unsigned_abs();
    let power: Exact = format!("1{}", "0".repeat(usize::try_from(power).ok()?)).parse().ok()?;
    if exponent < 0 { mantissa.over(power).ok() } else { mantissa.times(power).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Quantity {
        Quantity::read(&Node::Number(text.into()), true)
    }

    #[test]
    fn a_number_is_read_as_written_in_any_notation() {
        for (text, want) in [("12", "12"), ("12.0", "12"), ("1e3", "1000"), ("1.2E+2", "120")] {
            assert_eq!(read(text), Quantity::Sound(want.parse().unwrap_or_default()), "{text}");
        }
        assert_eq!(parse("1.425e-05"), "0.00001425".parse().ok());
        assert_eq!(parse("0.0000000001"), "0.0000000001".parse().ok());
    }

    #[test]
    fn nonsense_is_not_zero_and_half_a_token_is_kept_exactly() {
        for text in ["-1", "9223372036854775808", "1e99", "-0.5", "1e", "Infinity", ""] {
            assert_eq!(read(text), Quantity::Nonsense, "{text}");
        }
        for node in [Node::Opaque, Node::Bool(true), Node::Text("many".into()), Node::List(vec![])]
        {
            assert_eq!(Quantity::read(&node, true), Quantity::Nonsense, "{node:?}");
        }
        assert_eq!(read("12.3"), Quantity::Mended("12.3".parse().unwrap_or_default()));
        let text = Node::Text("12".into());
        assert_eq!(Quantity::read(&text, true), Quantity::Mended(Exact::from(12)));
        let seconds = Quantity::read(&Node::Number("12.3".into()), false);
        assert_eq!(seconds, Quantity::Sound("12.3".parse().unwrap_or_default()));
    }
}

//! Whether two names are versions of one model, by how the providers write them.

/// Fewest digits that tell a version from a size or a generation: `-0613`, `-001`, not `-4`.
const DIGITS_MIN: usize = 3;

/// Whether one name is the other, or the other with its version behind it.
pub(super) fn same(one: &str, other: &str) -> bool {
    let (one, other) = (bare(one), bare(other));
    let extends = |long: &str, short: &str| long.strip_prefix(short).is_some_and(is_version);
    one == other || extends(&one, &other) || extends(&other, &one)
}

/// A name without what says who made or serves it, in one spelling: `us.anthropic.claude-x` and
/// `models/x` and `x-latest`.
fn bare(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('@', "-");
    let name = name.rsplit('/').next().unwrap_or_default();
    // A point before a letter ends a vendor's name; before a digit it is part of the model's.
    let vendor_ends = name.match_indices('.').map(|(at, _)| at.saturating_add(1)).rfind(|at| {
        name.get(*at..)
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
    });
    let name = vendor_ends.and_then(|at| name.get(at..)).unwrap_or(name);
    name.strip_suffix("-latest").unwrap_or(name).to_owned()
}

/// `-2024-07-18`, `-20250929`, `-001`, `-v1:0`, `:0`.
fn is_version(rest: &str) -> bool {
    let numbers = rest.strip_prefix("-v").or_else(|| rest.strip_prefix(':'));
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"-.:v".contains(&byte));
    match (numbers, rest.strip_prefix('-')) {
        (Some(numbers), _) => !numbers.is_empty() && plain(numbers),
        (None, Some(date)) => {
            let digits = date.bytes().take_while(u8::is_ascii_digit).count();
            digits >= DIGITS_MIN && plain(date)
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_a_model_is_the_model_and_a_neighbour_is_not() {
        for (asked, served) in [
            ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
            ("gpt-4", "gpt-4-0613"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
            ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
            ("gemini-2.0-flash", "models/gemini-2.0-flash-001"),
            ("openai/gpt-4.1", "gpt-4.1-2025-04-14"),
        ] {
            assert!(same(asked, served), "{asked} {served}");
        }
        for (asked, served) in [
            ("gpt-4o-mini", "gpt-4o"),
            ("gpt-4", "gpt-4.1"),
            ("gpt-4", "gpt-4-32k-0613"),
            ("gpt-4", "gpt-4-1106-preview"),
            ("claude-sonnet-4", "claude-sonnet-4-5"),
            ("gemini-2.5-flash", "gemini-2.5-pro"),
            ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
            ("m", ""),
        ] {
            assert!(!same(asked, served), "{asked} {served}");
        }
    }
}

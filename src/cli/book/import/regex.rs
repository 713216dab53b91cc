//! The few regular expressions of the data, turned into patterns without any.

use crate::book::Pattern;

/// What a rule says of names: whole ones, and families.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub exact: Vec<String>,
    pub families: Vec<Pattern>,
}

/// Names that are a date after a base, in each way the data writes it.
const DATES: [&str; 4] = [r"-\d{8}$", r"-\d{4}-\d{2}-\d{2}$", r"[-@]\d{8}$", r"@\d{8}$"];

/// Negative look-ahead for names of speech models.
const NO_SPEECH: &str = r"^(?!.*-[tT][tT][sS](?:$|-))";

/// Mistral's own names, none of which has a path.
const MISTRAL: &str = concat!(
    r"^(?![^/]+/)(?:labs-)?(?:(?:mi|code|dev|magi|mini)stral|mixtral|pixtral|voxtral|",
    r"open-(?:mistral|mixtral))"
);
const MISTRAL_PREFIXES: [&str; 11] = [
    "mistral",
    "codestral",
    "devstral",
    "magistral",
    "ministral",
    "mixtral",
    "pixtral",
    "voxtral",
    "open-mistral",
    "open-mixtral",
    "labs-",
];

/// The meaning of a regular expression; `None` where its shape is new.
pub(super) fn named(regex: &str) -> Option<Named> {
    let mut named = Named::default();
    if regex == NO_SPEECH {
        named.families.push(Pattern { except: Some("-tts".into()), ..Pattern::default() });
        return Some(named);
    }
    if regex == MISTRAL {
        named.families = MISTRAL_PREFIXES
            .map(|prefix| Pattern {
                prefix: Some(prefix.into()),
                except: Some("/".into()),
                ..Pattern::default()
            })
            .into();
        return Some(named);
    }
    for rule in alternatives(regex.strip_prefix('^')?) {
        if let Some(base) = DATES.iter().find_map(|date| rule.strip_suffix(date)) {
            let dated = Some(literal(base)?);
            named.families.push(Pattern { dated, ..Pattern::default() });
        } else if let Some(base) = rule.strip_suffix(r"\d") {
            let base = literal(base)?;
            named.families.extend((0..=9).map(|digit| Pattern {
                prefix: Some(format!("{base}{digit}")),
                ..Pattern::default()
            }));
        } else if let Some(whole) = rule.strip_suffix('$') {
            named.exact.push(literal(whole)?);
        } else {
            named.families.push(Pattern { prefix: Some(literal(&rule)?), ..Pattern::default() });
        }
    }
    Some(named)
}

/// Every reading of the optional groups `(…)?` and of the classes `[134]`.
fn alternatives(regex: &str) -> Vec<String> {
    if let Some(start) = regex.find('(')
        && let Some(length) = regex[start..].find(")?")
    {
        let (before, group, after) =
            (&regex[..start], &regex[start + 1..start + length], &regex[start + length + 2..]);
        return [format!("{before}{after}"), format!("{before}{group}{after}")]
            .iter()
            .flat_map(|rule| alternatives(rule))
            .collect();
    }
    if let Some(class) = regex.strip_suffix(']')
        && let Some((before, letters)) = class.rsplit_once('[')
        && !before.ends_with('\\')
    {
        return letters.chars().map(|letter| format!("{before}{letter}")).collect();
    }
    vec![regex.to_owned()]
}

/// The text a rule stands for, if it is nothing but text.
fn literal(rule: &str) -> Option<String> {
    let mut text = String::new();
    let mut letters = rule.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next().filter(char::is_ascii_punctuation)?),
            '(' | ')' | '[' | ']' | '*' | '+' | '?' | '.' | '|' | '{' | '}' | '^' | '$' => {
                return None;
            }
            other => text.push(other),
        }
    }
    Some(text)
}

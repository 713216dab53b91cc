//! Reading the JSON that people write: every field known, every number exact, every fault named
//! with its path.
//!
//! A misspelt price must not become a missing one, so unknown and repeated fields are faults.
//! Reading goes on after a fault: whoever mends a file sees all of them at once.

use core::fmt;
use std::collections::HashSet;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::money::Exact;

/// Most faults that are reported; more would not be read.
pub const FAULTS_MAX: usize = 100;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable code.
    pub code: &'static str,
    /// Where: `charge.tiers[1].up_to`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The faults found so far, in the order they stand in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one; past [`FAULTS_MAX`] it is dropped.
    pub fn add(&mut self, code: &'static str, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { code, path: path.into(), message: message.into() });
        }
    }

    /// A value that cannot be meant.
    pub fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add("invalid_value", path, message);
    }

    /// All of them.
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// `value`, if nothing was wrong with it or anything before it.
    pub fn unless<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// One value and where it stands.
#[derive(Debug, Clone)]
pub struct Spot<'a> {
    /// Where.
    pub path: String,
    raw: &'a RawValue,
}

/// An object whose fields are taken out one by one; what is left at the end is unknown.
#[derive(Debug)]
pub struct Object<'a> {
    /// Where it stands.
    pub path: String,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Spot<'a> {
    /// The whole text.
    pub fn root(text: &'a str, faults: &mut Faults) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(raw) => Some(Self { path: String::new(), raw }),
            Err(error) => {
                faults.add("invalid_input", "", format!("this is not JSON: {error}"));
                None
            }
        }
    }

    /// The value as it is written.
    pub fn raw(&self) -> &'a str {
        self.raw.get()
    }

    /// As an object.
    pub fn object(&self, faults: &mut Faults) -> Option<Object<'a>> {
        match serde_json::from_str::<Fields<'a>>(self.raw.get()) {
            Ok(Fields(fields)) => {
                let mut object = Object { path: self.path.clone(), fields: Vec::new() };
                let mut seen = HashSet::new();
                for (name, raw) in fields {
                    if seen.insert(name.clone()) {
                        object.fields.push((name, raw));
                    } else {
                        faults.add("duplicate_field", object.at(&name), "is given twice");
                    }
                }
                Some(object)
            }
            Err(_) => self.wrong("an object", faults),
        }
    }

    /// As a list of at most `most` items.
    pub fn list(&self, most: usize, faults: &mut Faults) -> Option<Vec<Self>> {
        let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(self.raw.get()) else {
            return self.wrong("a list", faults);
        };
        if items.len() > most {
            faults.invalid(&self.path, format!("has {} items, at most {most} can be", items.len()));
            return None;
        }
        let spot = |(at, raw)| Self { path: format!("{}[{at}]", self.path), raw };
        Some(items.into_iter().enumerate().map(spot).collect())
    }

    /// As a text.
    pub fn text(&self, faults: &mut Faults) -> Option<String> {
        let text = serde_json::from_str(self.raw.get()).ok();
        text.or_else(|| self.wrong("a text", faults))
    }

    /// As a point in time.
    pub fn time(&self, faults: &mut Faults) -> Option<Timestamp> {
        let time = self.text(faults)?.parse().ok();
        time.or_else(|| self.wrong("a time, such as \"2026-11-23T22:00:00Z\"", faults))
    }

    /// As `true` or `false`.
    pub fn flag(&self, faults: &mut Faults) -> Option<bool> {
        let flag = serde_json::from_str(self.raw.get()).ok();
        flag.or_else(|| self.wrong("true or false", faults))
    }

    /// As an exact number: a decimal string, or a JSON number read by its digits.
    pub fn number(&self, faults: &mut Faults) -> Option<Exact> {
        let raw = self.raw.get();
        let digits = if raw.starts_with('"') {
            serde_json::from_str(raw).ok()
        } else {
            without_exponent(raw)
        };
        let number = digits.as_deref().and_then(|digits| digits.parse().ok());
        let decimal = match digits.as_deref() {
            Some(digits) => is_decimal(digits),
            // A JSON number whose exponent leads nowhere near 28 digits.
            None => raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()),
        };
        if number.is_none() && decimal {
            let shown: String = raw.chars().take(SHOWN_MAX).collect();
            let message = format!("{shown} has more than the 28 digits that can be exact");
            faults.add("amount_out_of_range", &self.path, message);
            return None;
        }
        number.or_else(|| self.wrong("a decimal number, such as \"0.15\"", faults))
    }

    /// As a number that is not negative.
    pub fn positive_or_zero(&self, faults: &mut Faults) -> Option<Exact> {
        let number = self.number(faults)?;
        if number.is_negative() {
            faults.invalid(&self.path, format!("{number} is negative"));
            return None;
        }
        Some(number)
    }

    /// As one of a closed set of names.
    pub fn one_of<T: Copy>(&self, names: &[(&str, T)], faults: &mut Faults) -> Option<T> {
        let text = self.text(faults)?;
        let found = names.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            faults.invalid(&self.path, format!("{text:?} is none of {}", known.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    fn wrong<T>(&self, wanted: &str, faults: &mut Faults) -> Option<T> {
        let shown: String = self.raw.get().chars().take(SHOWN_MAX).collect();
        faults.invalid(&self.path, format!("{shown} is not {wanted}"));
        None
    }
}

/// Characters of a wrong value that a message repeats.
const SHOWN_MAX: usize = 60;

impl<'a> Object<'a> {
    /// The path of a field.
    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Takes a field out. `null` is the same as absent.
    pub fn take(&mut self, name: &str) -> Option<Spot<'a>> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, raw) = self.fields.remove(at);
        (raw.get() != "null").then(|| Spot { path: self.at(name), raw })
    }

    /// Takes a field out that must be there.
    pub fn need(&mut self, name: &str, faults: &mut Faults) -> Option<Spot<'a>> {
        let spot = self.take(name);
        if spot.is_none() {
            faults.add("missing_field", self.at(name), format!("`{name}` is missing"));
        }
        spot
    }

    /// Whether a field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, raw)| known == name && raw.get() != "null")
    }

    /// A number, not negative, that must be there.
    pub fn need_amount(&mut self, name: &str, faults: &mut Faults) -> Option<Exact> {
        self.need(name, faults)?.positive_or_zero(faults)
    }

    /// A number, not negative, if it is there.
    pub fn amount(&mut self, name: &str, faults: &mut Faults) -> Option<Exact> {
        self.take(name)?.positive_or_zero(faults)
    }

    /// A number above zero, if it is there.
    pub fn above_zero(&mut self, name: &str, faults: &mut Faults) -> Option<Exact> {
        let spot = self.take(name)?;
        let number = spot.number(faults)?;
        if number <= Exact::ZERO {
            faults.invalid(spot.path, format!("{number} is not above zero"));
            return None;
        }
        Some(number)
    }

    /// A number above zero that must be there.
    pub fn need_above_zero(&mut self, name: &str, faults: &mut Faults) -> Option<Exact> {
        if !self.has(name) {
            self.need(name, faults)?;
        }
        self.above_zero(name, faults)
    }

    /// A text that must be there and not be empty.
    pub fn need_text(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        let spot = self.need(name, faults)?;
        let text = spot.text(faults)?;
        if text.trim().is_empty() {
            faults.invalid(spot.path, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// A text, if it is there.
    pub fn text(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        self.take(name)?.text(faults)
    }

    /// `true` or `false`; absent is `false`.
    pub fn flag(&mut self, name: &str, faults: &mut Faults) -> bool {
        self.take(name).and_then(|spot| spot.flag(faults)).unwrap_or(false)
    }

    /// A time, if it is there.
    pub fn time(&mut self, name: &str, faults: &mut Faults) -> Option<Timestamp> {
        self.take(name)?.time(faults)
    }

    /// A time that must be there.
    pub fn need_time(&mut self, name: &str, faults: &mut Faults) -> Option<Timestamp> {
        self.need(name, faults)?.time(faults)
    }

    /// The texts of a list; absent is empty.
    pub fn texts(&mut self, name: &str, most: usize, faults: &mut Faults) -> Vec<String> {
        let items = self.items(name, most, faults);
        items.iter().filter_map(|spot| spot.text(faults)).collect()
    }

    /// The items of a list; absent is empty.
    pub fn items(&mut self, name: &str, most: usize, faults: &mut Faults) -> Vec<Spot<'a>> {
        self.take(name).and_then(|spot| spot.list(most, faults)).unwrap_or_default()
    }

    /// Everything that is left, by name: for objects whose keys are the writer's own.
    pub fn rest(&mut self) -> Vec<(String, Spot<'a>)> {
        let fields = core::mem::take(&mut self.fields);
        let spot = |(name, raw): (String, _)| (name.clone(), Spot { path: self.at(&name), raw });
        fields.into_iter().map(spot).collect()
    }

    /// Ends the reading: what was not taken is unknown.
    pub fn done(self, faults: &mut Faults) {
        for (name, _) in &self.fields {
            faults.add("unknown_field", self.at(name), format!("`{name}` is not a field here"));
        }
    }
}

/// An object's fields in the order they stand in, repeated ones included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// Largest power of ten that a JSON number may be lifted by; past it nothing fits 28 digits.
const EXPONENT_MAX: u32 = 60;

/// A JSON number's digits with its exponent carried out: `1.5e-3` → `0.0015`.
fn without_exponent(raw: &str) -> Option<String> {
    let Some((digits, exponent)) = raw.split_once(['e', 'E']) else {
        return Some(raw.to_owned());
    };
    let exponent: i64 = exponent.parse().ok()?;
    let shift = usize::try_from(exponent.unsigned_abs()).ok()?;
    if shift > EXPONENT_MAX as usize {
        return None;
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let zeros = "0".repeat(shift);
    let (whole, fraction) = if exponent < 0 {
        let padded = format!("{zeros}{whole}");
        let (left, right) = padded.split_at_checked(padded.len().saturating_sub(shift))?;
        (left.to_owned(), format!("{right}{fraction}"))
    } else {
        let padded = format!("{fraction}{zeros}");
        let (left, right) = padded.split_at_checked(shift)?;
        (format!("{whole}{left}"), right.to_owned())
    };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Plain decimal notation, however long.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    plain(whole) && plain(fraction)
}

#[cfg(test)]
mod tests;

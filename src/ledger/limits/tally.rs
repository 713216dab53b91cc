//! Sums of what was used, and the rows they are kept in.

use core::fmt;
use core::str::FromStr;

use super::Measure;
use super::window::Span;
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

/// Every zone's clock differs from UTC by whole quarters of an hour: no window begins inside one.
pub const QUARTER_MS: i64 = 900_000;
/// Quarters of an hour.
const QUARTERS: usize = 4;
const HOUR_MS: i64 = 3_600_000;

/// What was used, by each measure. Corrections may be below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// In the customer's currency.
    pub money: Exact,
    /// Input and output together.
    pub tokens: Exact,
    /// Attempts that were not voided.
    pub requests: Exact,
}

impl Tally {
    /// Nothing.
    pub const ZERO: Self = Self { money: Exact::ZERO, tokens: Exact::ZERO, requests: Exact::ZERO };

    /// Both together.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        Ok(Self {
            money: self.money.plus(other.money)?,
            tokens: self.tokens.plus(other.tokens)?,
            requests: self.requests.plus(other.requests)?,
        })
    }

    /// The difference.
    pub fn minus(self, other: Self) -> Result<Self, OutOfRange> {
        Ok(Self {
            money: self.money.minus(other.money)?,
            tokens: self.tokens.minus(other.tokens)?,
            requests: self.requests.minus(other.requests)?,
        })
    }

    /// By one measure. What runs at once is never settled.
    pub fn of(self, measure: Measure) -> Exact {
        match measure {
            Measure::Money => self.money,
            Measure::Tokens => self.tokens,
            Measure::Requests => self.requests,
            Measure::Concurrency => Exact::ZERO,
        }
    }

    fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Tally {
    /// `money,tokens,requests`; nothing at all where all are zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return Ok(());
        }
        write!(f, "{},{},{}", self.money, self.tokens, self.requests)
    }
}

impl FromStr for Tally {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self::ZERO);
        }
        let mut numbers = text.split(',').map(|number| number.parse::<Exact>().map_err(drop));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let tally = Self { money: next()?, tokens: next()?, requests: next()? };
        if numbers.next().is_some() { Err(()) } else { Ok(tally) }
    }
}

/// What was used in one UTC hour, by its quarters.
///
/// Written as `a;b;c;d`, a quarter each. Hours of the first schema hold one amount of money that is
/// not divided: `1.5`, and `1.5|a;b;c;d` once more was used in the same hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hour {
    /// Money of which the quarter was not kept; its tokens and requests are not known.
    undivided: Exact,
    quarters: [Tally; QUARTERS],
}

impl Hour {
    /// Adds what was used at `at`, a moment of this hour.
    pub fn add(&mut self, at: Timestamp, used: Tally) -> Result<(), OutOfRange> {
        let quarter = at.ms().rem_euclid(HOUR_MS).checked_div(QUARTER_MS).unwrap_or(0);
        let quarter = usize::try_from(quarter).unwrap_or(0);
        if let Some(sum) = self.quarters.get_mut(quarter) {
            *sum = sum.plus(used)?;
        }
        Ok(())
    }

    /// All of it.
    pub fn sum(&self) -> Result<Tally, OutOfRange> {
        let undivided = Tally { money: self.undivided, ..Tally::ZERO };
        self.quarters.iter().try_fold(undivided, |sum, quarter| sum.plus(*quarter))
    }

    /// The part inside a span, where the hour begins at `start`. What is undivided counts whole as
    /// soon as any of the hour is inside: too much rather than too little.
    pub(super) fn within(&self, start: Timestamp, span: Span) -> Result<Tally, OutOfRange> {
        let mut sum = Tally::ZERO;
        let mut at = start.ms();
        let mut touches = false;
        for quarter in &self.quarters {
            if span.holds(Timestamp::from_ms(at)) {
                touches = true;
                sum = sum.plus(*quarter)?;
            }
            at = at.saturating_add(QUARTER_MS);
        }
        if touches {
            sum.money = sum.money.plus(self.undivided)?;
        }
        Ok(sum)
    }

    /// Whether its tokens and requests are not all known.
    pub(super) fn is_undivided(&self) -> bool {
        !self.undivided.is_zero()
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_undivided() {
            write!(f, "{}|", self.undivided)?;
        }
        let [first, second, third, fourth] = self.quarters;
        write!(f, "{first};{second};{third};{fourth}")
    }
}

impl FromStr for Hour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (undivided, quarters) = match text.split_once('|') {
            Some((undivided, quarters)) => (undivided.parse().map_err(drop)?, quarters),
            None if text.contains(';') => (Exact::ZERO, text),
            None => (text.parse().map_err(drop)?, ";;;"),
        };
        let mut hour = Self { undivided, ..Self::default() };
        let mut parts = quarters.split(';');
        for quarter in &mut hour.quarters {
            *quarter = parts.next().ok_or(())?.parse()?;
        }
        if parts.next().is_some() { Err(()) } else { Ok(hour) }
    }
}

/// Hours as storage hands them over: `[[start in milliseconds, "hour"], …]`. An amount that is not
/// text is refused: it has been through floating point.
pub fn hours_from_json(text: &str) -> Result<Vec<(Timestamp, Hour)>, String> {
    let hours: Vec<(i64, &str)> =
        serde_json::from_str(text).map_err(|error| format!("hours cannot be read: {error}"))?;
    let read = |(start, hour): (i64, &str)| {
        let hour = hour.parse().map_err(|()| format!("the hour at {start} cannot be read"))?;
        Ok((Timestamp::from_ms(start), hour))
    };
    hours.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_hour_of_the_first_schema_reads_as_it_was_written() {
        let hour: Hour = "0.0042".parse().unwrap();
        assert_eq!(hour.sum().unwrap().money, "0.0042".parse().unwrap());
        assert!(hour.is_undivided());
        assert_eq!(hour.to_string(), "0.0042|;;;");
        assert_eq!(hour.to_string().parse::<Hour>().unwrap(), hour);
    }

    #[test]
    fn an_hour_survives_being_written() {
        let mut hour = Hour::default();
        let used = Tally { money: Exact::from(2), tokens: Exact::from(7), requests: 1.into() };
        hour.add("2026-11-23T22:29:59.999Z".parse().unwrap(), used).unwrap();
        assert_eq!(hour.to_string(), ";2,7,1;;");
        assert_eq!(hour.to_string().parse::<Hour>().unwrap(), hour);
        for bad in ["", ";;", ";;;;", "x", "1,2;;;", "1,2,3,4;;;"] {
            assert!(bad.parse::<Hour>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hours_out_of_storage_keep_every_digit() {
        let digits = "1.2345678901234567890123456789";
        let text = format!(r#"[[0,"{digits}|;;;"],[1795554000000,";{digits},7,1;;"]]"#);
        let hours = hours_from_json(&text).unwrap();
        let written: Vec<_> = hours.iter().map(|(at, hour)| (at.ms(), hour.to_string())).collect();
        assert_eq!(
            written,
            [(0, format!("{digits}|;;;")), (1_795_554_000_000, format!(";{digits},7,1;;"))]
        );
        assert_eq!(hours_from_json("[]").unwrap(), []);
    }

    #[test]
    fn an_hour_that_was_a_double_is_refused() {
        for bad in [
            "[[0,1.5]]",
            "[[0,null]]",
            r#"[[0.5,"1"]]"#,
            r#"[["0","1"]]"#,
            r#"[[0,"x"]]"#,
            "[[0",
            "",
        ] {
            assert!(hours_from_json(bad).is_err(), "{bad}");
        }
    }
}

//! Outcomes: results that are paid for only once they hold (a ticket solved, a meeting booked).
//!
//! An outcome is pending for a while, then confirmed or reversed, by word or by silence. A confirmed
//! one can still be reversed while it may be disputed; if its period was billed, that is a credit in
//! the period of the reversal, never a change of the old bill.

use std::collections::BTreeMap;

use crate::calendar::Period;
use crate::clock::{Millis, Timestamp};

/// What an operator agrees with a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long an outcome stays pending where nobody says anything.
    pub pending: Millis,
    /// What it becomes then.
    pub silence: Decision,
    /// How long after its confirmation an outcome can be reversed.
    pub dispute: Millis,
}

/// The two ends of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It did not hold: nothing is owed. Of two words at one instant this one counts.
    Reversed,
    /// It holds and is owed.
    Confirmed,
}

/// One report about an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which outcome.
    pub outcome: String,
    /// When it happened.
    pub at: Timestamp,
    /// `None`: the outcome was reached and is pending from now.
    pub decision: Option<Decision>,
}

/// Where an outcome stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Undecided; `until` silence decides.
    Pending {
        /// The first instant it no longer is.
        until: Timestamp,
    },
    /// Owed.
    Confirmed {
        /// Since when.
        at: Timestamp,
    },
    /// Not owed.
    Reversed {
        /// Since when.
        at: Timestamp,
        /// When it had been confirmed, if it had.
        after: Option<Timestamp>,
    },
}

/// What is owed for a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Still pending at the period's end.
    pub pending: u64,
    /// Confirmed in the period and not reversed in it: to be billed.
    pub confirmed: u64,
    /// Confirmed before the period and reversed in it: to be credited.
    pub credited: u64,
}

/// Where every outcome stands at `now`. Reports may come in any order, and repeated; a word about an
/// outcome that was never reached says nothing.
///
/// ```
/// use farebox::clock::{Millis, Timestamp};
/// use farebox::rating::outcome::{Decision, Report, State, Terms, states};
/// let hour = Millis::from_secs(3600);
/// let terms = Terms { pending: hour, silence: Decision::Confirmed, dispute: hour };
/// let reached = Report { outcome: "t1".into(), at: Timestamp::from_ms(0), decision: None };
/// let at = Timestamp::from_ms(0).plus(hour);
/// assert_eq!(states(&[reached], terms, at)["t1"], State::Confirmed { at });
/// ```
pub fn states(reports: &[Report], terms: Terms, now: Timestamp) -> BTreeMap<String, State> {
    let mut by_outcome: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
    for report in reports.iter().filter(|report| report.at <= now) {
        by_outcome.entry(&report.outcome).or_default().push(report);
    }
    let state = |(outcome, mut reports): (&str, Vec<&Report>)| {
        reports.sort_by_key(|report| (report.at, report.decision));
        state(&reports, terms, now).map(|state| (outcome.to_owned(), state))
    };
    by_outcome.into_iter().filter_map(state).collect()
}

fn state(reports: &[&Report], terms: Terms, now: Timestamp) -> Option<State> {
    let reached = reports.iter().find(|report| report.decision.is_none())?.at;
    let until = reached.plus(terms.pending);
    let said = |from: Timestamp, to: Timestamp| {
        let mut words = reports.iter().filter(move |report| from <= report.at && report.at < to);
        words.find_map(|report| report.decision.map(|decision| (decision, report.at)))
    };
    let (decision, at) = match said(reached, until) {
        Some(word) => word,
        None if now < until => return Some(State::Pending { until }),
        None => (terms.silence, until),
    };
    if decision == Decision::Reversed {
        return Some(State::Reversed { at, after: None });
    }
    let disputed = reports.iter().find(|report| {
        report.decision == Some(Decision::Reversed)
            && at <= report.at
            && report.at < at.plus(terms.dispute)
    });
    Some(match disputed {
        Some(report) => State::Reversed { at: report.at, after: Some(at) },
        None => State::Confirmed { at },
    })
}

/// What `period` owes, given where the outcomes stand at its end.
pub fn tally<'a>(states: impl IntoIterator<Item = &'a State>, period: Period) -> Tally {
    let mut tally = Tally::default();
    for state in states {
        let count = match *state {
            State::Pending { .. } => &mut tally.pending,
            State::Confirmed { at } if period.holds(at) => &mut tally.confirmed,
            State::Reversed { at, after: Some(after) }
                if period.holds(at) && after < period.start =>
            {
                &mut tally.credited
            }
            State::Confirmed { .. } | State::Reversed { .. } => continue,
        };
        *count = count.saturating_add(1);
    }
    tally
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn hour(n: i64) -> Timestamp {
        Timestamp::from_ms(1_790_000_000_000 + n * 3_600_000)
    }

    fn report(outcome: &str, at: i64, decision: Option<Decision>) -> Report {
        Report { outcome: outcome.into(), at: hour(at), decision }
    }

    fn terms(silence: Decision) -> Terms {
        let hours = |n: u32| Millis::from_secs(n * 3_600);
        Terms { pending: hours(24), silence, dispute: hours(72) }
    }

    const YES: Option<Decision> = Some(Decision::Confirmed);
    const NO: Option<Decision> = Some(Decision::Reversed);

    #[test]
    fn an_outcome_is_decided_by_the_first_word_in_time_or_by_silence() {
        let confirmed = |at| State::Confirmed { at: hour(at) };
        let reversed = |at| State::Reversed { at: hour(at), after: None };
        for (words, now, want) in [
            (vec![], 23, State::Pending { until: hour(24) }),
            (vec![], 24, confirmed(24)),
            (vec![(5, YES)], 10, confirmed(5)),
            (vec![(5, NO)], 10, reversed(5)),
            (vec![(5, NO), (6, YES)], 10, reversed(5)),
            (vec![(5, NO), (5, YES)], 10, reversed(5)),
            // On the hour silence has decided; the word is a dispute.
            (vec![(24, NO)], 30, State::Reversed { at: hour(24), after: Some(hour(24)) }),
            (vec![(5, YES), (76, NO)], 90, State::Reversed { at: hour(76), after: Some(hour(5)) }),
            (vec![(5, YES), (77, NO)], 90, confirmed(5)),
        ] {
            let mut reports = vec![report("o", 0, None)];
            reports.extend(words.iter().map(|(at, word)| report("o", *at, *word)));
            let got = states(&reports, terms(Decision::Confirmed), hour(now));
            assert_eq!(got.get("o"), Some(&want), "{words:?} at {now}");
        }
        let silent = states(&[report("o", 0, None)], terms(Decision::Reversed), hour(24));
        assert_eq!(silent.get("o"), Some(&reversed(24)));
        assert!(states(&[report("o", 0, YES)], terms(Decision::Confirmed), hour(9)).is_empty());
    }

    proptest! {
        #[test]
        fn billed_less_credited_is_what_holds_in_the_end(
            words in proptest::collection::vec((0_u8..6, 0_i64..200, 0_u8..4), 0..40)
        ) {
            let reports: Vec<Report> = words.iter().map(|(outcome, at, word)| {
                report(&outcome.to_string(), *at, [None, None, YES, NO][usize::from(*word)])
            }).collect();
            let (mut billed, mut credited) = (0, 0);
            for n in 0..20 {
                let period = Period { start: hour(n * 24), end: hour(n * 24 + 24) };
                // What is known at the last instant of the period.
                let now = Timestamp::from_ms(period.end.ms() - 1);
                let tally = tally(states(&reports, terms(Decision::Confirmed), now).values(), period);
                billed += tally.confirmed;
                credited += tally.credited;
            }
            let end = states(&reports, terms(Decision::Confirmed), hour(480));
            let holds = end.values().filter(|state| matches!(state, State::Confirmed { .. })).count();
            prop_assert_eq!(billed - credited, u64::try_from(holds).unwrap());
        }
    }
}

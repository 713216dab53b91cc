//! Which version of the book is in force when. Activations are only ever added, and take effect at
//! the moment they become known or later, so that what was in force at a past time never changes.

use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Most activations that may wait for their time: enough for a year of planned prices by the month,
/// with room for corrections.
pub const SCHEDULED_MAX: u32 = 16;

/// Newest activations that are read: all that wait, the one in force, and some before it for a
/// ledger whose clock is behind.
pub const TIMELINE_MAX: u32 = SCHEDULED_MAX + 8;

/// The decision that a version applies from a time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Counts activations from 1, in the order in which they became known.
    pub seq: u64,
    /// The book's version.
    pub version: String,
    /// SHA-256 of the book's bytes, in hex.
    pub sha256: String,
    /// From when on it applies.
    pub effective_at: Timestamp,
    /// When it became known; never after `effective_at`.
    pub known_at: Timestamp,
    /// Who said so, where they gave a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The activation a price rests on, and how long it is in force as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Which activation; 0 before the first: the book of the configuration.
    pub seq: u64,
    /// First instant at which it is in force.
    pub from: Timestamp,
    /// First instant at which another is; absent where none is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl InForce {
    /// Nothing was ever activated.
    pub fn configured() -> Self {
        Self { seq: 0, from: Timestamp::from_ms(0), until: None }
    }

    /// Whether it is in force at an instant.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// Which of two takes the other's place: the one that takes effect later; of two that take
    /// effect at once, the one that became known later.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.from, self.seq).cmp(&(other.from, other.seq))
    }
}

/// The newest activations, in the order in which they take effect.
///
/// ```
/// use farebox::book::{Activation, Timeline};
/// let at = |text: &str| text.parse::<farebox::clock::Timestamp>().unwrap();
/// let of = |seq, version: &str, effective_at: &str| Activation {
///     seq, version: version.into(), sha256: String::new(),
///     effective_at: at(effective_at), known_at: at("2026-11-24T09:00:00Z"), by: None,
/// };
/// let timeline = Timeline::new(vec![of(1, "a", "2026-11-24T09:00:00Z"), of(2, "b", "2026-12-01T00:00:00Z")]);
/// let (active, in_force) = timeline.at(at("2026-11-30T23:59:59.999Z")).unwrap();
/// assert_eq!(active.unwrap().version, "a");
/// assert_eq!(in_force.until, Some(at("2026-12-01T00:00:00Z")));
/// assert_eq!(timeline.at(at("2026-12-01T00:00:00Z")).unwrap().0.unwrap().version, "b");
/// assert!(timeline.at(at("2026-11-01T00:00:00Z")).unwrap().0.is_none()); // the configuration's
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline(Vec<Activation>);

impl Timeline {
    /// From the newest activations, in any order.
    pub fn new(mut activations: Vec<Activation>) -> Self {
        activations.sort_by_key(|activation| (activation.effective_at, activation.seq));
        Self(activations)
    }

    /// What is in force at an instant: an activation, or nothing but the configuration's book.
    /// `None` where the instant is before everything that was read.
    pub fn at(&self, now: Timestamp) -> Option<(Option<&Activation>, InForce)> {
        let next = self.0.iter().position(|activation| activation.effective_at > now);
        let until = next.and_then(|next| self.0.get(next)).map(|next| next.effective_at);
        let before = self.0.get(..next.unwrap_or(self.0.len())).unwrap_or_default();
        if let Some(active) = before.last() {
            let in_force = InForce { seq: active.seq, from: active.effective_at, until };
            return Some((Some(active), in_force));
        }
        let is_whole = self.0.len() < usize::try_from(TIMELINE_MAX).unwrap_or(usize::MAX);
        is_whole.then(|| (None, InForce { until, ..InForce::configured() }))
    }

    /// Activations whose time has not come, the next first.
    pub fn scheduled(&self, now: Timestamp) -> impl Iterator<Item = &Activation> {
        self.0.iter().filter(move |activation| activation.effective_at > now)
    }

    /// Activations whose time has come, the newest first.
    pub fn past(&self, now: Timestamp) -> impl Iterator<Item = &Activation> {
        self.0.iter().rev().filter(move |activation| activation.effective_at <= now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn activation(seq: u64, effective: i64, known: i64) -> Activation {
        Activation {
            seq,
            version: format!("v{seq}"),
            sha256: String::new(),
            effective_at: Timestamp::from_ms(effective),
            known_at: Timestamp::from_ms(known),
            by: None,
        }
    }

    fn seq_at(timeline: &Timeline, now: i64) -> u64 {
        timeline.at(Timestamp::from_ms(now)).unwrap().1.seq
    }

    #[test]
    fn what_takes_effect_later_wins_and_of_two_at_once_what_was_said_later() {
        let mut said = vec![activation(1, 10, 10), activation(2, 30, 11), activation(3, 20, 20)];
        let before = Timeline::new(said.clone());
        assert_eq!([9, 10, 20, 29, 30].map(|now| seq_at(&before, now)), [0, 1, 3, 3, 2]);
        // Taken back: what is in force stays so at the planned instant as well.
        said.push(activation(4, 30, 25));
        let after = Timeline::new(said);
        assert_eq!([10, 20, 29, 30].map(|now| seq_at(&after, now)), [1, 3, 3, 4]);
    }

    #[test]
    fn what_is_in_force_never_goes_back_as_time_passes_and_more_becomes_known() {
        let said = [(10, 10), (50, 12), (20, 20), (50, 30), (40, 40), (60, 41)];
        let said = said.iter().zip(1..).map(|((at, known), seq)| activation(seq, *at, *known));
        let said: Vec<Activation> = said.collect();
        let mut last = InForce::configured();
        for now in 0..70 {
            let now = Timestamp::from_ms(now);
            let known = said.iter().filter(|activation| activation.known_at <= now).cloned();
            let (_, in_force) = Timeline::new(known.collect()).at(now).unwrap();
            assert!(in_force.holds(now), "{in_force:?}");
            assert_ne!(in_force.order(&last), Ordering::Less, "{now}");
            last = in_force;
        }
        assert_eq!(last.seq, 6);
    }

    #[test]
    fn before_all_that_was_read_nothing_is_known_unless_all_was_read() {
        let many = (1..=u64::from(TIMELINE_MAX)).map(|seq| activation(seq, 100, 100)).collect();
        assert!(Timeline::new(many).at(Timestamp::from_ms(99)).is_none());
        let few = Timeline::new(vec![activation(1, 100, 100)]);
        let (none, in_force) = few.at(Timestamp::from_ms(99)).unwrap();
        assert!(none.is_none() && in_force.seq == 0);
        assert_eq!(in_force.until, Some(Timestamp::from_ms(100)));
    }
}

//! When a delivery is tried again, and when it is given up.

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, Timestamp};

/// Tries of one delivery: with the default first pause of 5 s they take 41 hours.
pub const TRIES_MAX: u32 = 10;
/// A delivery that waits longer, behind others of its endpoint, is given up: three days.
pub const DEAD_AFTER_MS: u64 = 259_200_000;
/// Each pause is so many times the one before …
const GROWTH: u32 = 5;
/// … and none is longer than this, what the receiver asks for included: twelve hours.
const PAUSE_MAX: Millis = Millis::from_secs(43_200);

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be sent.
    Pending,
    /// Taken by the receiver.
    Delivered,
    /// Given up; an operator can send it again.
    Dead,
}

impl State {
    /// The word in JSON and storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// What is known of one alert on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Since when it is on its way; anew after a replay.
    pub since: Timestamp,
    /// Tries so far.
    pub tries: u32,
    /// When it was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// What the receiver last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last try failed, in one word; never what the receiver said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// To be sent from now on.
    pub fn new(now: Timestamp) -> Self {
        Self { since: now, tries: 0, tried_at: None, status: None, error: None }
    }
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered so, and asked to be left alone for so many seconds.
    Status(u16, Option<u64>),
    /// No answer, and why in one word.
    Failed(&'static str),
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has arrived.
    Delivered,
    /// Try again then; meanwhile nothing else is sent to this endpoint.
    Again(Timestamp),
    /// Given up.
    Dead,
    /// Given up, and the endpoint is to be sent nothing any more: it says that it is gone.
    Gone,
}

/// Notes a try in `delivery`, and says what follows. `first` is the pause after the first failure;
/// `random` spreads pauses over four fifths to six fifths, so that receivers that were down are not
/// met by everyone at once. Redirects are failures: they are not followed.
pub fn next(
    delivery: &mut Delivery,
    answer: &Answer,
    first: Millis,
    random: u32,
    now: Timestamp,
) -> Next {
    delivery.tries = delivery.tries.saturating_add(1);
    delivery.tried_at = Some(now);
    let (status, asked) = match answer {
        Answer::Status(status, asked) => (Some(*status), *asked),
        Answer::Failed(_) => (None, None),
    };
    delivery.status = status;
    delivery.error = match (answer, status) {
        (_, Some(200..=299)) => None,
        (Answer::Failed(why), _) => Some((*why).to_owned()),
        _ => Some("status".to_owned()),
    };
    match status {
        Some(200..=299) => return Next::Delivered,
        Some(410) => return Next::Gone,
        _ => {}
    }
    if delivery.tries >= TRIES_MAX || now.since(delivery.since) >= DEAD_AFTER_MS {
        return Next::Dead;
    }
    let grown = GROWTH.saturating_pow(delivery.tries.saturating_sub(1));
    let pause = Millis(first.0.saturating_mul(grown)).min(PAUSE_MAX);
    let pause = u64::from(pause.0);
    let spread = pause.saturating_mul(800_u64.saturating_add(u64::from(random % 401))) / 1_000;
    let asked = asked.unwrap_or(0).saturating_mul(1_000).min(u64::from(PAUSE_MAX.0));
    let pause = u32::try_from(spread.max(asked)).unwrap_or(PAUSE_MAX.0);
    Next::Again(now.plus(Millis(pause)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]
    use super::*;

    const FIRST: Millis = Millis::from_secs(5);

    fn failed(delivery: &mut Delivery, answer: &Answer, random: u32, now: u64) -> Option<u64> {
        let now = Timestamp::from_ms(i64::try_from(now).unwrap());
        match next(delivery, answer, FIRST, random, now) {
            Next::Again(at) => Some(at.since(now)),
            Next::Dead => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_grow_fivefold_up_to_half_a_day_and_the_tenth_try_is_the_last() {
        let mut delivery = Delivery::new(Timestamp::START);
        let mut pauses = Vec::new();
        let mut now = 0;
        while let Some(pause) = failed(&mut delivery, &Answer::Status(500, None), 200, now) {
            pauses.push(pause / 1_000);
            now += pause;
        }
        assert_eq!(pauses, [5, 25, 125, 625, 3_125, 15_625, 43_200, 43_200, 43_200]);
        assert_eq!((delivery.tries, delivery.status), (10, Some(500)));
    }

    #[test]
    fn pauses_are_spread_and_never_shorter_than_the_receiver_asks() {
        let of = |answer: Answer, random| {
            failed(&mut Delivery::new(Timestamp::START), &answer, random, 0).unwrap()
        };
        assert_eq!(of(Answer::Failed("timeout"), 0), 4_000);
        assert_eq!(of(Answer::Failed("timeout"), 400), 6_000);
        assert_eq!(of(Answer::Status(429, Some(90)), 0), 90_000);
        assert_eq!(of(Answer::Status(503, Some(1)), 0), 4_000);
        assert_eq!(of(Answer::Status(503, Some(u64::MAX)), 0), 43_200_000);
    }

    #[test]
    fn only_a_success_is_one_a_redirect_is_none_and_gone_is_gone() {
        let of = |status| {
            let mut delivery = Delivery::new(Timestamp::START);
            next(&mut delivery, &Answer::Status(status, None), FIRST, 0, Timestamp::START)
        };
        assert_eq!([of(200), of(204)], [Next::Delivered; 2]);
        assert_eq!(of(410), Next::Gone);
        for status in [301, 307, 400, 401, 404, 500] {
            assert!(matches!(of(status), Next::Again(_)), "{status}");
        }
    }

    #[test]
    fn what_waited_for_three_days_is_given_up() {
        let mut delivery = Delivery::new(Timestamp::START);
        let answer = Answer::Failed("connection");
        assert!(failed(&mut delivery, &answer, 0, DEAD_AFTER_MS - 1).is_some());
        assert!(failed(&mut delivery, &answer, 0, DEAD_AFTER_MS).is_none());
    }
}

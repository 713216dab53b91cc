#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
use super::*;
use crate::clock::{Millis, Timestamp};
use proptest::prelude::*;

const ONE: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "2:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn ring(text: &str) -> Ring {
    Ring::parse(text).unwrap()
}

fn key() -> ApiKey {
    ApiKey::new(Mode::Test, "acme".parse().unwrap(), "k1".parse().unwrap(), [9; 20])
}

#[test]
fn a_minted_key_verifies_and_names_its_customer() {
    let text = key().text(&ring(ONE)).unwrap();
    assert!(text.starts_with("fb_test_acme_k1_"));
    let read = ApiKey::verify(&text, &ring(ONE)).unwrap();
    assert_eq!(read.customer.as_str(), "acme");
    assert_eq!(read.secret_sha256(), key().secret_sha256());
}

#[test]
fn rotation_keeps_old_keys_good_until_their_secret_is_removed() {
    let old = key().text(&ring(ONE)).unwrap();
    let both = ring(&format!("{ONE},{TWO}"));
    assert!(ApiKey::verify(&old, &both).is_ok());
    assert!(ApiKey::verify(&key().text(&both).unwrap(), &ring(TWO)).is_ok());
    assert_eq!(ApiKey::verify(&old, &ring(TWO)).unwrap_err(), Denied::Invalid);
}

#[test]
fn a_key_is_not_a_session_nor_the_other_way_round() {
    let session = Session::new(
        "acme".parse().unwrap(),
        Rights::Read,
        Timestamp::from_ms(0),
        Millis::from_secs(60),
    );
    let text = session.text(&ring(ONE)).unwrap();
    assert!(ApiKey::verify(&text, &ring(ONE)).is_err());
    let key = key().text(&ring(ONE)).unwrap();
    assert!(Session::verify(&key, &ring(ONE), Timestamp::from_ms(1)).is_err());
}

#[test]
fn a_session_ends_at_its_time_and_lives_at_most_an_hour() {
    let now = Timestamp::from_ms(1_000);
    let life = Millis::from_secs(7_200);
    let session = Session::new("acme".parse().unwrap(), Rights::Read, now, life);
    assert_eq!(session.expires.since(now), 3_600_000);
    let text = session.text(&ring(ONE)).unwrap();
    let last = Timestamp::from_ms(session.expires.ms() - 1);
    assert_eq!(Session::verify(&text, &ring(ONE), last).unwrap(), session);
    assert_eq!(Session::verify(&text, &ring(ONE), session.expires), Err(Denied::Expired));
}

#[test]
fn s7_weak_or_missing_secrets_are_refused() {
    assert_eq!(Ring::parse("").unwrap_err(), RingError::Empty);
    assert_eq!(Ring::parse("1:abcd").unwrap_err(), RingError::TooShort);
    assert_eq!(Ring::parse(&format!("{ONE},{ONE}")).unwrap_err(), RingError::Malformed);
    assert_eq!(Ring::parse(&format!("1:{}", "00".repeat(32))).unwrap_err(), RingError::Placeholder);
    assert_eq!(Ring::parse("secret").unwrap_err(), RingError::Malformed);
    assert!(!format!("{:?}", ring(ONE)).contains("0102"));
}

proptest! {
    #[test]
    fn s14_changing_any_character_of_a_key_breaks_it(at in 0_usize..130, to in "[a-z0-9_]") {
        let text = key().text(&ring(ONE)).unwrap();
        let at = at % text.len();
        let mut changed = text.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != text);
        prop_assert!(ApiKey::verify(&changed, &ring(ONE)).is_err());
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}") {
        let _ = ApiKey::verify(&text, &ring(ONE));
        let _ = Session::verify(&text, &ring(ONE), Timestamp::from_ms(0));
        let _ = Ring::parse(&text);
    }
}

//! Amounts at their smallest and largest, by the numbers of `docs/faults.md`.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use farebox::book::{Rate, Rates};
use farebox::money::Exact;
use farebox::rating;
use farebox::wire::usage::{Meter, Provenance, Usage};

fn tokens(count: u64) -> Usage {
    let mut usage = Usage::default();
    usage.set(Meter::OutputTotal, count.into(), Provenance::Reported);
    usage
}

/// So much for a million tokens.
fn rates(amount: &str) -> Rates {
    let (amount, per) = (amount.parse().unwrap(), 1_000_000.into());
    Rates([(Meter::OutputTotal, Rate { amount, per })].into())
}

fn amount(count: u64, rates: &Rates) -> Exact {
    rating::rate(&tokens(count), rates).unwrap().amount
}

#[test]
fn f65_ten_thousand_requests_of_a_token_cost_what_one_of_ten_thousand_does() {
    for price in ["0.0375", "0.000001", "15", "0.33333333"] {
        let rates = rates(price);
        let each = amount(1, &rates);
        assert!(!each.is_zero(), "a token at {price} a million is not free");
        assert_eq!(Exact::sum((0..10_000).map(|_| each)), Ok(amount(10_000, &rates)), "{price}");
    }
    assert!(amount(1, &rates("0")).is_zero(), "at a price of zero it is");
}

#[test]
fn r12_counts_beyond_32_and_53_bits_are_exact() {
    let rates = rates("1000000");
    for power in [31, 32, 53, 63] {
        for count in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
            assert_eq!(amount(count, &rates).to_string(), count.to_string());
        }
    }
    assert_eq!(amount(u64::MAX, &rates).to_string(), u64::MAX.to_string());
}

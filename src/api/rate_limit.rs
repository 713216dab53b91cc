//! `RateLimit` and `RateLimit-Policy` (the IETF draft of HTTPAPI): structured fields, so that a
//! client can slow down before it is refused.

use crate::ledger::{Measure, Standing};
use crate::money::{Exact, Rounding};

/// Largest integer of a structured field (RFC 8941).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// The limits themselves: name, quota, unit unless it is requests, and the window's length in
/// seconds where it has one. Money is in millionths of the currency; the fields know integers only.
///
/// ```
/// use farebox::{api, ledger::{Measure, Standing}};
/// let standing = Standing {
///     id: "burst".parse().unwrap(), measure: Measure::Requests, limit: 60.into(),
///     remaining: 12.into(), window_seconds: Some(60), reset_seconds: Some(31),
/// };
/// let limits = [standing];
/// assert_eq!(api::rate_limit_policy(&limits, "USD").unwrap(), r#""burst";q=60;w=60"#);
/// assert_eq!(api::rate_limit(&limits).unwrap(), r#""burst";r=12;t=31"#);
/// ```
pub fn rate_limit_policy(standings: &[Standing], currency: &str) -> Option<String> {
    let policy = |standing: &Standing| {
        let mut item = format!("\"{}\";q={}", standing.id, whole(standing, standing.limit));
        match standing.measure {
            Measure::Requests => {}
            Measure::Tokens => item.push_str(";qu=\"tokens\""),
            Measure::Concurrency => item.push_str(";qu=\"concurrent-requests\""),
            Measure::Money => {
                item.push_str(&format!(";qu=\"micro-{}\"", currency.to_ascii_lowercase()));
            }
        }
        if let Some(seconds) = standing.window_seconds {
            item.push_str(&format!(";w={seconds}"));
        }
        item
    };
    joined(&standings.iter().map(policy).collect::<Vec<_>>())
}

/// What is left of them, and in how many seconds they start anew.
pub fn rate_limit(standings: &[Standing]) -> Option<String> {
    let left = |standing: &Standing| {
        let mut item = format!("\"{}\";r={}", standing.id, whole(standing, standing.remaining));
        if let Some(seconds) = standing.reset_seconds {
            item.push_str(&format!(";t={seconds}"));
        }
        item
    };
    joined(&standings.iter().map(left).collect::<Vec<_>>())
}

/// Both fields, as headers of an answer.
pub fn limit_headers(standings: &[Standing], currency: &str) -> Vec<(&'static str, String)> {
    let policy = rate_limit_policy(standings, currency);
    let named = [("ratelimit-policy", policy), ("ratelimit", rate_limit(standings))];
    named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn joined(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

/// Rounded down, never below zero: what is promised is there.
fn whole(standing: &Standing, amount: Exact) -> u64 {
    let per_unit = if standing.measure == Measure::Money { 1_000_000 } else { 1 };
    let scaled = amount.max(Exact::ZERO).times(Exact::from(per_unit));
    let floor = scaled.and_then(|scaled| scaled.rounded(0, Rounding::Down));
    floor.ok().and_then(Exact::to_u64).map_or(INTEGER_MAX, |whole| whole.min(INTEGER_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn money_is_told_in_whole_millionths_rounded_down_and_an_overdraft_as_nothing() {
        let standing = |remaining: &str| Standing {
            id: "month".parse().unwrap(),
            measure: Measure::Money,
            limit: "500".parse().unwrap(),
            remaining: remaining.parse().unwrap(),
            window_seconds: Some(2_592_000),
            reset_seconds: Some(7),
        };
        let policy = r#""month";q=500000000;qu="micro-eur";w=2592000"#;
        assert_eq!(rate_limit_policy(&[standing("1")], "EUR").unwrap(), policy);
        assert_eq!(rate_limit(&[standing("0.0000019")]).unwrap(), r#""month";r=1;t=7"#);
        assert_eq!(rate_limit(&[standing("-3")]).unwrap(), r#""month";r=0;t=7"#);
        assert_eq!(
            rate_limit(&[standing("1000000000000")]).unwrap(),
            r#""month";r=999999999999999;t=7"#
        );
        assert_eq!(rate_limit(&[]), None);
    }
}

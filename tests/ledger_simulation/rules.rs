//! Limits as operators and customers set them: of every scope, measure and window.

use farebox::clock::Window;
use farebox::ledger::{LimitRule, Measure, Raise, Scope, Strictness};
use farebox::money::Exact;

use super::auditor::exact;
use super::random::Random;
use super::standing::ZONES;
use super::workload::{KEYS, MODELS, OUTPUT_MAX, OUTPUT_UNITS, TAGS};

const WINDOWS: [Window; 6] =
    [Window::Minute, Window::Hour, Window::Day, Window::Week, Window::Month, Window::Lifetime];

/// The operator's: some of the customer's windows, and some of narrower scope.
pub fn limits(random: &mut Random) -> Vec<LimitRule> {
    let mut limits = Vec::new();
    for (id, window) in [("day", Window::Day), ("month", Window::Month), ("all", Window::Lifetime)]
    {
        if !random.chance(25) {
            let measure = if random.chance(70) { Measure::Money } else { Measure::Tokens };
            limits.push(rule(random, id, Scope::Customer, measure, window));
        }
    }
    for id in ["n0", "n1", "n2"].iter().take(random.index(4)) {
        limits.push(any(random, id));
    }
    limits
}

/// The customer's own.
pub fn caps(random: &mut Random) -> Vec<LimitRule> {
    ["c0", "c1"].iter().take(random.index(3)).map(|id| any(random, id)).collect()
}

fn any(random: &mut Random, id: &str) -> LimitRule {
    let scopes = [Scope::Customer, Scope::Key, Scope::Model, Scope::Tag, Scope::EndUser];
    let measures = [Measure::Money, Measure::Tokens, Measure::Requests, Measure::Concurrency];
    let (scope, measure) = (scopes[random.index(5)], measures[random.index(4)]);
    let window = WINDOWS[random.index(WINDOWS.len())];
    rule(random, id, scope, measure, window)
}

fn rule(
    random: &mut Random,
    id: &str,
    scope: Scope,
    measure: Measure,
    window: Window,
) -> LimitRule {
    let kind = if random.chance(80) { Strictness::Hard } else { Strictness::Soft };
    let limit = size(random, measure, window);
    let value = match scope {
        Scope::Key => Some(KEYS[random.index(KEYS.len())]),
        Scope::Model => Some(MODELS[random.index(MODELS.len())]),
        Scope::Tag => Some(TAGS[random.index(TAGS.len())]),
        Scope::Customer | Scope::EndUser => None,
    };
    let later = farebox::clock::Timestamp::from_ms(
        1_796_000_000_000 + i64::try_from(random.below(100_000_000)).unwrap(),
    );
    let raise =
        random.chance(15).then(|| Raise { limit: size(random, measure, window), until: later });
    LimitRule {
        scope,
        measure,
        value: value.filter(|_| random.chance(40)).map(ToOwned::to_owned),
        required: matches!(scope, Scope::Tag | Scope::EndUser) && random.chance(10),
        window: (measure != Measure::Concurrency).then_some(window),
        zone: random.chance(40).then(|| ZONES[random.index(ZONES.len())].0.to_owned()),
        raise,
        ..LimitRule::new(id.parse().unwrap(), window, kind, limit)
    }
}

/// How much: a few requests' worth, more in longer windows; now and then less than one may need.
fn size(random: &mut Random, measure: Measure, window: Window) -> Exact {
    let generosity = (1 + random.below(12)) * if random.chance(30) { 10 } else { 1 };
    let large = if random.chance(90) { generosity } else { 0 };
    let longer = match window {
        Window::Minute | Window::Hour | Window::Day => 1,
        Window::Week | Window::Month | Window::Period => 4,
        Window::Lifetime => 1 + random.below(40),
    };
    let some = longer * large * OUTPUT_MAX + random.below(OUTPUT_MAX);
    match measure {
        Measure::Money => exact(i128::from(some * OUTPUT_UNITS)),
        Measure::Tokens => Exact::from(some),
        Measure::Requests => Exact::from(longer * large * 2),
        Measure::Concurrency => Exact::from(large),
    }
}

//! Limits as operators and customers set them: of every scope, measure and window.

use farebox::clock::{Timestamp, Window};
use farebox::ledger::{LimitRule, Measure, Raise, Recurrence, Scope, Strictness};
use farebox::money::Exact;

use super::auditor::exact;
use super::random::Random;
use super::standing::ZONES;
use super::workload::{KEYS, MODELS, OUTPUT_MAX, OUTPUT_UNITS, TAGS};

const WINDOWS: [Window; 7] = [
    Window::Minute,
    Window::Hour,
    Window::Day,
    Window::Week,
    Window::Month,
    Window::Period,
    Window::Lifetime,
];

/// The operator's: some of the customer's windows, and some of narrower scope.
pub fn limits(random: &mut Random, now: Timestamp) -> Vec<LimitRule> {
    let mut limits = Vec::new();
    for (id, window) in [("day", Window::Day), ("month", Window::Month), ("all", Window::Lifetime)]
    {
        if !random.chance(25) {
            let measure = if random.chance(70) { Measure::Money } else { Measure::Tokens };
            limits.push(rule(random, id, Scope::Customer, measure, window, now));
        }
    }
    for id in ["n0", "n1", "n2"].iter().take(random.index(4)) {
        limits.push(any(random, id, now));
    }
    limits
}

/// The customer's own.
pub fn caps(random: &mut Random, now: Timestamp) -> Vec<LimitRule> {
    ["c0", "c1"].iter().take(random.index(3)).map(|id| any(random, id, now)).collect()
}

fn any(random: &mut Random, id: &str, now: Timestamp) -> LimitRule {
    let scopes = [Scope::Customer, Scope::Key, Scope::Model, Scope::Tag, Scope::EndUser];
    let measures = [Measure::Money, Measure::Tokens, Measure::Requests, Measure::Concurrency];
    let (scope, measure) = (scopes[random.index(5)], measures[random.index(4)]);
    let window = WINDOWS[random.index(WINDOWS.len())];
    rule(random, id, scope, measure, window, now)
}

fn rule(
    random: &mut Random,
    id: &str,
    scope: Scope,
    measure: Measure,
    window: Window,
    now: Timestamp,
) -> LimitRule {
    let kind = if random.chance(80) { Strictness::Hard } else { Strictness::Soft };
    let limit = size(random, measure, window);
    let value = match scope {
        Scope::Key => Some(KEYS[random.index(KEYS.len())]),
        Scope::Model => Some(MODELS[random.index(MODELS.len())]),
        Scope::Tag => Some(TAGS[random.index(TAGS.len())]),
        Scope::Customer | Scope::EndUser => None,
    };
    // Some raises end soon, so that what comes at their end is met.
    let life = if random.chance(50) { random.below(300_000) } else { random.below(100_000_000) };
    let later = Timestamp::from_ms(now.ms() + i64::try_from(life).unwrap());
    // A billing period begins at some quarter of an hour of the last four weeks.
    let is_period = measure != Measure::Concurrency && window == Window::Period;
    let ago = i64::try_from(random.below(27 * 96)).unwrap() * 900_000;
    let mut anchor = Timestamp::from_ms(now.ms() - now.ms() % 900_000 - ago);
    // And on a day that every month has, in any zone.
    while !(2..28).contains(&anchor.to_string()[8..10].parse().unwrap()) {
        anchor = Timestamp::from_ms(anchor.ms() - 3 * 86_400_000);
    }
    let every = [None, Some(Recurrence::Day), Some(Recurrence::Week), Some(Recurrence::Month)];
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
        anchor: is_period.then_some(anchor),
        every: every[random.index(4)].filter(|_| is_period),
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

//! Whatever happens, and however often: each threshold is told once.

use proptest::prelude::*;

use super::super::harness::World;
use crate::clock::Timestamp;
use crate::ledger::*;
use crate::money::Exact;

/// What a random world does next.
#[derive(Debug, Clone)]
enum Step {
    Settle { amount: u32, again: bool, key: bool },
    Expire { floor: u32, late: Option<u32> },
    Limit(u32),
    Hours(u32),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u32..40, any::<bool>(), any::<bool>())
            .prop_map(|(amount, again, key)| Step::Settle { amount, again, key }),
        1 => (0_u32..20, prop::option::of(0_u32..20))
            .prop_map(|(floor, late)| Step::Expire { floor, late }),
        1 => (0_u32..4).prop_map(|n| Step::Limit(50 + 50 * n)),
        2 => (1_u32..40).prop_map(Step::Hours),
        1 => Just(Step::Crash),
    ]
}

/// A quarter of the usual number: each case is a whole life, loaded anew at every step in half of them.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 4, ..usual }
}

proptest! {
    #![proptest_config(config())]
    /// Over random settles, repetitions, expiries, corrections, changes of the limit and
    /// restarts: a threshold is told exactly once for each limit, amount and window in which it
    /// was ever reached, and never where it was not.
    #[test]
    fn every_threshold_is_told_exactly_once_in_a_window(
        steps in prop::collection::vec(step(), 1..60), restarts in any::<bool>(),
    ) {
        let mut world = World::new(restarts);
        let mut limit = 100_u32;
        world.line(&rules(limit));
        // What should be told: worked out anew from the limits as they stand after each step; a
        // key's, where something of the key has ended.
        let mut reached = std::collections::BTreeSet::new();
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Settle { amount, again, key } => {
                    if *key { world.line("key k k"); }
                    let (name, key) = if *key { ("k", " key=k secret=k") } else { ("main", "") };
                    let held = world.line(&format!("reserve a{n} {amount}{key}"));
                    let times = if held.starts_with("held") { 1 + usize::from(*again) } else { 0 };
                    for _ in 0..times { world.line(&format!("settle a{n} {amount}")); }
                    if times > 0 { note_key(&mut world, name, &mut reached); }
                }
                Step::Expire { floor, late } => {
                    let held = world.line(&format!("reserve e{n} {floor} floor={floor}"));
                    let held = held.starts_with("held");
                    world.line("wait 61s");
                    world.line("sweep");
                    note(&mut world, &mut reached);
                    if held { note_key(&mut world, "main", &mut reached); }
                    if let Some(late) = late { world.line(&format!("settle e{n} {late}")); }
                    if held { note_key(&mut world, "main", &mut reached); }
                }
                Step::Limit(to) => {
                    limit = *to;
                    world.line(&rules(limit));
                }
                Step::Hours(hours) => drop(world.line(&format!("wait {}s", hours * 3_600))),
                Step::Crash => world.crash(),
            }
            note(&mut world, &mut reached);
        }
        let mut told = Vec::new();
        for (alert, _) in &world.store.alerts.raised {
            if let What::Limit { percent, limit } = &alert.what {
                let id = format!("{}:{}", limit.id, limit.value.as_deref().unwrap_or_default());
                told.push((id, limit.window_start, limit.limit, *percent));
            }
        }
        let count = told.len();
        told.sort();
        told.dedup();
        prop_assert_eq!(count, told.len(), "told twice");
        prop_assert_eq!(told, reached.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(world.store.alerts.again, 0, "memory knows what storage knows");
    }
}

fn rules(limit: u32) -> String {
    format!(
        "limits day=day/soft/{limit} month=month/hard/{} key=day/soft/{},scope=key",
        limit * 8,
        limit / 5
    )
}

type Reached = std::collections::BTreeSet<(String, Timestamp, Exact, u32)>;

fn note(world: &mut World, reached: &mut Reached) {
    let Reply::Status(snapshot) = world.apply(&Command::Status).unwrap() else { panic!() };
    note_limits(&snapshot.limits, reached);
}

/// A key's limit is told of when something of the key ends.
fn note_key(world: &mut World, key: &str, reached: &mut Reached) {
    let party = Party { scope: Scope::Key, value: key.to_owned() };
    let Reply::Standing(limits) = world.apply(&Command::Standing(party)).unwrap() else { panic!() };
    note_limits(&limits, reached);
}

fn note_limits(limits: &[LimitView], reached: &mut Reached) {
    for limit in limits {
        for percent in [50_u32, 80, 100, 150, 200] {
            let hundred = limit.settled.times(100.into()).unwrap();
            let of = limit.limit.times(Exact::from(u64::from(percent))).unwrap();
            if hundred >= of && limit.settled > Exact::ZERO {
                let value = limit.value.as_deref().unwrap_or_default();
                let name = format!("{}:{value}", limit.id);
                reached.insert((name, limit.window_start, limit.limit, percent));
            }
        }
    }
}

//! The ledger under crashes, lost, late and repeated messages, vanished clients and an unsteady
//! clock, with an auditor beside it that knows every answer beforehand.
//!
//! A run is its seed. `make simulate` runs a million, `SEEDS=…` so many; a failure prints its seed
//! and the command that replays it with a trace. Which invariant is checked where stands in
//! `docs/simulator.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::format_push_string)]

mod agreed;
mod auditor;
mod batches;
mod checks;
mod network;
mod random;
mod rules;
mod simulation;
mod standing;
mod store;
mod words;
mod workload;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use simulation::Simulation;

/// Seeds of an ordinary test run: some seconds unoptimised, a minute or so optimised.
const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 10_000 };
/// So many runs meet everything of [`EVENTS`].
const ENOUGH: u64 = 5_000;
/// Seeds from one word of progress to the next.
const PROGRESS: u64 = 10_000;

#[test]
fn no_crash_and_no_repetition_ever_changes_what_is_owed() {
    let (first, seeds) = (number("FAREBOX_SIM_FIRST", 1), number("FAREBOX_SIM_SEEDS", SEEDS));
    let is_traced = std::env::var_os("FAREBOX_SIM_TRACE").is_some();
    let (next, has_failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let (met, began) = (Mutex::new(BTreeMap::new()), Instant::now());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || has_failed.load(Ordering::Relaxed) {
                return;
            }
            let run = std::panic::catch_unwind(|| Simulation::new(seed, is_traced).run());
            let Ok(events) = run else { return has_failed.store(true, Ordering::Relaxed) };
            let mut met = met.lock().unwrap();
            events.into_iter().for_each(|(event, n)| *met.entry(event).or_insert(0_u64) += n);
            let done = seed - first + 1;
            if done.is_multiple_of(PROGRESS) {
                let seconds = began.elapsed().as_secs();
                eprintln!("{done} of {seeds} seeds in {seconds} s");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    assert!(!has_failed.into_inner(), "a run failed; its seed stands above");
    let met = met.into_inner().unwrap();
    eprintln!("{met:#?}");
    eprintln!("{seeds} seeds in {} s, none failed", began.elapsed().as_secs());
    if seeds >= ENOUGH {
        let never: Vec<_> = EVENTS.iter().filter(|event| !met.contains_key(**event)).collect();
        assert!(never.is_empty(), "never met: {never:?}");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// What a workload must come across to be worth its name.
const EVENTS: &[&str] = &[
    "closed",
    "conflict",
    "expired",
    "held",
    "refused AttemptConflict",
    "refused CurrencyMismatch",
    "refused InFlightBudgetExhausted",
    "refused InvalidKey",
    "refused KeyDisabled",
    "refused RequestExceedsLimit",
    "refused SpendLimitExceeded",
    "refused RateLimitExceeded",
    "refused TagRequired",
    "refused EndUserRequired",
    "refused KeyFrozen",
    "refused CustomerFrozen",
    "refused IdempotencyKeyReused",
    "refused RequestInProgress",
    "refused RequestCompleted",
    "replayed",
    "unknown",
    "invalid:",
    "a hold repeated",
    "a job parked",
    "a plan put",
    "a call that was charged",
    "a call that was included",
    "a late correction",
    "a sweep that left some",
    "an overage",
    "stale",
    "a clock that went back",
    "a clock an hour off",
    "an attempt without a hold",
    "a batch opened",
    "a line charged",
    "a line charged late",
    "a batch over",
    "a message twice",
    "a message late",
    "an answer lost",
    "a crash after writing",
    "a crash before writing",
];

//! What the ledger's state machine costs by itself: no storage, no JSON, one thread.
//!
//! `make bench-ledger`. Figures are in docs/benchmarks.md.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::float_arithmetic)]
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::Instant;

use farebox::auth::{Mode, Ring};
use farebox::book::{Rate, Rates, Tiers};
use farebox::clock::{Millis, Timestamp};
use farebox::ids::Id;
use farebox::ledger::{
    Admin, Allows, Command, Context, Ledger, LimitRule, Loaded, Pinned, Prior, Reply, Reserve,
    Scopes, Settle,
};
use farebox::meter::Outcome;
use farebox::record::{Admitted, Digest};
use farebox::wire::usage::{Meter, Provenance, Usage};

/// Requests under way at once in one round.
const ROUND: u32 = 1_000;
const ROUNDS: u32 = 60;
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Limits that are never reached: what is measured is the looking.
const NO_LIMITS: &str = "[]";
const ONE_LIMIT: &str =
    r#"[{ "id": "month", "window": "month", "kind": "hard", "limit": "1000000000" }]"#;
const EIGHT_LIMITS: &str = r#"[
  { "id": "month", "window": "month", "kind": "hard", "limit": "1000000000" },
  { "id": "day", "window": "day", "zone": "Europe/Berlin", "kind": "soft", "limit": "1000000000" },
  { "id": "rpm", "window": "minute", "measure": "requests", "kind": "hard", "limit": "1000000000" },
  { "id": "par", "measure": "concurrency", "kind": "hard", "limit": "1000000" },
  { "id": "key", "scope": "key", "window": "month", "kind": "hard", "limit": "1000000000" },
  { "id": "model", "scope": "model", "window": "day", "kind": "hard", "limit": "1000000000" },
  { "id": "tag", "scope": "tag", "window": "day", "measure": "tokens", "kind": "hard", "limit": "1000000000" },
  { "id": "tpm", "scope": "key", "window": "minute", "measure": "tokens", "kind": "hard", "limit": "1000000000" }
]"#;

struct Bench {
    ledger: Ledger,
    ring: Ring,
    now: Timestamp,
}

impl Bench {
    fn new(limits: &str) -> Self {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let ring = Ring::parse(RING).unwrap();
        let mut bench = Self { ledger: Ledger::load(Loaded::default(), now).unwrap(), ring, now };
        let limits: Vec<LimitRule> = serde_json::from_str(limits).unwrap();
        let (customer, currency) = ("acme".parse().unwrap(), "USD".to_owned());
        let allows = Allows::default();
        bench.apply(&Command::Admin(Admin::PutCustomer {
            customer,
            currency,
            limits,
            zone: None,
            allows: allows.clone(),
        }));
        bench.apply(&Command::Admin(Admin::PutKey {
            key_id: "main".parse().unwrap(),
            secret_sha256: Digest::of(&[b"main"]),
            label: String::new(),
            expires_at: None,
            allows,
        }));
        bench
    }

    fn apply(&mut self, command: &Command) -> Reply {
        let mut prior = Prior::default();
        // As the shell does before each command. Nothing is in storage here.
        for party in self.ledger.needs(command, &prior, self.now) {
            prior.parties.insert(party, farebox::ledger::PartyRows::default());
        }
        let context = Context {
            now: self.now,
            random: [7; 32],
            record_ring: &self.ring,
            hold_ttl: Millis::from_secs(86_400),
            prior,
        };
        let outcome = self.ledger.apply(command, &context).unwrap();
        black_box(outcome.rows);
        outcome.reply
    }

    /// The time of one of these commands, in nanoseconds.
    fn time(&mut self, commands: &[Command], check: fn(&Reply) -> bool) -> f64 {
        let start = Instant::now();
        for command in commands {
            let reply = self.apply(black_box(command));
            assert!(check(&reply), "{reply:?}");
        }
        start.elapsed().as_nanos() as f64 / commands.len() as f64
    }
}

fn reserve(now: Timestamp, number: u32, amount: &str) -> Reserve {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    let id = Id::new(now, random);
    let rate = |amount: &str| Rate { amount: amount.parse().unwrap(), per: 1_000_000.into() };
    Reserve {
        attempt_id: id,
        request_id: id,
        secret_sha256: Digest::of(&[b"main"]),
        admitted: Admitted {
            key_id: "main".parse().unwrap(),
            mode: Mode::Live,
            received_at: now,
            endpoint: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            stream: true,
            features: Vec::new(),
            service_tier: None,
            region: None,
            end_user: None,
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
            held: amount.parse().unwrap(),
        },
        floor: "0.00001".parse().unwrap(),
        pinned: Pinned {
            provider: "openai".into(),
            upstream: "openai".into(),
            rates: Rates(
                [(Meter::InputUncached, rate("0.15")), (Meter::OutputTotal, rate("0.6"))].into(),
            ),
            tiers: Tiers::default(),
            context: Vec::new(),
            cost: None,
            below_margin: false,
            input_least: 60,
        },
        worst: None,
        end_user: None,
        scopes: Scopes {
            model: Some("gpt-4o-mini".into()),
            tag: Some("team-a".into()),
            tokens: Some(1_100.into()),
        },
        once: None,
        in_force: None,
        again: false,
    }
}

fn settle(attempt_id: Id, now: Timestamp) -> Settle {
    let mut usage = Usage::default();
    usage.report(Meter::InputTotal, Some(70.into()));
    usage.report(Meter::OutputTotal, Some(300.into()));
    usage.complete_input();
    usage.set(Meter::Requests, 1.into(), Provenance::Counted);
    Settle {
        attempt_id,
        usage,
        outcome: Outcome::Complete,
        upstream_status: Some(200),
        error_class: None,
        served_model: Some("gpt-4o-mini-2024-07-18".into()),
        served_tier: None,
        suspect: false,
        served_other: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        first_byte_at: Some(now),
        finished_at: now,
    }
}

fn run(name: &str, limits: &str) {
    let mut bench = Bench::new(limits);
    let now = bench.now;
    let (mut reserves, mut renews, mut settles, mut refusals) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let ids: Vec<u32> = (0..ROUND).map(|n| round * ROUND + n).collect();
        let asked: Vec<Reserve> = ids.iter().map(|n| reserve(now, *n, "0.001")).collect();
        let each = |make: &dyn Fn(&Reserve) -> Command| asked.iter().map(make).collect::<Vec<_>>();
        let held = |reply: &Reply| matches!(reply, Reply::Held { .. });
        let some = each(&|reserve| Command::Reserve(Box::new(reserve.clone())));
        reserves.push(bench.time(&some, held));
        let some = each(&|r| Command::Renew { attempt_id: r.attempt_id, floor: r.floor });
        renews.push(bench.time(&some, held));
        let some = each(&|r| Command::Settle(Box::new(settle(r.attempt_id, now))));
        settles.push(bench.time(&some, |reply| matches!(reply, Reply::Closed { .. })));
        if limits != NO_LIMITS {
            let too_much = |n: &u32| Box::new(reserve(now, n + 1_000_000_000, "2000000000"));
            let some: Vec<Command> = ids.iter().map(|n| Command::Reserve(too_much(n))).collect();
            refusals.push(bench.time(&some, |reply| matches!(reply, Reply::Refused(_))));
        }
    }
    println!("{name}");
    for (what, mut times) in [
        ("reserve", reserves),
        ("renew", renews),
        ("settle, record made and signed", settles),
        ("reserve refused", refusals),
    ] {
        times.sort_by(f64::total_cmp);
        let Some(median) = times.get(times.len() / 2) else { continue };
        let (best, per_second) = (times[0], 1e9 / median);
        println!("  {what:32} {median:>7.0} ns ({per_second:>9.0} a second), at best {best:.0} ns");
    }
}

fn main() {
    run("no limits", NO_LIMITS);
    run("one limit", ONE_LIMIT);
    run("eight limits of four scopes", EIGHT_LIMITS);
}

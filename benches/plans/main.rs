//! How many reserves and settles a ledger does in a second: without a plan, with one, and with credit.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![allow(clippy::cast_precision_loss)]

use std::time::Instant;

use farebox::auth::{Mode, Ring};
use farebox::book::{Rate, Rates, Tiers};
use farebox::clock::{Millis, Timestamp};
use farebox::ids::Id;
use farebox::ledger::{
    Admin, Allows, Command, Context, Ledger, Loaded, Pinned, Prior, PutPlan, Reply, Reserve, Rest,
    Scopes, Settle, When,
};
use farebox::meter::Outcome;
use farebox::money::Exact;
use farebox::quote::{AtMost, Worst};
use farebox::record::{Admitted, Digest};
use farebox::wire::usage::{Meter, Provenance, Usage};

const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PAIRS: u32 = 20_000;
const PLAN: &str = r#"{"format": "farebox-plan-1", "plan": "p", "version": "1", "name": "P",
    "currency": "USD",
    "allowances": [{"id": "included", "meter": "api_calls", "quantity": "1000"}],
    "charges": [
        {"id": "calls", "meter": "api_calls",
         "charge": {"model": "package", "package_size": "1000", "price_per_package": "0.1"}},
        {"id": "output", "meter": "output_total", "charge": {"model": "graduated", "tiers": [
            {"up_to": "1000000", "unit_price": "0.000001"},
            {"up_to": null, "unit_price": "0.0000005"}]}}]}"#;

struct World {
    ledger: Ledger,
    ring: Ring,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let now = "2026-11-23T22:00:00Z".parse().unwrap();
        let ledger = Ledger::load(Loaded::default(), now).unwrap();
        let mut world = Self { ledger, ring: Ring::parse(RING).unwrap(), now };
        world.admin(Admin::PutCustomer {
            customer: "acme".parse().unwrap(),
            currency: "USD".into(),
            limits: Vec::new(),
            zone: None,
            allows: Allows::default(),
        });
        let (key_id, secret_sha256) = ("main".parse().unwrap(), Digest::of(&[b"main"]));
        world.admin(Admin::PutKey {
            key_id,
            secret_sha256,
            label: String::new(),
            expires_at: None,
            allows: Allows::default(),
        });
        world
    }

    fn admin(&mut self, admin: Admin) {
        assert_eq!(self.apply(&Command::Admin(admin)), Reply::Done);
    }

    fn apply(&mut self, command: &Command) -> Reply {
        let context = Context {
            now: self.now,
            random: [7; 32],
            record_ring: &self.ring,
            hold_ttl: Millis::from_secs(60),
            prior: Prior::default(),
        };
        self.ledger.apply(command, &context).unwrap().reply
    }

    fn terms(&mut self, plan: Option<&str>, prepaid: bool) {
        self.admin(Admin::PutPlan(Box::new(PutPlan {
            plan: plan.map(str::to_owned),
            from: When::Now,
            zone: None,
            anchor: None,
            rest: Rest::Book,
            prepaid,
            overdraft: Exact::ZERO,
        })));
    }

    fn run(&mut self, what: &str) {
        let start = Instant::now();
        for nth in 0..PAIRS {
            let [a, b, c, d] = nth.to_be_bytes();
            let id = Id::new(self.now, [0, 0, 0, 0, 0, 0, a, b, c, d]);
            let held = self.apply(&reserve(id));
            assert!(matches!(held, Reply::Held { .. }), "{held:?}");
            assert!(matches!(self.apply(&settle(id, self.now)), Reply::Closed { .. }));
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}: {:.0} operations a second", f64::from(2 * PAIRS) / seconds);
    }
}

fn reserve(id: Id) -> Command {
    let rate = |amount: &str| Rate { amount: amount.parse().unwrap(), per: 1_000_000.into() };
    let rates = [(Meter::InputUncached, rate("0.15")), (Meter::OutputTotal, rate("0.6"))];
    let at_most = |meter, quantity: u64, amount: &str| AtMost {
        meter,
        quantity: Some(quantity.into()),
        amount: amount.parse().unwrap(),
    };
    Command::Reserve(Box::new(Reserve {
        attempt_id: id,
        request_id: id,
        secret_sha256: Digest::of(&[b"main"]),
        admitted: Admitted {
            key_id: "main".parse().unwrap(),
            mode: Mode::Live,
            received_at: "2026-11-23T22:00:00Z".parse().unwrap(),
            endpoint: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            stream: false,
            features: Vec::new(),
            service_tier: None,
            region: None,
            end_user: None,
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
            held: "0.00075".parse().unwrap(),
        },
        floor: "0.00015".parse().unwrap(),
        pinned: Pinned {
            provider: "openai".into(),
            upstream: "openai".into(),
            rates: Rates(rates.into()),
            tiers: Tiers::default(),
            context: Vec::new(),
            cost: None,
            below_margin: false,
            input_least: 900,
        },
        worst: Some(Worst {
            model: "gpt-4o-mini".into(),
            most: vec![
                at_most(Meter::InputTotal, 1_000, "0.00015"),
                at_most(Meter::OutputTotal, 1_000, "0.0006"),
                at_most(Meter::Requests, 1, "0"),
            ],
            batch: Vec::new(),
        }),
        in_force: None,
        end_user: None,
        scopes: Scopes { model: Some("gpt-4o-mini".into()), ..Scopes::default() },
        once: None,
        again: false,
    }))
}

fn settle(attempt_id: Id, finished_at: Timestamp) -> Command {
    let mut usage = Usage::default();
    usage.report(Meter::InputTotal, Some(900.into()));
    usage.report(Meter::OutputTotal, Some(300.into()));
    usage.complete_input();
    usage.set(Meter::Requests, 1.into(), Provenance::Counted);
    Command::Settle(Box::new(Settle {
        attempt_id,
        usage,
        outcome: Outcome::Complete,
        upstream_status: Some(200),
        error_class: None,
        served_model: None,
        served_tier: None,
        suspect: false,
        served_other: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        first_byte_at: None,
        finished_at,
    }))
}

fn main() {
    World::new().run("no plan");
    let mut world = World::new();
    world.terms(Some(PLAN), false);
    world.run("a plan of two charges and an allowance");
    let mut world = World::new();
    world.terms(Some(PLAN), true);
    let grant = serde_json::json!({ "id": "pack", "unit": "money", "amount": "1000000",
                                    "source": "paid" });
    world.admin(Admin::PutGrant(Box::new(serde_json::from_value(grant).unwrap())));
    world.run("the same, prepaid from one grant");
}

//! What fits is never refused: limits exactly as wide as the traffic needs let all of it through,
//! and one unit less refuses something.

use std::collections::BTreeMap;

use super::harness::World;
use crate::ledger::*;

/// One thing a client does.
enum Step {
    /// Hold so much money and so many tokens, by key, model, tag and end user.
    Reserve { id: usize, money: u64, tokens: u64, parties: [String; 4] },
    /// Settle at no more than was held, a dollar a token, or give it back.
    End { id: usize, used: Option<u64> },
}

/// A fixed sequence of numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn traffic(numbers: &mut Numbers) -> Vec<Step> {
    let (mut steps, mut open) = (Vec::new(), Vec::new());
    for id in 0..40 {
        let money = numbers.below(50);
        let tokens = money + numbers.below(500);
        let parties = ["key", "model", "tag", "end_user"];
        let parties = parties.map(|scope| format!("{}{}", &scope[..1], numbers.below(3)));
        steps.push(Step::Reserve { id, money, tokens, parties });
        open.push((id, money));
        while !open.is_empty() && (numbers.below(3) > 0 || open.len() > 5) {
            let at = usize::try_from(numbers.below(open.len() as u64)).unwrap();
            let (id, money) = open.swap_remove(at);
            let used = numbers.below(money + 1);
            steps.push(Step::End { id, used: (numbers.below(5) > 0).then_some(used) });
        }
    }
    steps.extend(open.into_iter().map(|(id, _)| Step::End { id, used: None }));
    steps
}

/// The most that is settled and held at once in each scope, of each measure, for any one party.
fn widest(steps: &[Step]) -> BTreeMap<(&'static str, &'static str), u64> {
    const SCOPES: [&str; 5] = ["key", "model", "tag", "end_user", "customer"];
    let mut sums: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
    let mut widest = BTreeMap::new();
    let mut held = BTreeMap::new();
    for step in steps {
        let (id, used) = match step {
            Step::Reserve { id, money, tokens, parties } => {
                held.insert(*id, (*money, *tokens, parties.clone()));
                for (at, scope) in SCOPES.into_iter().enumerate() {
                    let value = parties.get(at).cloned().unwrap_or_default();
                    let more = [
                        ("money", *money),
                        ("tokens", *tokens),
                        ("requests", 1),
                        ("concurrency", 1),
                    ];
                    for (measure, more) in more {
                        let sum = sums.entry((scope, measure, value.clone())).or_default();
                        *sum += more;
                        let most: &mut u64 = widest.entry((scope, measure)).or_default();
                        *most = (*most).max(*sum);
                    }
                }
                continue;
            }
            Step::End { id, used } => (id, used),
        };
        let (money, tokens, parties) = held.remove(id).unwrap();
        let spent = used.unwrap_or_default();
        for (at, scope) in SCOPES.into_iter().enumerate() {
            let value = parties.get(at).cloned().unwrap_or_default();
            let less = [
                ("money", money - spent),
                ("tokens", tokens - spent),
                ("requests", u64::from(used.is_none())),
                ("concurrency", 1),
            ];
            for (measure, less) in less {
                *sums.get_mut(&(scope, measure, value.clone())).unwrap() -= less;
            }
        }
    }
    widest
}

/// Carries traffic out under limits; how often it was refused.
fn refusals(steps: &[Step], limits: &BTreeMap<(&str, &str), u64>, restarts: bool) -> usize {
    let mut world = World::new(restarts);
    (0..3).for_each(|n| drop(world.line(&format!("key k{n} k{n}"))));
    let rules: Vec<String> = limits
        .iter()
        .enumerate()
        .map(|(at, ((scope, measure), limit))| {
            let window = if *measure == "concurrency" { "-" } else { "lifetime" };
            format!("l{at}={window}/hard/{limit},scope={scope},measure={measure}")
        })
        .collect();
    assert_eq!(world.line(&format!("limits {}", rules.join(" "))), "done");
    let mut refused = 0;
    for step in steps {
        match step {
            Step::Reserve { id, money, tokens, parties: [key, model, tag, user] } => {
                let answer = world.line(&format!(
                    "reserve a{id} {money} tokens={tokens} key={key} secret={key} model={model} tag={tag} user={user}"
                ));
                refused += usize::from(answer.starts_with("refused"));
            }
            Step::End { id, used: Some(spent) } => {
                world.line(&format!("settle a{id} {spent}"));
            }
            Step::End { id, used: None } => drop(world.line(&format!("void a{id}"))),
        }
    }
    let Reply::Status(snapshot) = world.apply(&Command::Status).unwrap() else { panic!() };
    assert_eq!((snapshot.spend.held, snapshot.spend.open), (0.into(), 0), "held returns to zero");
    refused
}

#[test]
fn limits_exactly_as_wide_as_the_traffic_refuse_nothing_and_one_unit_less_refuses_something() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for run in 0..12 {
        let steps = traffic(&mut numbers);
        let limits = widest(&steps);
        assert_eq!(limits.len(), 20, "every scope and measure");
        assert_eq!(refusals(&steps, &limits, run % 4 == 0), 0, "a false refusal");
        for which in limits.keys() {
            let mut tighter = limits.clone();
            *tighter.get_mut(which).unwrap() -= 1;
            assert!(refusals(&steps, &tighter, false) > 0, "{which:?} was not the limit it said");
        }
    }
}

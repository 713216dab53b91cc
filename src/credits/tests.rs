#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
use proptest::prelude::*;

use super::*;
use crate::calendar::Every;

fn day(n: i64) -> Timestamp {
    let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    Timestamp::from_ms(start.ms() + n * 86_400_000)
}

fn exact(text: &str) -> Exact {
    text.parse().unwrap()
}

fn grant(id: &str, amount: &str, starts: i64, expires: Option<i64>) -> Grant {
    Grant {
        id: id.into(),
        source: Source::Paid,
        amount: exact(amount),
        cost_basis: exact("0.01"),
        priority: 10,
        created: day(starts),
        starts: day(starts),
        expires: expires.map(day),
        eligible: Eligible::default(),
    }
}

fn on(meter: &str) -> On {
    On { meter: meter.into(), model: None }
}

fn granted(grant: Grant) -> Entry {
    Entry { at: grant.created, act: Act::Grant(grant) }
}

fn used(id: &str, at: i64, amount: &str) -> Entry {
    Entry { at: day(at), act: Act::Use { id: id.into(), amount: exact(amount), on: on("calls") } }
}

fn held(id: &str, at: i64, amount: &str) -> Entry {
    Entry { at: day(at), act: Act::Hold { id: id.into(), amount: exact(amount), on: on("calls") } }
}

fn settled(id: &str, at: i64, amount: &str) -> Entry {
    Entry { at: day(at), act: Act::Settle { hold: id.into(), amount: exact(amount) } }
}

fn voided(id: &str, at: i64) -> Entry {
    Entry { at: day(at), act: Act::Void { grant: id.into() } }
}

const DEFAULT: Policy = Policy { order: BurnOrder::PriorityExpiry, beyond: Beyond::Uncovered };

fn run(log: &[Entry], until: i64) -> Replayed {
    replay(log, DEFAULT, day(until)).unwrap()
}

fn paid_by(replayed: &Replayed, id: &str) -> Vec<(String, String)> {
    let parts = replayed.covered[id].parts.iter();
    parts.map(|(grant, amount)| (grant.clone(), amount.to_string())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn each_burn_order_spends_the_grants_in_its_own_sequence() {
    let mut given = grant("given", "1", 0, None);
    (given.source, given.cost_basis, given.created) = (Source::Promotional, Exact::ZERO, day(3));
    let soon = grant("soon", "1", 1, Some(20));
    let mut named = grant("named", "1", 2, Some(25));
    named.eligible.meters = vec!["calls".into()];
    named.cost_basis = exact("0.02");
    let mut first = grant("first", "1", 0, None);
    first.priority = 1;
    let mut log: Vec<Entry> = [given, soon, named, first].map(granted).into();
    log.push(used("u", 10, "4"));
    for (order, want) in [
        (BurnOrder::PriorityExpiry, ["first", "soon", "named", "given"]),
        (BurnOrder::PriorityGiven, ["first", "given", "soon", "named"]),
        (BurnOrder::NamedExpiry, ["named", "soon", "given", "first"]),
        (BurnOrder::RolloverPriority, ["first", "given", "named", "soon"]),
    ] {
        let replayed = replay(&log, Policy { order, ..DEFAULT }, day(11)).unwrap();
        let got: Vec<String> = paid_by(&replayed, "u").into_iter().map(|(id, _)| id).collect();
        assert_eq!(got, want, "{order:?}");
    }
}

#[test]
fn a_grant_is_good_from_its_start_until_and_without_its_expiry() {
    let log = |at| [granted(grant("g", "5", 2, Some(4))), used("u", at, "1")];
    for (at, uncovered) in [(1, "1"), (2, "0"), (3, "0"), (4, "1")] {
        let replayed = run(&log(at), 30);
        assert_eq!(replayed.covered["u"].uncovered, exact(uncovered), "day {at}");
        let state = &replayed.grants["g"];
        assert_eq!(state.left, Exact::ZERO);
        assert_eq!(state.expired.plus(state.spent).unwrap(), exact("5"));
    }
}

#[test]
fn credit_is_spent_only_on_what_it_is_for() {
    let mut images = grant("images", "5", 0, None);
    images.eligible.meters = vec!["images".into()];
    let mut small = grant("small", "5", 0, None);
    small.eligible.models = vec!["small".into()];
    let log = [granted(images), granted(small), used("u", 1, "3")];
    assert_eq!(run(&log, 2).covered["u"].uncovered, exact("3"));
    let on = On { meter: "calls".into(), model: Some("small".into()) };
    let entry = Entry { at: day(1), act: Act::Use { id: "v".into(), amount: exact("3"), on } };
    let log = [log.as_slice(), &[entry]].concat();
    assert_eq!(paid_by(&run(&log, 2), "v"), pairs(&[("small", "3")]));
}

#[test]
fn late_usage_is_replayed_as_if_it_had_been_on_time() {
    let on_time = [
        granted(grant("a", "10", 0, Some(5))),
        granted(grant("b", "10", 0, None)),
        used("early", 4, "8"),
        used("later", 6, "8"),
    ];
    let mut late = on_time.to_vec();
    late.swap(2, 3);
    late.rotate_left(1);
    assert_eq!(run(&on_time, 10), run(&late, 10));
    // Before it arrived, the early use had not burned what expired on day 5.
    let before = [on_time[0].clone(), on_time[1].clone(), on_time[3].clone()];
    assert_eq!(run(&before, 10).grants["a"].expired, exact("10"));
    assert_eq!(run(&late, 10).grants["a"].expired, exact("2"));
}

#[test]
fn what_ends_under_an_open_hold_stays_spendable_by_that_hold() {
    for end in [None, Some(voided("g", 3))] {
        let expires = if end.is_none() { Some(3) } else { None };
        let mut log = vec![granted(grant("g", "10", 0, expires)), held("h", 1, "6")];
        log.extend(end.clone());
        let open = run(&log, 4);
        assert_eq!(open.grants["g"].held, exact("6"));
        assert_eq!(open.grants["g"].left, Exact::ZERO);
        log.push(settled("h", 4, "4"));
        let replayed = run(&log, 5);
        assert_eq!(paid_by(&replayed, "h"), pairs(&[("g", "4")]));
        let state = &replayed.grants["g"];
        let lost = if end.is_some() { state.voided } else { state.expired };
        assert_eq!((lost, state.spent, state.left), (exact("6"), exact("4"), Exact::ZERO));
    }
}

#[test]
fn a_settled_hold_frees_its_rest_and_draws_what_it_lacks() {
    let log = [
        granted(grant("g", "10", 0, None)),
        held("less", 1, "6"),
        settled("less", 2, "1"),
        held("more", 3, "2"),
        settled("more", 4, "12"),
    ];
    let replayed = run(&log, 5);
    assert_eq!(paid_by(&replayed, "less"), pairs(&[("g", "1")]));
    assert_eq!(paid_by(&replayed, "more"), pairs(&[("g", "2"), ("g", "7")]));
    assert_eq!(replayed.covered["more"].uncovered, exact("3"));
    // While a hold is open nobody else can spend what it has set aside.
    let log = [granted(grant("g", "10", 0, None)), held("h", 1, "6"), used("u", 2, "6")];
    assert_eq!(run(&log, 3).covered["u"].uncovered, exact("2"));
}

#[test]
fn the_balance_goes_negative_only_by_policy_and_the_next_grant_pays_first() {
    let log =
        [granted(grant("a", "5", 0, None)), used("u", 1, "9"), granted(grant("b", "10", 2, None))];
    assert_eq!(run(&log, 1).owed, Exact::ZERO);
    assert_eq!(run(&log, 1).covered["u"].uncovered, exact("4"));
    let owing = |most| Policy { beyond: Beyond::Owed(exact(most)), ..DEFAULT };
    let replayed = replay(&log, owing("3"), day(1)).unwrap();
    assert_eq!(replayed.balance().unwrap(), exact("-3"));
    assert_eq!(replayed.covered["u"].uncovered, exact("1"));
    let replayed = replay(&log, owing("3"), day(2)).unwrap();
    assert_eq!(replayed.balance().unwrap(), exact("7"));
    assert_eq!(replayed.grants["b"].repaid, exact("3"));
}

fn monthly(amount: &str, cap: Option<&str>) -> Entry {
    let calendar = Calendar::new("UTC", day(0), Every::Month).unwrap();
    let grant = grant("m", amount, 0, None);
    let recurring = Recurring { grant, calendar, rollover_cap: cap.map(exact) };
    Entry { at: day(0), act: Act::Recur(recurring) }
}

#[test]
fn what_is_left_of_a_month_is_carried_on_up_to_the_cap() {
    // 30 days of November, 31 of December, 31 of January.
    for (cap, december, january) in
        [(None, "100", "100"), (Some("30"), "130", "130"), (Some("500"), "180", "280")]
    {
        let log = [monthly("100", cap), used("u", 5, "20")];
        assert_eq!(run(&log, 29).balance().unwrap(), exact("80"));
        assert_eq!(run(&log, 30).balance().unwrap(), exact(december), "{cap:?}");
        assert_eq!(run(&log, 61).balance().unwrap(), exact(january), "{cap:?}");
    }
}

#[test]
fn a_voided_recurrence_does_not_come_again() {
    let log = [monthly("100", Some("50")), used("u", 5, "20"), voided("m", 10)];
    let replayed = run(&log, 100);
    assert_eq!(replayed.balance().unwrap(), Exact::ZERO);
    assert_eq!(replayed.grants.len(), 1);
    assert_eq!(replayed.grants["m#0"].voided, exact("80"));
}

#[test]
fn a_recurrence_ends_when_it_expires_also_within_a_period() {
    let mut entry = monthly("100", Some("50"));
    if let Act::Recur(recurring) = &mut entry.act {
        recurring.grant.expires = Some(day(40));
    }
    let log = [entry, used("u", 35, "20")];
    assert_eq!(run(&log, 39).balance().unwrap(), exact("130"));
    assert_eq!(run(&log, 40).balance().unwrap(), Exact::ZERO);
    assert_eq!(run(&log, 100).balance().unwrap(), Exact::ZERO);
}

#[test]
fn a_grant_that_is_voided_before_it_begins_never_counts() {
    let mut later = grant("g", "10", 5, None);
    later.created = day(0);
    let log = [granted(later), voided("g", 2), used("u", 6, "1")];
    assert_eq!(run(&log, 3).balance().unwrap(), Exact::ZERO);
    let replayed = run(&log, 7);
    assert_eq!(replayed.grants["g"].voided, exact("10"));
    assert_eq!(replayed.covered["u"].uncovered, exact("1"));
}

#[test]
fn the_same_entry_again_changes_nothing_and_another_under_its_name_is_refused() {
    let log = [granted(grant("g", "10", 0, None)), used("u", 1, "3"), used("u", 1, "3")];
    assert_eq!(run(&log, 2).balance().unwrap(), exact("7"));
    let log = [granted(grant("g", "10", 0, None)), used("u", 1, "3"), used("u", 1, "4")];
    let conflict = CreditError::Conflict("u".into());
    assert_eq!(replay(&log, DEFAULT, day(2)), Err(conflict));
    let unknown = CreditError::UnknownHold("h".into());
    assert_eq!(replay(&[settled("h", 1, "1")], DEFAULT, day(2)), Err(unknown));
    let unknown = CreditError::UnknownGrant("g".into());
    assert_eq!(replay(&[voided("g", 1)], DEFAULT, day(2)), Err(unknown));
    assert!(replay(&[used("u", 1, "-1")], DEFAULT, day(2)).is_err());
}

#[test]
fn a_log_from_json_is_replayed_and_every_fault_has_its_place() {
    let log = Log::parse(
        r#"{"until": "2026-12-02T00:00:00Z", "owed_at_most": "5", "log": [
            {"at": "2026-11-01T00:00:00Z", "recur": {"id": "m", "source": "paid", "amount": "10",
             "every": "month", "zone": "Europe/Berlin", "rollover_cap": "3"}},
            {"at": "2026-11-02T00:00:00Z", "hold": {"id": "h", "amount": "4", "meter": "calls"}},
            {"at": "2026-11-03T00:00:00Z", "settle": {"hold": "h", "amount": "2"}},
            {"at": "2026-12-01T12:00:00Z", "use": {"id": "u", "amount": "14", "meter": "calls"}}]}"#,
    )
    .unwrap();
    let replayed = replay(&log.entries, log.policy, log.until).unwrap();
    assert_eq!(replayed.balance().unwrap(), exact("-1"));
    let faults = Log::parse(
        r#"{"until": "soon", "log": [{"at": "2026-11-01T00:00:00Z", "void": "g", "use": {}},
            {"at": "2026-11-01T00:00:00Z", "grant": {"id": "g", "amount": "-1", "sourse": "paid"}}]}"#,
    )
    .unwrap_err();
    let paths: Vec<&str> = faults.list().iter().map(|fault| fault.path.as_str()).collect();
    let grant = ["log[1].grant.source", "log[1].grant.amount", "log[1].grant.sourse"];
    assert_eq!(
        paths,
        ["until", "log[0]", "log[0].void", "log[0].use"]
            .into_iter()
            .chain(grant)
            .collect::<Vec<_>>()
    );
}

fn any_log() -> impl Strategy<Value = Vec<Entry>> {
    let one = (0_u8..5, 0_i64..40, 0_u32..900, 0_i64..30, 0_u64..3);
    proptest::collection::vec(one, 1..25).prop_map(|list| {
        let mut log = vec![monthly("50", Some("20"))];
        for (n, (kind, at, amount, length, priority)) in list.into_iter().enumerate() {
            let (id, amount) = (format!("e{n}"), format!("{}.{:02}", amount / 100, amount % 100));
            match kind {
                0 => {
                    let expires = (length > 3).then_some(at + length);
                    let mut grant = grant(&id, &amount, at, expires);
                    grant.priority = priority;
                    log.push(granted(grant));
                    if length == 9 {
                        log.push(voided(&id, at + 5));
                    }
                }
                1 | 2 => log.push(used(&id, at, &amount)),
                _ => {
                    log.push(held(&id, at, &amount));
                    if kind == 4 {
                        log.push(settled(&id, at + length, &amount[..1]));
                    }
                }
            }
        }
        log
    })
}

proptest! {
    #[test]
    fn nothing_of_a_grant_is_ever_lost_or_made(log in any_log(), until in 0_i64..80) {
        for (_, order) in BurnOrder::NAMES {
            for beyond in [Beyond::Uncovered, Beyond::Owed(exact("7.5"))] {
                let replayed = replay(&log, Policy { order, beyond }, day(until)).unwrap();
                for state in replayed.grants.values() {
                    let parts = [state.spent, state.held, state.left, state.expired, state.voided,
                                 state.carried_on, state.repaid];
                    prop_assert_eq!(Exact::sum(parts).unwrap(), state.grant.amount);
                    prop_assert!(parts.iter().all(|part| !part.is_negative()));
                }
                let spent = Exact::sum(replayed.grants.values().map(|state| state.spent)).unwrap();
                let paid = Exact::sum(replayed.covered.values().flat_map(|covered| {
                    covered.parts.iter().map(|(_, amount)| *amount)
                })).unwrap();
                prop_assert_eq!(spent, paid);
                prop_assert!(replayed.owed <= exact("7.5"));
            }
        }
    }

    #[test]
    fn entries_may_arrive_in_any_order(log in any_log(), turn in 0_usize..20) {
        let mut shuffled = log.clone();
        shuffled.reverse();
        let turn = turn % shuffled.len();
        shuffled.rotate_left(turn);
        prop_assert_eq!(run(&log, 60), run(&shuffled, 60));
    }

    #[test]
    fn a_use_is_covered_owed_or_uncovered_to_the_last_digit(log in any_log()) {
        let replayed = run(&log, 80);
        for entry in &log {
            let (Act::Use { id, amount, .. } | Act::Settle { hold: id, amount }) = &entry.act else {
                continue;
            };
            let covered = &replayed.covered[id];
            let paid = Exact::sum(covered.parts.iter().map(|(_, part)| *part)).unwrap();
            let all = paid.plus(covered.owed).unwrap().plus(covered.uncovered).unwrap();
            prop_assert_eq!(all, *amount);
        }
    }
}

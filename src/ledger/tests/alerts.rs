//! What is told, and that it is told once.
//!
//! `alerts` gives those raised since the last such line, in words; `tell {…}` puts the settings;
//! `outlook` looks ahead.

use std::collections::BTreeMap;

use super::harness::{World, check, check_from};
use crate::clock::Timestamp;
use crate::ledger::*;
use crate::money::Exact;

/// What storage keeps for alerts, as the shell's tables do.
#[derive(Default)]
pub struct Kept {
    settings: Option<AlertSettings>,
    /// In the order they were raised.
    pub raised: Vec<(Alert, Option<Timestamp>)>,
    weeks: BTreeMap<(String, String), Exact>,
    seen: usize,
    /// Rows of alerts that were there already.
    pub again: usize,
}

impl Kept {
    pub fn write(&mut self, row: AlertRow) {
        match row {
            AlertRow::Raise { alert, until } => {
                let text = serde_json::to_string(&*alert).unwrap();
                let read: Alert = serde_json::from_str(&text).unwrap();
                assert_eq!(read, *alert, "an alert does not survive being written");
                if self.raised.iter().any(|(there, _)| there.id == alert.id) {
                    self.again += 1;
                } else {
                    self.raised.push((read, until));
                }
            }
            AlertRow::Settings(settings) => self.settings = Some(*settings),
            AlertRow::Model(week, model, spent) => drop(self.weeks.insert((week, model), spent)),
            AlertRow::DropWeek(week) => self.weeks.retain(|(of, _), _| *of != week),
        }
    }

    pub fn load(&self, now: Timestamp) -> LoadedAlerts {
        let stays = |until: &Option<Timestamp>| until.is_none_or(|until| until > now);
        let told = self.raised.iter().filter(|(_, until)| stays(until));
        LoadedAlerts {
            settings: self.settings.clone(),
            told: told.map(|(alert, _)| alert.id.clone()).collect(),
            weeks: self
                .weeks
                .iter()
                .map(|((w, m), spent)| (w.clone(), m.clone(), *spent))
                .collect(),
        }
    }

    pub fn fresh(&mut self) -> String {
        let fresh = self.raised.get(self.seen..).unwrap_or_default();
        let words: Vec<String> = fresh.iter().map(|(alert, _)| alert_words(&alert.what)).collect();
        self.seen = self.raised.len();
        if words.is_empty() { "none".into() } else { words.join("; ") }
    }
}

impl World {
    pub fn tell(&mut self, line: &str) -> String {
        let settings = serde_json::from_str(line.strip_prefix("tell ").unwrap()).unwrap();
        let put = Command::Admin(Admin::PutAlerts(Box::new(settings)));
        super::words::words_of(&self.apply(&put).unwrap())
    }

    pub fn outlook(&mut self) -> String {
        super::words::words_of(&self.apply(&Command::Outlook).unwrap())
    }
}

fn alert_words(what: &What) -> String {
    let used = |word: &str, used: &Used| {
        let names = [vec![String::new()], used.names.clone()].concat().join(" ");
        format!("{word} {} {}{names}", used.model, used.day)
    };
    match what {
        What::Limit { percent, limit } => {
            let value = limit.value.as_ref().map(|value| format!(":{value}")).unwrap_or_default();
            format!("{}{value} {percent}% at {} of {}", limit.id, limit.settled, limit.limit)
        }
        What::Typical { percent, month, spent, typical, from_months, .. } => {
            format!("{month} {percent}% at {spent} of {typical} from {from_months}")
        }
        What::Balance { name, left, below, grant, .. } => {
            format!("{name} low {left} below {below} after {grant}")
        }
        What::RunsOut { left, spent_day, days, grant, .. } => {
            format!("{left} lasts {days} days at {spent_day} after {grant}")
        }
        What::Burn { limit, factor, spent_day, spent_hour } => {
            format!("{} burns {factor}x {spent_day} {spent_hour}", limit.id)
        }
        What::Spike { day, spent, usual, above, from_days, .. } => {
            format!("spike {day} {spent} above {above} usual {usual} from {from_days}")
        }
        What::Unpriced(of) => used("unpriced", of),
        What::Suspect(of) => used("suspect", of),
        What::Unknown(of) => used("unknown", of),
        What::Overage(of) => used("overage", of),
        What::ServedOther(of) => used("served other", of),
        What::Conflict { seq } => format!("conflict {seq}"),
        What::Week(week) => {
            let mut words = format!("week {}..{} {}", week.week, week.last_day, week.spent);
            let number = |number: &Option<Exact>| number.map_or("-".into(), |n| n.to_string());
            words += &format!(" before {} {}", number(&week.before), number(&week.change));
            words += &week.change_percent.map(|p| format!(" {p}%")).unwrap_or_default();
            if let Some(Share { model, spent }) = &week.top_model {
                words += &format!(" top {model} {spent}");
            }
            if let Some(PeakDay { day, spent }) = &week.peak_day {
                words += &format!(" peak {day} {spent}");
            }
            words
        }
        What::Test {} => "test".into(),
    }
}

pub fn outlook_words(outlook: &Outlook) -> String {
    let MonthOutlook { month, spent, expected, lower, upper, from_days, status, .. } =
        &outlook.month;
    let number = |number: &Option<Exact>| number.map_or("-".into(), |n| n.to_string());
    let status = super::words::snake(status);
    let mut words = format!("{month} {status} {spent} to {}", number(expected));
    words += &format!(" in {}..{} from {from_days}", number(lower), number(upper));
    if let Some(BalanceOutlook { left, runs_out, date }) = &outlook.balance {
        let date = date.as_deref().unwrap_or_default();
        words += &format!("; {left} {} {date}", super::words::snake(runs_out));
    }
    words.trim_end().to_owned()
}

#[test]
fn each_threshold_of_a_hard_and_a_soft_limit_is_told_once_in_the_transaction_that_reached_it() {
    check(
        "
        limits day=day/hard/10 warn=day/soft/4
        reserve a 3
        settle a 1.999     -> closed 1 at 1.999
        alerts             -> none
        reserve b 3
        settle b 0.001     -> closed 2 at 0.001
        rows               -> 1 alert, 1 delete, 1 hour, 1 record, 1 week
        alerts             -> warn 50% at 2 of 4
        settle b 0.001     -> replayed 2 at 0.001
        rows               -> none
        reserve c 6
        settle c 6
        alerts             -> day 50% at 8 of 10; day 80% at 8 of 10; warn 80% at 8 of 4; warn 100% at 8 of 4; warn 150% at 8 of 4; warn 200% at 8 of 4
        reserve d 1
        settle d 1
        alerts             -> none
        clock 2026-11-24T00:00:00Z
        reserve e 5
        settle e 5
        alerts             -> day 50% at 5 of 10; warn 50% at 5 of 4; warn 80% at 5 of 4; warn 100% at 5 of 4
        ",
    );
}

#[test]
fn when_a_raise_is_over_the_ordinary_limit_is_told_of_with_and_without_a_restart() {
    check(
        "
        limits m=month/hard/10,raise=20@2026-11-23T22:30:00Z
        reserve a 12
        settle a 12
        alerts               -> m 50% at 12 of 20
        clock 2026-11-23T22:30:00Z
        reserve b 0
        settle b 0
        alerts               -> m 50% at 12 of 10; m 80% at 12 of 10; m 100% at 12 of 10
        reserve c 0
        settle c 0
        alerts               -> none
        ",
    );
}

#[test]
fn a_limit_that_is_raised_or_lowered_is_told_of_anew_and_one_put_again_is_not() {
    check(
        "
        limits m=month/hard/10
        reserve a 9
        settle a 9
        alerts               -> m 50% at 9 of 10; m 80% at 9 of 10
        limits m=month/hard/10
        alerts               -> none
        limits m=month/hard/20
        alerts               -> none
        reserve b 1
        settle b 1
        alerts               -> m 50% at 10 of 20   # of the raised limit
        limits m=month/hard/10
        alerts               -> m 100% at 10 of 10  # 50 and 80 were told of this limit before
        limits m=month/hard/5
        alerts               -> m 50% at 10 of 5; m 80% at 10 of 5; m 100% at 10 of 5; m 150% at 10 of 5; m 200% at 10 of 5
        ",
    );
}

#[test]
fn what_a_correction_takes_back_and_another_brings_again_is_told_once() {
    check(
        "
        limits m=month/hard/10
        ttl 1s
        reserve a 8 floor=5
        wait 1s
        sweep
        alerts               -> m 50% at 5 of 10   # expired, charged at its floor
        settle a 1           -> closed 2 at 1
        ttl 60s
        reserve b 6
        settle b 6
        alerts               -> none
        limit m              -> settled 7 held 0 left 3
        ",
    );
}

#[test]
fn keys_models_and_tags_are_told_of_by_name_end_users_and_rates_never() {
    check(
        "
        limits k=month/hard/10,scope=key t=month/soft/10,scope=tag u=month/hard/10,scope=end_user r=minute/hard/10 n=day/hard/4,measure=requests c=-/hard/2,measure=concurrency
        reserve a 6 tag=red user=bob
        settle a 6
        alerts               -> k:main 50% at 6 of 10; t:red 50% at 6 of 10
        reserve b 1 tag=blue user=bob
        settle b 1
        alerts               -> n 50% at 2 of 4
        reserve c 2 tag=red user=ann
        settle c 2
        alerts               -> k:main 80% at 9 of 10; t:red 80% at 8 of 10
        ",
    );
}

#[test]
fn thresholds_are_the_settings_and_a_faulty_list_is_refused() {
    check(
        "
        limits m=month/hard/10
        tell {\"thresholds\":[33,90]}
        reserve a 4
        settle a 4
        alerts             -> m 33% at 4 of 10
        tell {\"thresholds\":[]}
        reserve b 5
        settle b 5
        alerts             -> none
        tell {\"thresholds\":[80,50]} -> invalid: thresholds: whole numbers of percent from 1 to 10000, each larger than the one before
        tell {\"burn\":0}   -> invalid: burn: a whole number from 1 to 100, or null
        ",
    );
}

#[test]
fn thresholds_that_are_put_are_told_as_far_as_they_are_reached_and_were_not_told() {
    check(
        "
        limits m=month/hard/10 k=month/hard/10,scope=key
        reserve a 9
        settle a 9
        alerts             -> m 50% at 9 of 10; m 80% at 9 of 10; k:main 50% at 9 of 10; k:main 80% at 9 of 10
        tell {\"thresholds\":[33,60,95]}
        alerts             -> m 33% at 9 of 10; m 60% at 9 of 10
        reserve b 0
        settle b 0
        alerts             -> k:main 33% at 9 of 10; k:main 60% at 9 of 10
        tell {\"thresholds\":[50,90]}
        alerts             -> m 90% at 9 of 10
        tell {\"thresholds\":[33,50,60,90]}
        alerts             -> none
        ",
    );
}

#[test]
fn limits_that_share_an_id_one_after_the_other_are_told_of_each_for_itself() {
    check(
        "
        limits m=week/hard/10
        reserve a 5
        settle a 5
        alerts             -> m 50% at 5 of 10
        limits m=day/hard/10             # from the same Monday on
        alerts             -> m 50% at 5 of 10
        limits m=day/hard/10,measure=tokens
        alerts             -> m 50% at 5 of 10
        limits m=week/hard/10,scope=key,value=gpt t=week/hard/10,scope=model,value=gpt
        key gpt gpt
        reserve b 5 key=gpt secret=gpt
        settle b 5
        alerts             -> m:gpt 50% at 5 of 10; t:gpt 50% at 5 of 10
        limits m=week/hard/10,scope=model,value=gpt
        reserve c 0
        settle c 0
        alerts             -> m:gpt 50% at 5 of 10
        ",
    );
}

#[test]
fn credit_is_told_to_be_low_and_used_up_once_for_each_grant() {
    check(
        "
        plan book prepaid
        grant pack 10
        reserve a 8
        alerts             -> none                 # set aside is not spent
        settle a 7.99
        alerts             -> none
        reserve b 1
        settle b 0.01
        alerts             -> USD low 2 below 2 after pack
        reserve c 2
        settle c 2
        alerts             -> USD low 0 below 0 after pack
        wait 1s
        grant more 10
        alerts             -> none
        reserve d 9
        settle d 9
        alerts             -> USD low 1 below 2 after more
        ",
    );
}

#[test]
fn credit_that_is_low_is_told_after_the_newest_grant_that_stands() {
    check(
        "
        plan book prepaid
        grant pack 10
        wait 1s
        grant bonus 100 expires=2026-11-23T23:00:00Z
        clock 2026-11-23T23:00:00Z
        reserve a 7
        settle a 7
        alerts             -> none                 # a fifth of what is over is no measure
        reserve b 1
        settle b 1
        alerts             -> USD low 2 below 2 after pack
        wait 1s
        grant more 100
        alerts             -> none
        take more
        reserve c 1
        settle c 1
        alerts             -> none                 # low after the pack was told
        reserve d 1
        settle d 1
        alerts             -> USD low 0 below 0 after pack
        ",
    );
}

#[test]
fn credit_carried_on_is_no_grant_of_its_own() {
    for mut world in worlds("2026-11-23T22:00:00Z") {
        for line in ["plan book prepaid", "grant monthly 10 every=month rollover_cap=4"] {
            assert_eq!(world.line(line), "done");
        }
        script(
            &mut world,
            &[
                ("tell {\"summary\":false}", "done"),
                ("clock 2026-12-23T22:00:00Z", "done"),
                ("credit", "USD 14 held 0"),
                ("reserve a 12", "held"),
                ("settle a 12", "closed 1 at 12"),
                ("alerts", "USD low 2 below 2 after monthly#1"),
            ],
        );
    }
}

#[test]
fn credit_that_is_all_over_is_told_to_be_used_up_after_the_last() {
    check(
        "
        plan book prepaid
        grant pack 10
        wait 1s
        grant bonus 5 expires=2026-11-23T23:00:00Z
        take pack
        reserve a 1
        settle a 1
        alerts             -> none
        clock 2026-11-23T23:00:00Z
        reserve b 0
        settle b 0
        alerts             -> USD low 0 below 0 after bonus
        ",
    );
}

#[test]
fn credit_that_will_not_last_is_told_by_the_pace_of_whole_hours() {
    check_from(
        "2026-11-23T09:59:00Z".parse().unwrap(),
        "
        tell {\"balance\":{\"percent\":1,\"days\":3}}
        plan book prepaid
        grant pack 40
        reserve a 10
        settle a 10
        alerts             -> none          # this hour is not whole yet
        clock 2026-11-23T10:00:00Z
        reserve b 1
        settle b 1
        alerts             -> 29 lasts 3 days at 10 after pack
        reserve c 1
        settle c 1
        alerts             -> none
        ",
    );
}

#[test]
fn a_months_limit_burns_where_day_and_hour_are_too_fast() {
    check_from(
        "2026-11-10T08:30:00Z".parse().unwrap(),
        "
        limits m=month/hard/300 d=day/hard/300
        tell {\"thresholds\":[],\"spike\":null}
        reserve a 19
        settle a 19
        clock 2026-11-10T09:30:00Z
        reserve b 1
        settle b 1
        alerts             -> none            # 19 in a day: less than twice the even pace of 10
        clock 2026-11-10T10:30:00Z
        reserve c 1
        settle c 1
        alerts             -> m burns 2x 20 1
        clock 2026-11-10T11:30:00Z
        reserve d 9
        settle d 9
        alerts             -> none
        ",
    );
}

#[test]
fn usage_without_a_price_or_a_meaning_is_told_once_for_model_and_day() {
    check(
        "
        reserve a 5
        settle a 1 web_search_requests=3
        alerts             -> unpriced gpt 2026-11-23 web_search_requests
        reserve b 5
        settle b 1 web_search_requests=4
        alerts             -> none
        reserve c 5 model=o9
        settle c 6 suspect=1 other=1 unknown=usage.magic_tokens
        alerts             -> suspect o9 2026-11-23; overage o9 2026-11-23; served other o9 2026-11-23; unknown o9 2026-11-23 usage.magic_tokens
        settle c 7         -> conflict with 3
        alerts             -> conflict 3
        settle c 8         -> conflict with 3
        alerts             -> none
        clock 2026-11-24T00:00:00Z
        reserve d 5
        settle d 1 web_search_requests=3
        alerts             -> unpriced gpt 2026-11-24 web_search_requests
        ",
    );
}

#[test]
fn a_contrary_word_about_an_outcome_is_no_conflict_of_settles() {
    check(
        "
        plan outcome rest=included
        reserve a 9
        settle a 1
        reverse a calls    -> closed 2 at 0
        confirm a calls    -> conflict with 2
        alerts             -> none
        settle a 2         -> conflict with 1
        alerts             -> conflict 1
        ",
    );
}

/// So much a day from one date on, in the harness's zone or the one that was set.
fn days(world: &mut World, from: &str, amounts: &[&str]) {
    let start: Timestamp = from.parse().unwrap();
    for (day, amount) in amounts.iter().enumerate() {
        let later = i64::try_from(day).unwrap() * 86_400_000;
        world.now = Timestamp::from_ms(start.ms() + later);
        let name = format!("{:x}", world.now.ms() / 3_600_000);
        for line in [format!("reserve {name} 1000"), format!("settle {name} {amount}")] {
            let answer = world.line(&line);
            assert!(answer.starts_with("held") || answer.starts_with("closed"), "{line}: {answer}");
        }
    }
}

fn script(world: &mut World, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        assert_eq!(world.line(line), *expected, "{line}");
    }
}

fn worlds(start: &str) -> [World; 2] {
    [false, true].map(|restarts| World::starting(restarts, start.parse().unwrap()))
}

#[test]
fn a_day_unlike_the_others_is_told_once() {
    for mut world in worlds("2026-11-01T12:00:00Z") {
        world.line("tell {\"burn\":null,\"summary\":false}");
        days(&mut world, "2026-11-01T12:00:00Z", &["5", "4", "6", "5", "5", "4", "6"]);
        days(&mut world, "2026-11-08T12:00:00Z", &["9.4"]);
        // Median 5, deviations 0 1 1 0 0 1 1 with median 1: 5 + 3 x 1.4826 is below twice the median.
        script(&mut world, &[("alerts", "none")]);
        script(
            &mut world,
            &[("reserve a 9", "held"), ("settle a 0.6", "closed 9 at 0.6"), ("alerts", "none")],
        );
        script(
            &mut world,
            &[
                ("reserve b 9", "held"),
                ("settle b 0.1", "closed 10 at 0.1"),
                ("alerts", "spike 2026-11-08 10.1 above 10 usual 5 from 7"),
                ("reserve c 9", "held"),
                ("settle c 9", "closed 11 at 9"),
                ("alerts", "none"),
            ],
        );
    }
}

#[test]
fn a_month_unlike_the_usual_one_is_told_from_the_third_month_on() {
    for mut world in worlds("2026-08-01T00:00:00Z") {
        world.line("tell {\"spike\":null,\"summary\":false}");
        days(&mut world, "2026-08-10T12:00:00Z", &["100"]);
        days(&mut world, "2026-09-10T12:00:00Z", &["300"]);
        script(&mut world, &[("alerts", "none")]);
        days(&mut world, "2026-10-05T12:00:00Z", &["99.99"]);
        script(&mut world, &[("alerts", "none")]);
        days(&mut world, "2026-10-06T12:00:00Z", &["60.01"]);
        script(
            &mut world,
            &[("alerts", "2026-10 50% at 160 of 200 from 2; 2026-10 80% at 160 of 200 from 2")],
        );
        days(&mut world, "2026-11-01T12:00:00Z", &["80"]);
        script(&mut world, &[("alerts", "2026-11 50% at 80 of 160 from 3")]);
    }
}

#[test]
fn what_settles_late_changes_the_month_it_was_made_in_and_so_the_usual_one() {
    for mut world in worlds("2026-09-01T00:00:00Z") {
        world.line("tell {\"spike\":null,\"summary\":false}");
        days(&mut world, "2026-09-10T12:00:00Z", &["100"]);
        days(&mut world, "2026-10-10T12:00:00Z", &["100"]);
        world.line("clock 2026-10-31T23:59:30Z");
        assert_eq!(world.line("reserve late 200"), "held");
        world.line("clock 2026-11-01T12:00:00Z");
        script(
            &mut world,
            &[
                ("reserve a 45", "held"),
                ("settle a 45", "closed 4 at 45"),
                ("settle late 100", "closed 5 at 100"),
                ("reserve b 10", "held"),
                ("settle b 10", "closed 6 at 10"),
                // Of 100 it would be half; by now October came to 200.
                ("alerts", "none"),
                ("reserve c 20", "held"),
                ("settle c 20", "closed 7 at 20"),
                ("alerts", "2026-11 50% at 75 of 150 from 2"),
            ],
        );
    }
}

#[test]
fn a_week_is_summed_up_once_in_the_customers_zone_when_it_is_over() {
    for mut world in worlds("2026-11-09T12:00:00Z") {
        world.line("limits @zone=America/New_York");
        world.line("tell {\"spike\":null,\"typical\":[]}");
        days(&mut world, "2026-11-10T12:00:00Z", &["8", "2"]);
        // Sunday evening in New York, Monday in UTC.
        world.line("clock 2026-11-16T04:59:00Z");
        script(
            &mut world,
            &[
                ("reserve a 3 model=o9", "held"),
                ("settle a 3", "closed 3 at 3"),
                ("sweep", "done"),
                ("alerts", "none"),
                ("clock 2026-11-16T05:00:00Z", "done"),
                ("sweep", "done"),
                (
                    "alerts",
                    "week 2026-11-09..2026-11-15 13 before - - top gpt 10 peak 2026-11-10 8",
                ),
                ("sweep", "done"),
                ("rows", "none"),
            ],
        );
        days(&mut world, "2026-11-18T12:00:00Z", &["9"]);
        // Nobody calls for three weeks; the week is told of all the same, and no empty one.
        world.line("clock 2026-12-09T12:00:00Z");
        script(
            &mut world,
            &[
                ("sweep", "done"),
                (
                    "alerts",
                    "week 2026-11-16..2026-11-22 9 before 13 -4 -30.8% top gpt 9 peak 2026-11-18 9",
                ),
                ("rows", "1 alert, 1 week"),
            ],
        );
    }
}

#[test]
fn the_outlook_is_unknown_before_there_is_a_day_and_never_zero() {
    for mut world in worlds("2026-11-01T09:00:00Z") {
        script(
            &mut world,
            &[
                ("outlook", "2026-11 unknown 0 to - in -..- from 0"),
                ("reserve a 3", "held"),
                ("settle a 3", "closed 1 at 3"),
                ("outlook", "2026-11 unknown 3 to - in -..- from 0"),
                ("clock 2026-11-02T00:00:00Z", "done"),
                // 3 a day, 29 days to come.
                ("outlook", "2026-11 pace 3 to 90 in -..- from 1"),
                ("plan book", "done"),
                ("grant pack 10", "done"),
                // Today, tomorrow and the day after take 9; the last cent goes on the fourth day.
                ("outlook", "2026-11 pace 3 to 90 in -..- from 1; 10 on_date 2026-11-05"),
            ],
        );
        days(&mut world, "2026-11-02T12:00:00Z", &["3"; 27]);
        world.line("clock 2026-11-29T00:00:00Z");
        let words = world.line("outlook");
        assert!(words.starts_with("2026-11 interval 84 to 90 in 90..90 from 28"), "{words}");
    }
}

#[test]
fn the_outlook_counts_what_ends_with_it_once() {
    check(
        "
        reserve a 3 floor=3
        wait 60s
        outlook            -> 2026-11 unknown 3 to - in -..- from 0
        outlook            -> 2026-11 unknown 3 to - in -..- from 0
        reserve b 2 floor=2
        clock 2026-11-24T00:00:00Z
        outlook            -> 2026-11 pace 5 to 40 in -..- from 1
        outlook            -> 2026-11 pace 5 to 40 in -..- from 1
        ",
    );
}

#[test]
fn an_outlook_too_large_to_compute_breaks_nothing() {
    check_from(
        "2026-11-01T12:00:00Z".parse().unwrap(),
        "
        reserve a 9000000000000000000000000000
        settle a 9000000000000000000000000000
        clock 2026-11-02T00:00:00Z
        outlook            -> invalid: there is no forecast: its amounts need more than 28 digits
        reserve b 1
        settle b 1
        ",
    );
}

#[test]
fn no_alert_fails_the_operation_that_raised_it_or_another_alert() {
    check_from(
        "2026-11-23T09:00:00Z".parse().unwrap(),
        "
        limits all=lifetime/hard/1000000000000
        tell {\"balance\":{\"days\":365}}
        plan book prepaid
        grant pack 999999999999
        reserve a 999999999998
        settle a 799999999999.0000000000000001
        alerts             -> all 50% at 799999999999.0000000000000001 of 1000000000000
        clock 2026-11-23T10:00:00Z
        reserve b 1
        settle b 0.9999999999999999      -> closed 2 at 0.9999999999999999
        alerts             -> all 80% at 800000000000 of 1000000000000; USD low 199999999999 below 199999999999.8 after pack  # a year at this pace has 31 digits
        ",
    );
}

mod once {
    use proptest::prelude::*;

    use super::*;

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
        let Reply::Standing(limits) = world.apply(&Command::Standing(party)).unwrap() else {
            panic!()
        };
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
}

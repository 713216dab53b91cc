//! What is told, and that it is told once.
//!
//! `alerts` gives those raised since the last such line, in words; `tell {…}` puts the settings;
//! `outlook` looks ahead.

mod credit;
mod days;
mod once;

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

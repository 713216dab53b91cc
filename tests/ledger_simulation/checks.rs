//! The invariants, each by its number; `docs/simulator.md` says what they are.

use std::collections::BTreeMap;

use farebox::ledger::{Command, Context, Reply, SWEEP_MAX};
use farebox::record::{Class, Expected, Flag, PlanLineKind, Verdict, verify};

use super::auditor::{exact, units};
use super::simulation::Simulation;
use super::standing::Standing;
use super::words::{record_words, words};
use super::workload::{Phase, TTL, USERS};

impl Simulation {
    /// `recorded`: so many records there were before the command.
    pub(super) fn check_step(&mut self, command: &Command, recorded: usize) {
        let auditor = &self.auditor;
        for at in recorded..auditor.records.len() {
            let record = self.store.record(at);
            assert_eq!(record_words(&record), *auditor.records[at], "I3: another record");
            for line in record.plan.iter().flat_map(|plan| &plan.lines) {
                let event = match (line.kind, line.amount.is_zero()) {
                    (PlanLineKind::Charge, true) => "a call that was included",
                    (PlanLineKind::Charge, false) => "a call that was charged",
                    _ => "a floor, or what others moved",
                };
                *self.met.entry(event.to_owned()).or_default() += 1;
            }
            assert_eq!(record.recorded_at, self.now);
            if record.batch.is_some() {
                let is_late = record.flags.contains(&Flag::Late);
                let event = if is_late { "a line charged late" } else { "a line charged" };
                *self.met.entry(event.to_owned()).or_default() += 1;
            } else if matches!(command, Command::Batch(_)) && record.class != Class::Unresolved {
                *self.met.entry("a batch over".to_owned()).or_default() += 1;
            }
            for (flag, event) in [(Flag::Late, "a late correction"), (Flag::Overage, "an overage")]
            {
                if record.flags.contains(&flag) {
                    *self.met.entry(event.to_owned()).or_default() += 1;
                }
            }
        }
        assert_eq!(self.store.records.len(), auditor.records.len(), "I6");
        assert_eq!(
            self.store.total,
            auditor.settled(),
            "I1: settled is not the sum of the records"
        );
        let stand = auditor.standings();
        for standing in stand.iter().filter(|standing| standing.is_hard()) {
            let excess = standing.excess();
            if let Some(was) = self.stood.iter().find(|was| was.is_of_the_same(standing)) {
                let excused = was.excess().max(0) + standing.excused(auditor.excused);
                assert!(excess <= excused, "I2: limit {} is passed unflagged", standing.rule.id);
            }
        }
        if let Command::Reserve(reserve) = command
            && auditor.admitted
        {
            let attempt = &auditor.attempts[&reserve.attempt_id];
            // What needs nothing takes nothing from a limit, be it overdrawn.
            let fits =
                |limit: &Standing| limit.excess() <= 0 || attempt.takes(limit.rule.measure) == 0;
            let met = auditor.met(reserve);
            assert!(met.iter().filter(|s| s.is_hard()).all(fits), "I2: admitted over a limit");
        }
        auditor.check_batches();
        let due = self.store.open().filter(|hold| hold.expires_at <= self.now).count();
        assert!(due == 0 || auditor.expired >= SWEEP_MAX, "I5: {due} due after {command:?}");
        self.stood = stand;
        self.check_status();
    }

    /// The books as a ledger fresh from storage sees them.
    fn check_status(&self) {
        let mut twin = self.store.load(self.now);
        let context = Context {
            now: self.now,
            random: [0; 32],
            record_ring: &self.ring,
            hold_ttl: TTL,
            prior: self.store.prior(&Command::Status, &twin, self.now),
        };
        let outcome = twin.apply(&Command::Status, &context).unwrap();
        let mut auditor = self.auditor.clone();
        assert_eq!(words(&outcome.reply), auditor.expect(&Command::Status, self.now));
        if outcome.rows.is_empty() {
            let Reply::Status(snapshot) = outcome.reply else { panic!() };
            let settled = units(snapshot.spend.settled);
            assert_eq!(settled, self.store.total, "I1: settled is not the sum of the records");
        }
    }

    /// Every answer that was lost is asked for again, now that nothing fails: each gets a definite
    /// one, and asking once more changes nothing.
    pub(super) fn final_read(&mut self) {
        for at in 0..self.workload.attempts.len() {
            let attempt = &self.workload.attempts[at];
            let reserve = Command::Reserve(Box::new(self.workload.again(at)));
            let asked = attempt.phase == Phase::Asked && attempt.end.is_none();
            let Some(command) = attempt.end.clone().or_else(|| asked.then_some(reserve)) else {
                continue;
            };
            let first = self.tell(&command).expect("nothing fails any more");
            let records = self.store.records.len();
            let second = self.tell(&command).expect("nothing fails any more");
            match (&first, &second) {
                (Reply::Closed { seq, charged, .. }, _) => {
                    let (seq, charged) = (*seq, *charged);
                    assert_eq!(second, Reply::Closed { seq, charged, replayed: true }, "I4");
                }
                _ => assert_eq!(first, second, "I4"),
            }
            assert_eq!(self.store.records.len(), records, "I4: a repetition wrote a record");
        }
    }

    /// Liveness: no one renews, time passes, and nothing stays held.
    pub(super) fn come_to_rest(&mut self) {
        // A clock that went back has left holds that end later than now and their time.
        let ends = self.store.open().map(|hold| hold.expires_at);
        self.clock = ends.max().unwrap_or(self.now).max(self.now);
        for _ in 0..=self.workload.attempts.len() / SWEEP_MAX {
            self.tell(&Command::Sweep);
        }
        let Some(Reply::Status(snapshot)) = self.tell(&Command::Status) else { panic!() };
        assert!(snapshot.spend.held.is_zero() && snapshot.spend.open == 0, "held for ever");
        assert_eq!(self.ledger.as_ref().unwrap().next_expiry(), None);
    }

    pub(super) fn check_archive(&mut self) {
        let lines = self.store.lines();
        let head = self.ledger.as_ref().unwrap().head();
        let customer = "acme".parse().unwrap();
        let expected = Expected { customer, seq: head.seq, hash: head.hash };
        let expected = (head.seq > 0).then_some(&expected);
        let report = verify(lines.iter().map(String::as_str), &self.ring, expected);
        assert_eq!(report.verdict, Verdict::Ok, "I7: {:?}", report.finding);
        assert_eq!(report.records, head.seq);
        let total = report.totals.get("USD").copied().unwrap_or_default();
        assert_eq!(total, exact(self.auditor.settled()), "I1");
        self.check_attempts();
        for user in USERS {
            assert!(!lines.iter().any(|line| line.contains(user)), "an end user in clear");
        }
    }

    /// I3 from the records alone: one that corrects nothing; and each correction is of the last record,
    /// which was unresolved.
    fn check_attempts(&self) {
        let mut last = BTreeMap::new();
        for at in 0..self.store.records.len() {
            let record = self.store.record(at);
            let Some(corrects) = record.corrects else {
                let again = last.insert(record.attempt_id, record);
                assert!(again.is_none(), "I3: ended twice");
                continue;
            };
            let is_first = last[&record.attempt_id].corrects.is_none();
            let is_batch = record.class == Class::Unresolved || !is_first;
            let charged = is_first.then_some(last[&record.attempt_id].amount);
            let corrected = last.insert(record.attempt_id, record.clone()).expect("I3: nothing");
            assert_eq!(corrected.seq, corrects, "I3: it corrects another than the last");
            assert!(is_batch || charged == record.previous, "I3: of another amount");
            assert_eq!(corrected.class, Class::Unresolved, "I3");
        }
    }
}

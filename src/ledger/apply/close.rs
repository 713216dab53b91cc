//! How an attempt ends: settled, voided or expired; each writes one record.

use super::alerts::Noticed;
use super::charge::Charge;
use super::plan::Credit;
use super::{Broken, Op};
use crate::ids::AttemptId;
use crate::ledger::command::{PriorRecord, RecordRow, Reply, Row, Settle, Void};
use crate::ledger::limits::Tally;
use crate::ledger::state::{Head, Hold};
use crate::money::Exact;
use crate::record::{
    Answered, Class, Digest, FORMAT, Flag, LineOf, Private, Record, Sealed, quantities, seal,
};
use crate::wire::usage::{Meter, Provenance, Usage};

/// An attempt about to get a record.
pub(super) struct Closing {
    pub hold: Hold,
    pub class: Class,
    pub charge: Charge,
    pub answered: Answered,
    /// The record it corrects.
    pub corrects: Option<PriorRecord>,
    /// Digest of the command; a repetition is told from a conflict by it.
    pub command: Option<Digest>,
    /// Which line of which batch it is, if it is one.
    pub line: Option<LineOf>,
}

impl Op<'_> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Reply, Broken> {
        self.end(
            settle.attempt_id,
            digest(settle),
            answered(settle),
            Class::Settled,
            |hold, late| charge(hold, settle, late),
        )
    }

    pub(super) fn void(&mut self, void: &Void) -> Result<Reply, Broken> {
        let answered = Answered {
            upstream_status: void.upstream_status,
            finished_at: Some(void.finished_at),
            error_class: Some(void.error_class.clone()),
            ..Answered::default()
        };
        self.end(void.attempt_id, digest(void), answered, Class::Voided, |_, _| {
            Ok(Charge::default())
        })
    }

    /// Ends an attempt by a command: on time, late, or not at all because it ended before.
    fn end(
        &mut self,
        attempt_id: AttemptId,
        command: Digest,
        answered: Answered,
        class: Class,
        charge: impl Fn(&Hold, bool) -> Result<Charge, Broken>,
    ) -> Result<Reply, Broken> {
        // Due but not swept: from its very instant a hold is expired.
        let due = self.ledger.holds.get(&attempt_id).is_some_and(|h| h.expires_at <= self.now);
        if due {
            self.expire(attempt_id)?;
        }
        if let Some(hold) = self.ledger.take_hold(attempt_id, self.now)? {
            let charge = charge(&hold, false)?;
            self.rows.push(Row::DeleteHold(attempt_id));
            let command = Some(command);
            let (corrects, line) = (None, None);
            return self.close(Closing { hold, class, charge, answered, corrects, command, line });
        }
        match self.ended(attempt_id) {
            (_, Some(record)) if record.command == Some(command) => {
                Ok(Reply::Closed { seq: record.seq, charged: record.charged, replayed: true })
            }
            (Some(hold), Some(record)) if record.class == Class::Unresolved => {
                let mut charge = charge(&hold, true)?;
                charge.flags.extend([Flag::Late, Flag::Correction]);
                self.rows.push(Row::DeleteHold(attempt_id));
                let (corrects, command, line) = (Some(record), Some(command), None);
                self.close(Closing { hold, class, charge, answered, corrects, command, line })
            }
            (_, Some(record)) => Ok(Reply::Conflict { seq: record.seq }),
            (_, None) => Ok(Reply::UnknownAttempt),
        }
    }

    /// What is known of an attempt that is over: its hold, where that expired, and its last record.
    pub(super) fn ended(&self, attempt_id: AttemptId) -> (Option<Hold>, Option<PriorRecord>) {
        let just_expired = self.expired.iter().find(|(hold, _)| hold.attempt_id == attempt_id);
        match just_expired.cloned() {
            Some((hold, record)) => (Some(hold), Some(record)),
            None => (self.context.prior.expired.clone(), self.context.prior.record.clone()),
        }
    }

    /// A hold's time is over and nobody settled it: charged at its floor, until someone does.
    pub(super) fn expire(&mut self, attempt_id: AttemptId) -> Result<(), Broken> {
        let Some(mut hold) = self.ledger.take_hold(attempt_id, self.now)? else { return Ok(()) };
        let reached = hold.terms.as_ref().and_then(|terms| terms.outcome.as_ref());
        if let Some(confirmed) = reached.map(|reached| reached.silence_confirms) {
            let at = hold.expires_at;
            self.end_outcome(hold, confirmed, at, None)?;
            return Ok(());
        }
        self.rows.push(Row::ExpireHold(attempt_id));
        let charge = Charge::floor(&hold);
        let class = Class::Unresolved;
        let closed = self.close(Closing {
            hold: hold.clone(),
            class,
            charge,
            answered: Answered::default(),
            corrects: None,
            command: None,
            line: None,
        })?;
        let Reply::Closed { seq, charged, .. } = closed else { return Ok(()) };
        if let Some(terms) = hold.terms.as_deref_mut().filter(|t| t.batch.is_some() && !t.whole) {
            // Lines that are read later are paid from what was charged for all of them.
            terms.keep_least(self.ledger.contracts.money_pays(terms.number))?;
            self.rows.push(Row::PutHold(Box::new(hold.clone())));
        }
        self.expired.push((hold, PriorRecord { seq, class, charged, command: None }));
        Ok(())
    }

    /// Writes the record and moves the sums.
    pub(super) fn close(&mut self, closing: Closing) -> Result<Reply, Broken> {
        self.close_by(closing, &mut Credit::Own)
    }

    /// The same where `credit` pays.
    pub(super) fn close_by(
        &mut self,
        mut closing: Closing,
        credit: &mut Credit<'_>,
    ) -> Result<Reply, Broken> {
        let Closing { hold, class, corrects, charge, .. } = &mut closing;
        self.charge_by_terms(hold, *class, corrects.as_ref(), charge, credit)?;
        let seq = self.ledger.head.seq.saturating_add(1);
        let charged = closing.charge.amount;
        let before = closing.corrects.as_ref().map(|record| record.charged);
        let amount = charged.minus(before.unwrap_or(Exact::ZERO))?;
        let command = closing.command;
        let (attempt_id, request_id) = (closing.hold.attempt_id, closing.hold.request_id);
        let class = closing.class;
        let used = used(&closing, amount)?;
        let (reserved_at, parties) =
            (closing.hold.reserved_at, self.ledger.parties_of(&closing.hold));
        self.notice(Noticed::of(&closing, &parties, seq, amount));
        let sealed = self.sealed(seq, amount, closing)?;
        self.ledger.head = Head { seq, hash: sealed.hash };
        self.ledger.add_spend((reserved_at, &parties), used, self.now, &mut self.rows)?;
        self.rows.push(Row::PutRecord(Box::new(RecordRow {
            seq,
            attempt_id,
            request_id,
            class,
            charged,
            command,
            sealed,
        })));
        Ok(Reply::Closed { seq, charged, replayed: false })
    }

    fn sealed(&self, seq: u64, amount: Exact, closing: Closing) -> Result<Sealed, Broken> {
        let Closing { hold, class, charge, answered, corrects, line, .. } = closing;
        let Some(account) = &self.ledger.account else { return Err(Broken::NoSecret) };
        let mut flags = charge.flags;
        flags.sort_unstable();
        flags.dedup();
        let private = Private {
            v: FORMAT,
            provider: hold.pinned.provider,
            upstream: hold.pinned.upstream,
            cost: charge.cost,
            margin: charge.cost.map(|cost| charge.amount.minus(cost)).transpose()?,
            below_margin: hold.pinned.below_margin,
        };
        let record = Record {
            v: FORMAT,
            customer: account.customer.clone(),
            seq,
            prev: self.ledger.head.hash,
            attempt_id: hold.attempt_id,
            request_id: hold.request_id,
            corrects: corrects.as_ref().map(|record| record.seq),
            class,
            batch: line,
            outcome_of: hold.terms.and_then(|terms| terms.outcome).map(|reached| reached.of),
            admitted: hold.admitted,
            answered,
            recorded_at: self.now,
            quantities: quantities(&charge.usage),
            lines: charge.lines,
            plan: charge.plan,
            unpriced: charge.unpriced,
            sub_usage: charge.sub_usage,
            unknown: charge.unknown,
            previous: corrects.map(|record| record.charged),
            amount,
            flags,
            private: Digest::default(),
        };
        let salt = Digest::of(&[b"farebox-salt", &self.context.random, &seq.to_be_bytes()]);
        seal(record, &private, salt, self.context.record_ring).ok_or(Broken::NoSecret)
    }
}

/// What an ending adds to what was used. A correction takes back what the hold's expiry counted.
fn used(closing: &Closing, amount: Exact) -> Result<Tally, Broken> {
    let of = |class: Class, charge: &Charge| -> Result<Tally, Broken> {
        // Of an outcome, the attempt that reached it was counted.
        let is_none = class == Class::Voided || closing.hold.is_outcome();
        let requests = if is_none { Exact::ZERO } else { Exact::from(1) };
        Ok(Tally { money: Exact::ZERO, tokens: tokens(&charge.usage)?, requests })
    };
    let mut used = of(closing.class, &closing.charge)?;
    // What a hold of the first schema counted when it expired is not known: too much is counted
    // rather than too little.
    if closing.corrects.is_some() && closing.hold.scopes.tokens.is_some() {
        used = used.minus(of(Class::Unresolved, &Charge::floor(&closing.hold))?)?;
    }
    Ok(Tally { money: amount, ..used })
}

/// Input and output together, as far as they are known.
fn tokens(usage: &Usage) -> Result<Exact, Broken> {
    let known = |total, parts: &[Meter]| {
        let whole = usage.get(total);
        whole.map_or_else(|| Exact::sum(parts.iter().filter_map(|part| usage.get(*part))), Ok)
    };
    let parts = [Meter::InputUncached, Meter::CacheRead, Meter::CacheWrite];
    let input = known(Meter::InputTotal, &parts)?;
    Ok(input.plus(known(Meter::OutputTotal, &[])?)?)
}

impl Closing {
    /// What was used under a hold that no window counts.
    pub(super) fn unheld(hold: Hold, settle: &Settle, flag: Flag) -> Result<Self, Broken> {
        let mut charge = charge(&hold, settle, false)?;
        charge.flags.push(flag);
        let (class, answered) = (Class::Settled, answered(settle));
        let command = Some(digest(settle));
        Ok(Self { hold, class, charge, answered, corrects: None, command, line: None })
    }
}

fn answered(settle: &Settle) -> Answered {
    Answered {
        upstream_status: settle.upstream_status,
        outcome: Some(settle.outcome),
        served_model: settle.served_model.clone(),
        served_tier: settle.served_tier.clone(),
        first_byte_at: settle.first_byte_at,
        finished_at: Some(settle.finished_at),
        error_class: settle.error_class.clone(),
    }
}

/// What a settle charges; `late`: after the hold had expired.
fn charge(hold: &Hold, settle: &Settle, late: bool) -> Result<Charge, Broken> {
    let usage = if late { mark_late(&settle.usage) } else { settle.usage.clone() };
    let mut charge = Charge::of(hold, &usage, &settle.sub_usage, settle.served_tier.as_deref())?;
    charge.unknown.clone_from(&settle.unknown);
    if settle.suspect {
        charge.flags.push(Flag::Suspect);
    }
    if settle.served_other {
        charge.flags.push(Flag::ServedOther);
    }
    Ok(charge)
}

/// Reported, but after the hold had expired.
pub(super) fn mark_late(usage: &Usage) -> Usage {
    let mut late = usage.clone();
    for (meter, measured) in usage.iter() {
        if measured.provenance == Provenance::Reported {
            late.set(meter, measured.quantity, Provenance::Late);
        }
    }
    late
}

/// What makes two commands the same command.
pub(super) fn digest(command: &impl serde::Serialize) -> Digest {
    // Our own types always serialise; were one not to, an empty text conflicts with everything.
    Digest::of(&[serde_json::to_string(command).unwrap_or_default().as_bytes()])
}

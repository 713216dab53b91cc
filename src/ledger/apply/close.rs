//! How an attempt ends: settled, voided or expired; each writes one record.

use super::charge::Charge;
use super::{Broken, Op};
use crate::ids::AttemptId;
use crate::ledger::command::{PriorRecord, RecordRow, Reply, Row, Settle, Void};
use crate::ledger::state::{Head, Hold};
use crate::money::Exact;
use crate::record::{
    Answered, Class, Digest, FORMAT, Flag, Private, Record, Sealed, quantities, seal,
};
use crate::wire::usage::{Provenance, Usage};

/// An attempt about to get a record.
struct Closing {
    hold: Hold,
    class: Class,
    charge: Charge,
    answered: Answered,
    /// The record it corrects.
    corrects: Option<PriorRecord>,
    /// Digest of the command; a repetition is told from a conflict by it.
    command: Option<Digest>,
}

impl Op<'_> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Reply, Broken> {
        let answered = Answered {
            upstream_status: settle.upstream_status,
            outcome: Some(settle.outcome),
            served_model: settle.served_model.clone(),
            served_tier: settle.served_tier.clone(),
            first_byte_at: settle.first_byte_at,
            finished_at: Some(settle.finished_at),
            error_class: settle.error_class.clone(),
        };
        let tier = settle.served_tier.as_deref();
        self.end(settle.attempt_id, digest(settle), answered, Class::Settled, |hold, late| {
            let usage = if late { mark_late(&settle.usage) } else { settle.usage.clone() };
            let mut charge = Charge::of(hold, &usage, &settle.sub_usage, tier)?;
            charge.unknown.clone_from(&settle.unknown);
            if settle.suspect {
                charge.flags.push(Flag::Suspect);
            }
            if settle.served_other {
                charge.flags.push(Flag::ServedOther);
            }
            Ok(charge)
        })
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
        if let Some(hold) = self.ledger.take_hold(attempt_id)? {
            let charge = charge(&hold, false)?;
            self.rows.push(Row::DeleteHold(attempt_id));
            let command = Some(command);
            return self.close(Closing { hold, class, charge, answered, corrects: None, command });
        }
        let just_expired = self.expired.iter().find(|(hold, _)| hold.attempt_id == attempt_id);
        let (expired, record) = match just_expired.cloned() {
            Some((hold, record)) => (Some(hold), Some(record)),
            None => (self.context.prior.expired.clone(), self.context.prior.record.clone()),
        };
        match (expired, record) {
            (_, Some(record)) if record.command == Some(command) => {
                Ok(Reply::Closed { seq: record.seq, charged: record.charged, replayed: true })
            }
            (Some(hold), Some(record)) if record.class == Class::Unresolved => {
                let mut charge = charge(&hold, true)?;
                charge.flags.extend([Flag::Late, Flag::Correction]);
                self.rows.push(Row::DeleteHold(attempt_id));
                let (corrects, command) = (Some(record), Some(command));
                self.close(Closing { hold, class, charge, answered, corrects, command })
            }
            (_, Some(record)) => Ok(Reply::Conflict { seq: record.seq }),
            (_, None) => Ok(Reply::UnknownAttempt),
        }
    }

    /// A hold's time is over and nobody settled it: charged at its floor, until someone does.
    pub(super) fn expire(&mut self, attempt_id: AttemptId) -> Result<(), Broken> {
        let Some(hold) = self.ledger.take_hold(attempt_id)? else { return Ok(()) };
        self.rows.push(Row::ExpireHold(attempt_id));
        let charge = Charge::floor(&hold);
        let charged = charge.amount;
        let class = Class::Unresolved;
        self.close(Closing {
            hold: hold.clone(),
            class,
            charge,
            answered: Answered::default(),
            corrects: None,
            command: None,
        })?;
        let seq = self.ledger.head.seq;
        self.expired.push((hold, PriorRecord { seq, class, charged, command: None }));
        Ok(())
    }

    /// Writes the record and moves the sums.
    fn close(&mut self, closing: Closing) -> Result<Reply, Broken> {
        let seq = self.ledger.head.seq.saturating_add(1);
        let charged = closing.charge.amount;
        let before = closing.corrects.as_ref().map(|record| record.charged);
        let amount = charged.minus(before.unwrap_or(Exact::ZERO))?;
        let command = closing.command;
        let (attempt_id, request_id) = (closing.hold.attempt_id, closing.hold.request_id);
        let (class, reserved_at) = (closing.class, closing.hold.reserved_at);
        let sealed = self.sealed(seq, amount, closing)?;
        self.ledger.head = Head { seq, hash: sealed.hash };
        let (hour, sum) = self.ledger.add_spend(reserved_at, amount)?;
        self.rows.push(Row::PutHour(hour, sum));
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
        let Closing { hold, class, charge, answered, corrects, .. } = closing;
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
            admitted: hold.admitted,
            answered,
            recorded_at: self.now,
            quantities: quantities(&charge.usage),
            lines: charge.lines,
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

/// Reported, but after the hold had expired.
fn mark_late(usage: &Usage) -> Usage {
    let mut late = usage.clone();
    for (meter, measured) in usage.iter() {
        if measured.provenance == Provenance::Reported {
            late.set(meter, measured.quantity, Provenance::Late);
        }
    }
    late
}

/// What makes two commands the same command.
fn digest(command: &impl serde::Serialize) -> Digest {
    // Our own types always serialise; were one not to, an empty text conflicts with everything.
    Digest::of(&[serde_json::to_string(command).unwrap_or_default().as_bytes()])
}

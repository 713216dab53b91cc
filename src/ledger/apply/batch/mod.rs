//! Batches: kept under their name, and charged line by line, each once.

mod line;
mod rest;

use std::collections::{BTreeSet, HashSet};

use line::line_hold;
use rest::Rest;

use super::charge::Charge;
use super::{Broken, Op};
use crate::clock::{Millis, Timestamp};
use crate::ids::AttemptId;
use crate::ledger::batch::{
    Batch, BatchCommand, BatchLine, BatchRow, File, Forecast, Progress, Seen,
};
use crate::ledger::command::{Reply, Row, Unresolved};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::terms::HeldTerms;
use crate::ledger::{BATCH_LINES_MAX, JOB_ID_MAX};
use crate::money::Exact;
use crate::quote::batch::TIER;
use crate::record::{Answered, Class, Digest, LineOf};

/// How long what a file's requests can cost is kept: as long as OpenAI keeps files for batches.
const FILE_LIFE_MS: i64 = 30 * 86_400_000;

impl Op<'_> {
    pub(in crate::ledger::apply) fn batch(
        &mut self,
        command: &BatchCommand,
    ) -> Result<Reply, Broken> {
        match command {
            BatchCommand::Keep { file_id, forecast } => {
                if !is_name(file_id) {
                    return Ok(Reply::Invalid("a file needs a name of reasonable length".into()));
                }
                let file = File::Requests(forecast.clone());
                let oldest = self.now.ms().saturating_sub(FILE_LIFE_MS);
                self.rows.push(Row::Batch(BatchRow::ForgetFiles(Timestamp::from_ms(oldest))));
                self.rows.push(Row::Batch(BatchRow::File(file_id.clone(), self.now, file)));
                Ok(Reply::Done)
            }
            BatchCommand::Open { batch_id, attempt_id, forecast, life, unresolved } => {
                self.open_batch(batch_id, *attempt_id, forecast, *life, *unresolved)
            }
            BatchCommand::Lost { attempt_id } => Ok(self.lose_batch(*attempt_id)),
            BatchCommand::Seen { batch_id, seen } => self.seen_batch(batch_id, seen),
            BatchCommand::Post { batch_id, lines, whole, at } => {
                self.post_lines(batch_id, lines, *whole, *at)
            }
        }
    }

    /// Keeps a hold for a batch, and writes down whose it is, in the same transaction.
    fn open_batch(
        &mut self,
        batch_id: &str,
        attempt_id: AttemptId,
        forecast: &Forecast,
        life: Millis,
        unresolved: Unresolved,
    ) -> Result<Reply, Broken> {
        if !is_name(batch_id) || forecast.prices.is_empty() {
            return Ok(Reply::Invalid("a batch needs a name of reasonable length".into()));
        }
        if let Some(known) = &self.context.prior.batch
            && known.batch.attempt_id != attempt_id
        {
            return Ok(Reply::Invalid("the batch belongs to another attempt".into()));
        }
        if self.ledger.holds.get(&attempt_id).is_none_or(|hold| hold.expires_at <= self.now) {
            return Ok(Reply::Expired);
        }
        let is_single =
            |hold: &Hold| hold.terms.as_ref().is_some_and(|terms| terms.batch.is_none());
        if self.ledger.holds.get(&attempt_id).is_some_and(is_single) {
            let why = "it was held for as a single request, not as a batch";
            return Ok(Reply::Invalid(why.into()));
        }
        let Some(mut hold) = self.ledger.take_hold(attempt_id, self.now)? else {
            return Ok(Reply::Expired);
        };
        hold.expires_at = hold.expires_at.max(self.now.plus(life));
        if unresolved == Unresolved::Hold {
            hold.floor = hold.amount();
            hold.terms.iter_mut().for_each(|terms| terms.whole = true);
        }
        let line = hold.terms.as_ref().and_then(|terms| terms.batch.as_ref());
        let dearest = line.map_or(forecast.dearest, |line| line.money);
        let expires_at = hold.expires_at;
        if self.context.prior.batch.is_none() {
            let batch = Batch {
                attempt_id,
                request_id: hold.request_id,
                reserved_at: hold.reserved_at,
                admitted: hold.admitted.clone(),
                scopes: hold.scopes.clone(),
                upstream: forecast.upstream.clone(),
                prices: forecast.prices.clone(),
                dearest,
                terms: hold.terms.as_deref().map(of_any_line).map(Box::new),
                progress: Progress::default(),
            };
            self.rows.push(Row::Batch(BatchRow::Batch(batch_id.to_owned(), Box::new(batch))));
        }
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold, self.now)?;
        Ok(Reply::Held { expires_at, remaining: None, standings: Vec::new() })
    }

    /// Nobody can have its results: all of its hold is charged when that is over.
    fn lose_batch(&mut self, attempt_id: AttemptId) -> Reply {
        let Some(hold) = self.ledger.holds.get_mut(&attempt_id) else { return Reply::Expired };
        if hold.expires_at <= self.now {
            return Reply::Expired;
        }
        hold.floor = hold.amount();
        hold.terms.iter_mut().for_each(|terms| terms.whole = true);
        let expires_at = hold.expires_at;
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        Reply::Held { expires_at, remaining: None, standings: Vec::new() }
    }

    /// What the provider says of it frees what cannot be needed any more, and says whose its files
    /// are.
    fn seen_batch(&mut self, batch_id: &str, seen: &Seen) -> Result<Reply, Broken> {
        let Some(known) = &self.context.prior.batch else { return Ok(Reply::UnknownAttempt) };
        let mut batch = known.batch.clone();
        for (file_id, errors) in [(&seen.answers, false), (&seen.errors, true)] {
            let Some(file_id) = file_id.as_ref().filter(|file_id| is_name(file_id)) else {
                continue;
            };
            let file = File::Results { batch_id: batch_id.to_owned(), errors };
            self.rows.push(Row::Batch(BatchRow::File(file_id.clone(), self.now, file)));
        }
        if !seen.ended {
            return Ok(Reply::Done);
        }
        batch.progress.ended = true;
        batch.progress.succeeded = seen.succeeded;
        batch.progress.used = used(&batch, seen)?;
        let mut rest = self.rest(batch.attempt_id)?;
        let set = self.take_aside(&mut rest, batch.attempt_id);
        let is_empty = seen.succeeded.map_or(!seen.has_results, |lines| lines == 0);
        if is_empty {
            let class = if batch.progress.posted == 0 { Class::Voided } else { Class::Settled };
            let answered =
                Answered { error_class: Some(seen.status.clone()), ..finished(self.now) };
            self.end_batch(&batch, rest, set, class, answered)?;
        } else {
            let left = rest.amount();
            let most = batch.progress.still_to_come(batch.dearest);
            let is_known = batch.progress.used.is_some();
            let left = most.map_or(left, |most| left.min(most));
            self.leave(&batch, rest, set, (left, is_known))?;
        }
        self.rows.push(Row::Batch(BatchRow::Batch(batch_id.to_owned(), Box::new(batch))));
        Ok(Reply::Done)
    }

    /// Charges the lines that were not charged before.
    fn post_lines(
        &mut self,
        batch_id: &str,
        lines: &[BatchLine],
        whole: bool,
        at: Timestamp,
    ) -> Result<Reply, Broken> {
        if lines.len() > BATCH_LINES_MAX {
            return Ok(Reply::Invalid(format!("at most {BATCH_LINES_MAX} lines at once")));
        }
        let Some(known) = &self.context.prior.batch else { return Ok(Reply::UnknownAttempt) };
        let mut batch = known.batch.clone();
        let mut charged: HashSet<Digest> = known.posted.iter().copied().collect();
        let mut rest = self.rest(batch.attempt_id)?;
        let mut set = self.take_aside(&mut rest, batch.attempt_id);
        let is_late = !matches!(rest, Rest::Held(_));
        let (before, posted) = (batch.progress.charged, batch.progress.posted);
        let mut left = rest.amount();
        for line in lines {
            if !charged.insert(line.id) {
                continue;
            }
            let of = LineOf { id: batch_id.to_owned(), line: line.id };
            let of = (of, (left, is_late));
            let (cost, reached) = self.post_line(&batch, of, line, set.as_mut(), at)?;
            batch.progress.posted = batch.progress.posted.saturating_add(1);
            batch.progress.charged = batch.progress.charged.plus(cost)?;
            // One that makes others cheaper leaves no more for those to come.
            left = left.minus(cost.max(Exact::ZERO))?.minus(reached)?.max(Exact::ZERO);
        }
        let complete = whole && batch.progress.is_complete();
        let is_changed = batch.progress.charged > before
            || batch.terms.is_some() && batch.progress.posted > posted;
        if complete && !matches!(rest, Rest::Closed) {
            let answered = finished(at);
            self.end_batch(&batch, rest, set, Class::Settled, answered)?;
        } else if is_changed {
            let most = batch.progress.still_to_come(batch.dearest);
            let left = most.map_or(left, |most| left.min(most));
            self.leave(&batch, rest, set, (left, false))?;
        } else {
            self.put_aside(batch.attempt_id, set);
        }
        if !self.rows.is_empty() {
            self.keep_last_sums();
            self.rows.push(Row::Batch(BatchRow::Batch(batch_id.to_owned(), Box::new(batch))));
        }
        Ok(Reply::Done)
    }

    /// Of several sums of one hour, place or grant only the last is worth writing.
    fn keep_last_sums(&mut self) {
        let (mut hours, mut places, mut grants) = (HashSet::new(), BTreeSet::new(), HashSet::new());
        self.rows.reverse();
        self.rows.retain(|row| match row {
            Row::PutHour(hour, _) => hours.insert(*hour),
            Row::PutPlanUse(row) => places.insert((row.number, row.period, row.place.clone())),
            Row::PutCredit(unit, id, _) => grants.insert((*unit == Unit::Money, id.clone())),
            _ => true,
        });
        self.rows.reverse();
    }
}

fn finished(at: Timestamp) -> Answered {
    Answered { finished_at: Some(at), ..Answered::default() }
}

fn is_name(name: &str) -> bool {
    (1..=JOB_ID_MAX).contains(&name.len())
}

/// The terms of a batch's hold as each of its lines has them.
fn of_any_line(terms: &HeldTerms) -> HeldTerms {
    HeldTerms {
        aside: Vec::new(),
        book_floor: Exact::ZERO,
        ..terms.of_line(terms.dimensions.get("model").map_or("", String::as_str))
    }
}

/// What all lines together cost, by the provider's own sum. Not where several models served, where a
/// line's price depends on its length, or under terms: on what the period has used by then.
fn used(batch: &Batch, seen: &Seen) -> Result<Option<Exact>, Broken> {
    let (Some(usage), [prices]) = (&seen.usage, &batch.prices[..]) else { return Ok(None) };
    if !prices.pinned.context.is_empty() || batch.terms.is_some() {
        return Ok(None);
    }
    let line = BatchLine {
        id: Digest::default(),
        model: None,
        served_model: None,
        usage: usage.clone(),
        outcome: crate::meter::Outcome::Complete,
        suspect: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
    };
    let hold = line_hold(batch, prices, &line, batch.admitted.held);
    Ok(Some(Charge::of(&hold, usage, &[], Some(TIER))?.amount))
}

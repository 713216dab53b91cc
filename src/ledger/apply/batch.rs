//! Batches: kept under their name, and charged line by line, each once.

use std::collections::{BTreeSet, HashSet};

use super::charge::Charge;
use super::close::{Closing, mark_late};
use super::plan::Credit;
use super::{Broken, Op};
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Id};
use crate::ledger::batch::{
    Batch, BatchCommand, BatchLine, BatchRow, File, Forecast, ModelPrices, Progress, Seen,
};
use crate::ledger::command::{PriorRecord, Reply, Row, Scopes, Unresolved};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::terms::HeldTerms;
use crate::ledger::{BATCH_LINES_MAX, JOB_ID_MAX};
use crate::money::Exact;
use crate::record::{Admitted, Answered, Class, Digest, Flag, LineOf};
use crate::wire::usage::Usage;

/// The service tier of every line.
const TIER: Option<&str> = Some("batch");

/// How long what a file's requests can cost is kept: as long as OpenAI keeps files for batches.
const FILE_LIFE_MS: i64 = 30 * 86_400_000;

/// Where the money is that is set aside for lines not charged yet.
enum Rest {
    /// Held.
    Held(Exact),
    /// The hold's time was over, and this much was charged for want of anything better.
    Charged(Box<Hold>, PriorRecord),
    /// Nowhere: all lines were in.
    Closed,
}

impl Rest {
    fn amount(&self) -> Exact {
        match self {
            Self::Held(amount) => *amount,
            Self::Charged(_, record) => record.charged,
            Self::Closed => Exact::ZERO,
        }
    }
}

impl Op<'_> {
    pub(super) fn batch(&mut self, command: &BatchCommand) -> Result<Reply, Broken> {
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
            let cost = self.post_line(&batch, of, line, set.as_mut(), at)?;
            batch.progress.posted = batch.progress.posted.saturating_add(1);
            batch.progress.charged = batch.progress.charged.plus(cost)?;
            // One that makes others cheaper leaves no more for those to come.
            left = left.minus(cost.max(Exact::ZERO))?.max(Exact::ZERO);
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

    /// One line: a record of its own, under an attempt of its own. Answers what it cost.
    fn post_line(
        &mut self,
        batch: &Batch,
        (of, (left, is_late)): (LineOf, (Exact, bool)),
        line: &BatchLine,
        set: Option<&mut HeldTerms>,
        at: Timestamp,
    ) -> Result<Exact, Broken> {
        let usage = if is_late { mark_late(&line.usage) } else { line.usage.clone() };
        let held = batch.dearest.min(left);
        let mut dearest: Option<(Exact, Hold, Charge)> = None;
        let candidates = candidates(&batch.prices, line.model.as_deref());
        let is_known = candidates.len() == 1;
        for prices in candidates {
            let mut hold = line_hold(batch, prices, line, held);
            self.cover_line(&mut hold, &usage)?;
            let charge = Charge::of(&hold, &usage, &line.sub_usage, TIER)?;
            let price = charge.amount.plus(self.price_by_plan(&hold, &charge.own)?)?;
            if dearest.as_ref().is_none_or(|(other, ..)| price > *other) {
                dearest = Some((price, hold, charge));
            }
        }
        // A batch has at least one model.
        let Some((_, hold, mut charge)) = dearest else { return Ok(Exact::ZERO) };
        charge.unknown.clone_from(&line.unknown);
        let doubts = [(line.suspect || !is_known, Flag::Suspect), (is_late, Flag::Late)];
        charge.flags.extend(doubts.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| *flag));
        let answered = Answered {
            upstream_status: Some(200),
            outcome: Some(line.outcome),
            served_model: line.served_model.clone(),
            served_tier: TIER.map(str::to_owned),
            ..finished(at)
        };
        self.rows.push(Row::Batch(BatchRow::Line(of.id.clone(), of.line)));
        let (mut nothing, mut credit) = (Vec::new(), None);
        if let Some(set) = set {
            self.use_quotas(set, &hold, &charge.own)?;
            credit = Some(&mut set.aside);
        }
        let credit = credit.unwrap_or(&mut nothing);
        let mut credit = if is_late { Credit::Paid(credit) } else { Credit::Batch(credit) };
        let (class, corrects, command, line) = (Class::Settled, None, None, Some(of));
        let closing = Closing { hold, class, charge, answered, corrects, command, line };
        match self.close_by(closing, &mut credit)? {
            Reply::Closed { charged, .. } => Ok(charged),
            _ => Ok(Exact::ZERO),
        }
    }

    /// Which of a line's meters its customer's plan prices.
    fn cover_line(&self, hold: &mut Hold, usage: &Usage) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref_mut() else { return Ok(()) };
        let force = self.ledger.contracts.number(terms.number);
        if let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) {
            (_, terms.covered) = plan.parts_of(usage, &terms.dimensions)?;
        }
        Ok(())
    }

    /// What a line used of the plan's hard limits is not held for any more.
    fn use_quotas(&self, set: &mut HeldTerms, hold: &Hold, used: &Usage) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref() else { return Ok(()) };
        let force = self.ledger.contracts.number(terms.number);
        let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) else {
            return Ok(());
        };
        let (parts, _) = plan.parts_of(used, &terms.dimensions)?;
        for (quota, used) in set.quotas.iter_mut().zip(plan.quota_use(&parts).unwrap_or_default()) {
            *quota = quota.minus(used)?.max(Exact::ZERO);
        }
        Ok(())
    }

    /// Takes out what the batch's hold has set aside under the customer's terms; where that hold is
    /// over, what was paid for all of it then.
    fn take_aside(&mut self, rest: &mut Rest, attempt_id: AttemptId) -> Option<HeldTerms> {
        let terms = match rest {
            Rest::Held(_) => self.ledger.holds.get(&attempt_id)?.terms.as_deref().cloned(),
            Rest::Charged(hold, _) => hold.terms.as_deref().cloned(),
            Rest::Closed => None,
        };
        let is_paid = matches!(rest, Rest::Charged(..));
        let mut terms = terms.filter(|terms| terms.batch.is_some())?;
        if is_paid && !terms.whole {
            // Charged its least: what was set aside was free with that.
            terms.aside.clear();
        }
        Some(terms)
    }

    fn put_aside(&mut self, attempt_id: AttemptId, set: Option<HeldTerms>) {
        if let (Some(hold), Some(set)) = (self.ledger.holds.get_mut(&attempt_id), set) {
            hold.terms = Some(Box::new(set));
        }
    }

    /// Where the money for the lines still to come is.
    fn rest(&mut self, attempt_id: AttemptId) -> Result<Rest, Broken> {
        // Due but not swept: from its very instant a hold is expired.
        if self.ledger.holds.get(&attempt_id).is_some_and(|hold| hold.expires_at <= self.now) {
            self.expire(attempt_id)?;
        }
        if let Some(hold) = self.ledger.holds.get(&attempt_id) {
            return Ok(Rest::Held(hold.amount()));
        }
        let just_expired = self.expired.iter().find(|(hold, _)| hold.attempt_id == attempt_id);
        let prior = &self.context.prior;
        Ok(match (just_expired, &prior.expired, &prior.record) {
            (Some((hold, record)), ..) => Rest::Charged(Box::new(hold.clone()), record.clone()),
            (None, Some(hold), Some(record)) if record.class == Class::Unresolved => {
                Rest::Charged(Box::new(hold.clone()), record.clone())
            }
            _ => Rest::Closed,
        })
    }

    /// Leaves `left` for the lines still to come, and frees what is above it. `is_known`: that is
    /// what they cost, and no mere bound.
    fn leave(
        &mut self,
        batch: &Batch,
        rest: Rest,
        mut set: Option<HeldTerms>,
        (left, is_known): (Exact, bool),
    ) -> Result<(), Broken> {
        if let Some(set) = &mut set {
            let lines = batch.progress.lines_to_come();
            self.keep_for_lines(set, lines, matches!(rest, Rest::Charged(..)))?;
        }
        let set = set.map(Box::new);
        match rest {
            Rest::Held(before) => {
                let Some(mut hold) = self.ledger.take_hold(batch.attempt_id, self.now)? else {
                    return Ok(());
                };
                let freed = before.minus(left)?;
                hold.released = hold.released.plus(freed)?;
                let floor = hold.floor.minus(freed)?.max(Exact::ZERO);
                hold.floor = if is_known || hold.floor == before { left } else { floor };
                hold.terms = set;
                self.rows.push(Row::PutHold(Box::new(hold.clone())));
                self.ledger.add_hold(hold, self.now)?;
                Ok(())
            }
            Rest::Charged(mut hold, record) if left < record.charged || set.is_some() => {
                hold.terms = set;
                self.rows.push(Row::PutHold(hold.clone()));
                if left >= record.charged {
                    return Ok(());
                }
                let mut charge = Charge::floor(&hold);
                charge.amount = left;
                charge.flags.extend([Flag::Late, Flag::Correction]);
                self.correct(*hold, record, Class::Unresolved, charge, Answered::default())
            }
            Rest::Charged(..) | Rest::Closed => Ok(()),
        }
    }

    /// Nothing more will come: what is left is freed, and the batch's own attempt ends at zero, for
    /// its lines carry what it costs.
    fn end_batch(
        &mut self,
        batch: &Batch,
        rest: Rest,
        mut set: Option<HeldTerms>,
        class: Class,
        answered: Answered,
    ) -> Result<(), Broken> {
        match rest {
            Rest::Held(_) => {
                self.put_aside(batch.attempt_id, set);
                let Some(hold) = self.ledger.take_hold(batch.attempt_id, self.now)? else {
                    return Ok(());
                };
                self.rows.push(Row::DeleteHold(batch.attempt_id));
                let charge = Charge::default();
                let (corrects, command, line) = (None, None, None);
                self.close(Closing { hold, class, charge, answered, corrects, command, line })?;
                Ok(())
            }
            Rest::Charged(hold, record) => {
                if let Some(set) = &mut set {
                    self.keep_for_lines(set, Some(0), true)?;
                }
                self.rows.push(Row::DeleteHold(batch.attempt_id));
                let flags = vec![Flag::Late, Flag::Correction];
                let charge = Charge { flags, ..Charge::default() };
                self.correct(*hold, record, class, charge, answered)
            }
            Rest::Closed => Ok(()),
        }
    }

    fn correct(
        &mut self,
        hold: Hold,
        record: PriorRecord,
        class: Class,
        charge: Charge,
        answered: Answered,
    ) -> Result<(), Broken> {
        let (corrects, command, line) = (Some(record), None, None);
        self.close(Closing { hold, class, charge, answered, corrects, command, line })?;
        Ok(())
    }
}

fn finished(at: Timestamp) -> Answered {
    Answered { finished_at: Some(at), ..Answered::default() }
}

fn is_name(name: &str) -> bool {
    (1..=JOB_ID_MAX).contains(&name.len())
}

/// Which prices a line may be charged at: its model's; where that cannot be told, any of them.
fn candidates<'b>(prices: &'b [ModelPrices], model: Option<&str>) -> &'b [ModelPrices] {
    let at = model.and_then(|model| prices.iter().position(|each| each.model == model));
    at.and_then(|at| prices.get(at..at.saturating_add(1))).unwrap_or(prices)
}

/// A line as an attempt of its own; the same line is the same attempt, whoever reads it.
fn line_hold(batch: &Batch, prices: &ModelPrices, line: &BatchLine, held: Exact) -> Hold {
    let mark =
        Digest::of(&[b"farebox-batch-line", batch.attempt_id.to_string().as_bytes(), &line.id.0]);
    let mut random = [0; 10];
    random.iter_mut().zip(mark.0).for_each(|(to, from)| *to = from);
    Hold {
        attempt_id: Id::new(batch.admitted.received_at, random),
        request_id: batch.request_id,
        reserved_at: batch.reserved_at,
        expires_at: batch.reserved_at,
        floor: Exact::ZERO,
        admitted: Admitted { model: prices.model.clone(), held, ..batch.admitted.clone() },
        pinned: prices.pinned.clone(),
        // Its tokens are not held: those of the batch are, as one.
        scopes: Scopes { tokens: None, ..batch.scopes.clone() },
        released: Exact::ZERO,
        terms: batch.terms.as_ref().map(|terms| {
            let model = prices.most.as_ref().map_or(&prices.model, |most| &most.model);
            Box::new(terms.of_line(model))
        }),
    }
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
    Ok(Some(Charge::of(&hold, usage, &[], TIER)?.amount))
}

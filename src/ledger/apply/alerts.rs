//! What an operation has to tell: looked at once, after all else it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Op;
use super::close::Closing;
use crate::clock::Timestamp;
use crate::ids::RequestId;
use crate::ledger::alerts::{
    Alert, AlertRow, AlertSettings, MODELS_MAX, NAMED_MAX, OTHER_MODELS, Outlook, SpikeSettings,
    Standing, Used, Watch, What, alert_id, is_reached, look_ahead, until, week,
};
use crate::ledger::command::{Reply, Row};
use crate::ledger::limits::Party;
use crate::ledger::purse::Unit;
use crate::money::{Exact, OutOfRange};
use crate::record::Flag;

/// What is remembered of an ending until the operation is over.
pub(super) struct Noticed {
    parties: Vec<Party>,
    reserved_at: Timestamp,
    amount: Exact,
    model: String,
    request_id: RequestId,
    seq: u64,
    flags: Vec<Flag>,
    unpriced: Vec<String>,
    unknown: Vec<String>,
}

impl Noticed {
    pub fn of(closing: &Closing, parties: &[Party], seq: u64, amount: Exact) -> Self {
        let Closing { hold, charge, .. } = closing;
        let meters =
            charge.unpriced.iter().chain(charge.sub_usage.iter().flat_map(|s| &s.unpriced));
        let model = hold.scopes.model.as_ref().unwrap_or(&hold.admitted.model);
        Self {
            parties: parties.to_vec(),
            reserved_at: hold.reserved_at,
            amount,
            model: model.clone(),
            request_id: hold.request_id,
            seq,
            flags: charge.flags.clone(),
            unpriced: meters.take(NAMED_MAX).map(|meter| meter.as_str().to_owned()).collect(),
            unknown: charge.unknown.iter().take(NAMED_MAX).map(|each| each.path.clone()).collect(),
        }
    }
}

impl Op<'_> {
    /// Remembers an ending, and counts it into the days and months in memory, which so never differ
    /// from the sums they are made of.
    pub(super) fn notice(&mut self, ended: Noticed) {
        let alerts = &mut self.ledger.alerts;
        if let Some(mut watch) = alerts.watch.take()
            && watch.add(ended.reserved_at, ended.amount).is_ok()
        {
            alerts.watch = Some(watch);
        }
        self.noticed.push(ended);
    }

    /// Looks at everything that this operation may have made true. `conflict`: the record that stood
    /// against a second settle; `asked`: the operator changed something. An alert that cannot be
    /// computed is not worth an operation that fails: what settles, settles.
    pub(super) fn tell(&mut self, conflict: Option<u64>, asked: bool) {
        let due = self.ledger.alerts.summary_at.is_some_and(|at| at <= self.now);
        if self.noticed.is_empty() && !asked && !due && conflict.is_none() {
            return;
        }
        let noticed = core::mem::take(&mut self.noticed);
        let Ok(Some(mut watch)) = self.take_watch() else { return };
        let settings = self.ledger.alerts.settings.clone();
        let _ = self.tell_weeks(&watch, &settings, &noticed);
        self.tell_limits(&mut watch, &settings, &noticed);
        self.tell_balances(&mut watch, &settings);
        let _ = self.tell_burning(&mut watch, &settings);
        self.tell_typical(&mut watch, &settings);
        let _ = self.tell_spike(&mut watch, &settings);
        if settings.usage {
            self.tell_usage(&watch, &noticed);
            if let Some(seq) = conflict {
                self.raise(&watch, What::Conflict { seq: seq.to_string() });
            }
        }
        self.ledger.alerts.watch = Some(watch);
    }

    /// The customer's days and months; made where they are not there.
    fn take_watch(&mut self) -> Result<Option<Box<Watch>>, OutOfRange> {
        let ledger = &mut *self.ledger;
        let Some(account) = &ledger.account else { return Ok(None) };
        let known = ledger.alerts.watch.take().filter(|watch| watch.is_of(self.now));
        if known.is_some() {
            return Ok(known);
        }
        let zone = account.zone.as_deref().unwrap_or("UTC");
        let watch = Watch::count(&ledger.limits, zone, account.created_at, self.now)?;
        Ok(watch.map(Box::new))
    }

    /// Writes an alert, where it is new.
    fn raise(&mut self, watch: &Watch, what: What) {
        let Some(account) = &self.ledger.account else { return };
        let customer = account.customer.clone();
        let id = alert_id(&customer, &what);
        if !self.ledger.alerts.is_new(&id) {
            return;
        }
        let until = until(&what, watch);
        let alert = Box::new(Alert { id, timestamp: self.now, customer, what });
        self.rows.push(Row::Alerts(AlertRow::Raise { alert, until }));
    }

    fn tell_limits(&mut self, watch: &mut Watch, settings: &AlertSettings, noticed: &[Noticed]) {
        let parties: BTreeSet<&Party> = noticed.iter().flat_map(|each| &each.parties).collect();
        let parties: Vec<Party> = parties.into_iter().cloned().collect();
        let limits = &self.ledger.limits;
        let crossed = watch.marks.crossed(limits, &parties, &settings.thresholds, self.now);
        for (percent, view) in crossed {
            self.raise(watch, What::Limit { percent, limit: Box::new(view) });
        }
    }

    fn tell_burning(
        &mut self,
        watch: &mut Watch,
        settings: &AlertSettings,
    ) -> Result<(), OutOfRange> {
        let Some(factor) = settings.burn else { return Ok(()) };
        let pace = watch.pace(&self.ledger.limits, self.now)?;
        if pace.in_hour <= Exact::ZERO {
            return Ok(());
        }
        for view in watch.marks.burning(&self.ledger.limits, &pace, factor, self.now) {
            let (spent_day, spent_hour) = (pace.in_day, pace.in_hour);
            let limit = Box::new(view);
            self.raise(watch, What::Burn { limit, factor, spent_day, spent_hour });
        }
        Ok(())
    }

    /// A month unlike the usual one.
    fn tell_typical(&mut self, watch: &mut Watch, settings: &AlertSettings) {
        let Some((typical, from_months)) = watch.typical else { return };
        let (spent, told) = (watch.month_spent, watch.typical_told);
        for percent in settings.typical.iter().copied().filter(|percent| *percent > told) {
            if !is_reached(spent, typical, percent) {
                break;
            }
            watch.typical_told = percent;
            let currency = self.currency().unwrap_or_default().to_owned();
            let month = watch.month_name();
            let what = What::Typical { percent, month, spent, typical, from_months, currency };
            self.raise(watch, what);
        }
    }

    /// A day unlike the days before.
    fn tell_spike(
        &mut self,
        watch: &mut Watch,
        settings: &AlertSettings,
    ) -> Result<(), OutOfRange> {
        let spent = watch.spent_today();
        let Some(SpikeSettings { least }) = settings.spike else { return Ok(()) };
        if watch.spike_told || spent <= least {
            return Ok(());
        }
        if let Some((usual, above, from_days)) = watch.spike(least)?
            && spent > above
        {
            watch.spike_told = true;
            let currency = self.currency().unwrap_or_default().to_owned();
            let day = watch.date(watch.today.start);
            self.raise(watch, What::Spike { day, spent, usual, above, from_days, currency });
        }
        Ok(())
    }

    fn tell_balances(&mut self, watch: &mut Watch, settings: &AlertSettings) {
        let Some(of) = settings.balance.as_ref() else { return };
        for (unit, fixed) in [(Unit::Money, of.money), (Unit::Credits, of.credits)] {
            let purse = self.ledger.contracts.purse(unit);
            let Ok(Some(standing)) = Standing::of(purse) else { continue };
            // Each for itself: one that cannot be computed keeps no other back.
            let low = self.low(unit, &standing, (of.percent, fixed));
            low.ok().flatten().into_iter().for_each(|what| self.raise(watch, what));
            if let Some(days) = of.days.filter(|_| unit == Unit::Money) {
                let soon = self.runs_out(watch, standing, days);
                soon.ok().flatten().into_iter().for_each(|what| self.raise(watch, what));
            }
        }
    }

    /// Credit that is low: at or below a fixed amount, or so many percent of its grant.
    fn low(
        &self,
        unit: Unit,
        standing: &Standing,
        (percent, fixed): (u32, Option<Exact>),
    ) -> Result<Option<What>, OutOfRange> {
        let left = standing.left;
        let below = if left <= Exact::ZERO {
            Exact::ZERO
        } else {
            let share = || Exact::from(u64::from(percent)).over(100.into());
            fixed.map_or_else(|| standing.amount.times(share()?), Ok)?
        };
        if left > below {
            return Ok(None);
        }
        let name = match unit {
            Unit::Money => self.currency().unwrap_or_default().to_owned(),
            Unit::Credits => self.ledger.contracts.credit_name(self.now),
        };
        Ok(Some(What::Balance { unit, name, left, below, grant: standing.grant.clone() }))
    }

    /// Money that does not last for so many days more.
    fn runs_out(
        &self,
        watch: &mut Watch,
        standing: Standing,
        days: u32,
    ) -> Result<Option<What>, OutOfRange> {
        let Standing { left, grant, .. } = standing;
        if left <= Exact::ZERO {
            return Ok(None);
        }
        let pace = watch.pace(&self.ledger.limits, self.now)?;
        let lasts = pace.in_day.times(Exact::from(u64::from(days)))?;
        let is_soon = pace.in_hour > Exact::ZERO && left <= lasts;
        let currency = self.currency().unwrap_or_default().to_owned();
        let spent_day = pace.in_day;
        Ok(is_soon.then_some(What::RunsOut { left, spent_day, days, currency, grant }))
    }

    fn tell_usage(&mut self, watch: &Watch, noticed: &[Noticed]) {
        let day = watch.date(watch.today.start);
        for each in noticed {
            let used = |names: &[String]| Used {
                model: each.model.clone(),
                day: day.clone(),
                request_id: each.request_id,
                seq: each.seq.to_string(),
                names: names.to_vec(),
            };
            let has = |flag: Flag| each.flags.contains(&flag);
            if has(Flag::Unpriced) {
                self.raise(watch, What::Unpriced(used(&each.unpriced)));
            }
            if has(Flag::Suspect) {
                self.raise(watch, What::Suspect(used(&[])));
            }
            if has(Flag::Overage) {
                self.raise(watch, What::Overage(used(&[])));
            }
            if has(Flag::ServedOther) {
                self.raise(watch, What::ServedOther(used(&[])));
            }
            if !each.unknown.is_empty() {
                self.raise(watch, What::Unknown(used(&each.unknown)));
            }
        }
    }

    /// Sums up the weeks that are over, and counts what was charged into the present one.
    fn tell_weeks(
        &mut self,
        watch: &Watch,
        settings: &AlertSettings,
        noticed: &[Noticed],
    ) -> Result<(), OutOfRange> {
        while let Some(first) = self.ledger.alerts.weeks.first_entry() {
            if *first.key() >= watch.monday {
                break;
            }
            let (monday, models) = first.remove_entry();
            // Gone whatever comes of it, so that one that cannot be summed up stops nothing.
            self.rows.push(Row::Alerts(AlertRow::DropWeek(monday.clone())));
            let _ = self.tell_week(watch, settings, &monday, &models);
        }
        self.count_models(&watch.monday, settings, noticed)?;
        let is_due = !self.ledger.alerts.weeks.is_empty();
        self.ledger.alerts.summary_at = is_due.then_some(watch.week_end);
        Ok(())
    }

    fn tell_week(
        &mut self,
        watch: &Watch,
        settings: &AlertSettings,
        monday: &str,
        models: &BTreeMap<String, Exact>,
    ) -> Result<(), OutOfRange> {
        let Some((span, before)) = week::find(watch, monday).filter(|_| settings.summary) else {
            return Ok(());
        };
        let Some(account) = &self.ledger.account else { return Ok(()) };
        let limits = &self.ledger.limits;
        let spent = limits.charged_between(span)?;
        let was_there = account.created_at < before.end;
        let before = was_there.then(|| limits.charged_between(before)).transpose()?;
        let summary = week::sum_up(watch, span, (spent, before), models, &account.currency)?;
        self.raise(watch, What::Week(Box::new(summary)));
        Ok(())
    }

    fn count_models(
        &mut self,
        monday: &str,
        settings: &AlertSettings,
        noticed: &[Noticed],
    ) -> Result<(), OutOfRange> {
        let charged = noticed.iter().filter(|each| settings.summary && !each.amount.is_zero());
        let mut touched = BTreeSet::new();
        for each in charged {
            let models = self.ledger.alerts.weeks.entry(monday.to_owned()).or_default();
            let is_full = models.len() >= MODELS_MAX && !models.contains_key(&each.model);
            let model = if is_full { OTHER_MODELS } else { each.model.as_str() };
            let spent = models.entry(model.to_owned()).or_default();
            *spent = spent.plus(each.amount)?;
            touched.insert(model);
        }
        let Some(models) = self.ledger.alerts.weeks.get(monday) else { return Ok(()) };
        for model in touched {
            let spent = models.get(model).copied().unwrap_or_default();
            let row = AlertRow::Model(monday.to_owned(), model.to_owned(), spent);
            self.rows.push(Row::Alerts(row));
        }
        Ok(())
    }

    pub(super) fn put_alerts(&mut self, settings: &AlertSettings) -> Reply {
        if self.ledger.account.is_none() {
            return Reply::Invalid("this customer does not exist".into());
        }
        if let Some(problem) = settings.problem() {
            return Reply::Invalid(problem);
        }
        self.ledger.alerts.settings = Arc::new(settings.clone());
        // A spike is measured by the settings.
        self.ledger.alerts.watch = None;
        self.rows.push(Row::Alerts(AlertRow::Settings(Box::new(settings.clone()))));
        Reply::Done
    }

    /// What the month is expected to come to, and how long credit lasts. An estimate is not worth a
    /// ledger that is dropped and loaded again.
    pub(super) fn outlook(&mut self) -> Reply {
        let watch = match self.take_watch() {
            Ok(Some(watch)) => watch,
            Ok(None) => return Reply::Invalid("this customer does not exist".into()),
            Err(out_of_range) => return no_forecast(out_of_range),
        };
        let outlook = self.outlook_by(&watch);
        self.ledger.alerts.watch = Some(watch);
        outlook.map_or_else(no_forecast, |outlook| Reply::Outlook(Box::new(outlook)))
    }

    fn outlook_by(&self, watch: &Watch) -> Result<Outlook, OutOfRange> {
        let ledger = &*self.ledger;
        let zone = ledger.account.as_ref().and_then(|account| account.zone.as_deref());
        let left = Standing::of(&ledger.contracts.money)?.map(|standing| standing.left);
        let of = (self.currency().unwrap_or_default(), zone.unwrap_or("UTC"));
        look_ahead(watch, of, left, self.now)
    }
}

fn no_forecast(_: OutOfRange) -> Reply {
    Reply::Invalid("there is no forecast: its amounts need more than 28 digits".into())
}

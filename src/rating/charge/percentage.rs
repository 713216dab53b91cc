//! Percentage: a share of every amount and a fee for each, with free events, a free total, and
//! bounds on what one event costs.

use super::{Kind, Parts};
use crate::money::{Exact, OutOfRange, Ratio};
use crate::strict::{Faults, Object};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Percentage {
    rate: Ratio,
    fixed_fee: Exact,
    /// Events that are free, from the first; `None`: their number frees nothing and bounds nothing.
    free_events: Option<Exact>,
    /// Money that is free, from the first event; `None` likewise.
    free_total: Option<Exact>,
    event_min: Option<Exact>,
    event_max: Option<Exact>,
}

/// Sums over the paid events.
#[derive(Clone, Copy)]
struct Paid {
    amount: Ratio,
    events: u64,
    lifted: Ratio,
    lowered: Ratio,
}

impl Percentage {
    pub fn read(charge: &mut Object, faults: &mut Faults) -> Option<Self> {
        let rate = charge.need_amount("rate_percent", faults);
        let min_path = charge.at("per_event_min");
        let events_path = charge.at("free_events");
        let terms = Self {
            rate: Ratio::from(rate.unwrap_or_default()).over(Exact::from(100).into()).ok()?,
            fixed_fee: charge.amount("fixed_fee_per_paid_event", faults).unwrap_or_default(),
            free_events: charge.amount("free_events", faults).filter(|free| !free.is_zero()),
            free_total: charge.amount("free_amount_total", faults).filter(|free| !free.is_zero()),
            event_min: charge.amount("per_event_min", faults),
            event_max: charge.amount("per_event_max", faults),
        };
        if terms.event_min.zip(terms.event_max).is_some_and(|(min, max)| min > max) {
            faults.invalid(min_path, "is above per_event_max");
        }
        if terms.free_events.is_some_and(|free| free.to_u64().is_none()) {
            faults.invalid(events_path, "must be a whole number of events");
        }
        rate.map(|_| terms)
    }

    pub fn price(&self, amounts: &[Ratio], parts: &mut Parts) -> Result<(), OutOfRange> {
        let mut paid =
            Paid { amount: Ratio::ZERO, events: 0, lifted: Ratio::ZERO, lowered: Ratio::ZERO };
        let mut before = Ratio::ZERO;
        for (at, amount) in (0_u64..).zip(amounts) {
            let after = before.plus(*amount)?;
            if let Some(part) = self.paid_part(at, before, after)? {
                self.add(part, &mut paid)?;
            }
            before = after;
        }
        parts.units(paid.amount, self.rate)?;
        if !self.fixed_fee.is_zero() {
            let events = Exact::from(paid.events).into();
            parts.units_of(Kind::FixedFee, events, self.fixed_fee.into())?;
        }
        parts.fee(Kind::PerEventMinimum, paid.lifted);
        parts.fee(Kind::PerEventMaximum, paid.lowered);
        Ok(())
    }

    /// The part of an event that is to be paid; `None` where the event is free.
    ///
    /// An event is free while every allowance that is given still covers it: it is among the first
    /// `free_events`, and the amounts up to and with it stay within `free_amount_total`. The event
    /// that crosses the free total pays for what lies beyond.
    fn paid_part(&self, at: u64, before: Ratio, after: Ratio) -> Result<Option<Ratio>, OutOfRange> {
        let whole = after.minus(before)?;
        let counted = self.free_events.is_none_or(|free| Exact::from(at) < free);
        match self.free_total.map(Ratio::from) {
            Some(free) if counted => {
                if after <= free {
                    return Ok(None);
                }
                Ok(Some(after.minus(free)?.min(whole)))
            }
            None if counted && self.free_events.is_some() => Ok(None),
            _ => Ok(Some(whole)),
        }
    }

    fn add(&self, part: Ratio, paid: &mut Paid) -> Result<(), OutOfRange> {
        paid.amount = paid.amount.plus(part)?;
        paid.events = paid.events.saturating_add(1);
        let price = part.times(self.rate)?.plus(self.fixed_fee.into())?;
        if let Some(min) = self.event_min.map(Ratio::from)
            && price < min
        {
            paid.lifted = paid.lifted.plus(min.minus(price)?)?;
        }
        if let Some(max) = self.event_max.map(Ratio::from)
            && price > max
        {
            paid.lowered = paid.lowered.plus(max.minus(price)?)?;
        }
        Ok(())
    }
}

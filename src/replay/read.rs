//! A record as far as a what-if needs it, read in passing: a million of them are read in seconds.

use std::borrow::Cow;

use super::Attempt;
use crate::clock::Timestamp;
use crate::money::Exact;
use crate::record::Class;
use crate::walk::Walk;
use crate::wire::usage::{Meter, Provenance, Usage};

/// What counts of a record; a borrowed [`Attempt`].
pub(super) struct Slim<'a> {
    pub customer: Cow<'a, str>,
    pub seq: u64,
    pub corrects: Option<u64>,
    pub class: Class,
    pub model: Cow<'a, str>,
    pub received_at: Timestamp,
    pub served_tier: Option<Cow<'a, str>>,
    pub currency: Cow<'a, str>,
    pub usage: Usage,
    /// What was charged, meter by meter.
    pub lines: Vec<(Meter, Exact)>,
    /// What was charged in all: a correction's amount is a difference, and `previous` its rest.
    pub charged: Exact,
    /// Other models' usage is on it: that takes the whole [`Attempt`].
    pub others: bool,
}

impl<'a> Slim<'a> {
    /// Reads one line of an archive; `None` where it is in no form that this reader knows.
    pub fn read(line: &'a str) -> Option<Self> {
        let mut walk = Walk::new(line);
        let mut found = Found::default();
        let mut sealed = None;
        walk.object(|key, walk| match key {
            "record" => {
                sealed = Some(record(walk)?);
                Some(())
            }
            // The record alone, without its signature.
            _ if sealed.is_none() => found.field(key, walk),
            _ => walk.skip().map(drop),
        })?;
        if !walk.is_done() {
            return None;
        }
        sealed.unwrap_or(found).whole()
    }

    /// The same of a record that was read whole.
    pub fn of(attempt: &'a Attempt) -> Option<Self> {
        let charged = attempt.charged().ok()?;
        Some(Self {
            customer: Cow::Borrowed(&attempt.customer),
            seq: attempt.seq,
            corrects: attempt.corrects,
            class: attempt.class,
            model: Cow::Borrowed(&attempt.model),
            received_at: attempt.received_at,
            served_tier: attempt.served_tier.as_deref().map(Cow::Borrowed),
            currency: Cow::Borrowed(&attempt.currency),
            usage: super::usage_of(&attempt.quantities),
            lines: charged.lines.iter().map(|line| (line.meter, line.amount)).collect(),
            charged: charged.amount,
            others: !attempt.sub_usage.is_empty(),
        })
    }
}

/// What was found of a record so far.
#[derive(Default)]
struct Found<'a> {
    customer: Option<Cow<'a, str>>,
    seq: Option<u64>,
    corrects: Option<u64>,
    class: Option<Class>,
    model: Option<Cow<'a, str>>,
    received_at: Option<Timestamp>,
    served_tier: Option<Cow<'a, str>>,
    currency: Option<Cow<'a, str>>,
    usage: Option<Usage>,
    lines: Option<Vec<(Meter, Exact)>>,
    amount: Option<Exact>,
    previous: Option<Exact>,
    others: bool,
}

fn record<'a>(walk: &mut Walk<'a>) -> Option<Found<'a>> {
    let mut found = Found::default();
    walk.object(|key, walk| found.field(key, walk))?;
    Some(found)
}

impl<'a> Found<'a> {
    fn field(&mut self, key: &str, walk: &mut Walk<'a>) -> Option<()> {
        match key {
            "customer" => self.customer = Some(walk.string()?),
            "seq" => self.seq = Some(walk.whole()?),
            "corrects" => self.corrects = Some(walk.whole()?),
            "class" => self.class = Some(class(walk.plain()?)?),
            "model" => self.model = Some(walk.string()?),
            "received_at" => self.received_at = Some(walk.plain()?.parse().ok()?),
            "served_tier" => self.served_tier = Some(walk.string()?),
            "currency" => self.currency = Some(walk.string()?),
            "quantities" => self.usage = Some(quantities(walk)?),
            "lines" => self.lines = Some(lines(walk)?),
            "amount" => self.amount = Some(exact(walk)?),
            "previous" => self.previous = Some(exact(walk)?),
            "sub_usage" => {
                self.others = true;
                walk.skip()?;
            }
            _ => drop(walk.skip()?),
        }
        Some(())
    }

    fn whole(self) -> Option<Slim<'a>> {
        let amount = self.amount?;
        Some(Slim {
            customer: self.customer?,
            seq: self.seq?,
            corrects: self.corrects,
            class: self.class?,
            model: self.model?,
            received_at: self.received_at?,
            served_tier: self.served_tier,
            currency: self.currency?,
            usage: self.usage?,
            lines: self.lines?,
            charged: match self.previous {
                Some(previous) => amount.plus(previous).ok()?,
                None => amount,
            },
            others: self.others,
        })
    }
}

fn class(text: &str) -> Option<Class> {
    Some(match text {
        "settled" => Class::Settled,
        "voided" => Class::Voided,
        "unresolved" => Class::Unresolved,
        _ => return None,
    })
}

fn exact(walk: &mut Walk<'_>) -> Option<Exact> {
    walk.plain()?.parse().ok()
}

fn quantities(walk: &mut Walk<'_>) -> Option<Usage> {
    let mut usage = Usage::default();
    walk.list(|walk| {
        let (meter, quantity) = pair(walk, "quantity")?;
        // Who said so makes no difference to the price.
        usage.set(meter, quantity, Provenance::Reported);
        Some(())
    })?;
    Some(usage)
}

/// Lines of a usual record.
const LINES_USUAL: usize = 4;

fn lines(walk: &mut Walk<'_>) -> Option<Vec<(Meter, Exact)>> {
    let mut lines = Vec::with_capacity(LINES_USUAL);
    walk.list(|walk| pair(walk, "amount").map(|line| lines.push(line)))?;
    Some(lines)
}

/// An object's meter, and one number of it.
fn pair(walk: &mut Walk<'_>, number: &str) -> Option<(Meter, Exact)> {
    let (mut meter, mut value) = (None, None);
    walk.object(|key, walk| {
        match key {
            "meter" => meter = Some(Meter::named(walk.plain()?)?),
            key if key == number => value = Some(exact(walk)?),
            _ => drop(walk.skip()?),
        }
        Some(())
    })?;
    Some((meter?, value?))
}
